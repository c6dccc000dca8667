//! Looking inside: the graph of what runs, and the elements' properties.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{
    super::{
        admin::Admin,
        errors::{ApiError, ApiResult},
        extract::JsonBody,
    },
    responses::{AnyRoute, Checked, Named, WithBody},
};
use crate::{
    config::Config,
    core::graph,
    error::{Error, Result},
    media::diagnostics::{ElementPath, GraphRequest},
    model::{Codec, DeviceId, ElementInfo, Graph, SessionId, StreamKey},
    session::Handle,
    work,
};

/// Longest that measuring may be asked for at once, in seconds: who wants more asks again.
const LONGEST_MEASURE_S: u64 = 600;

/// What is wanted of a graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct GraphQuery {
    /// Add the elements of this session's pipeline: its id, or the eight characters that the log shows.
    session: Option<String>,
    /// Measure buffers, bits, drops and latency of every element for this many seconds from now on (0 to 600). If absent,
    /// nothing is measured, which costs nothing.
    #[param(value_type = Option<u32>, example = 10)]
    measure: Option<String>,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Svg,
    Dot,
}

/// The pipelines of a device as they run
///
/// Elements with their state, properties that differ from the defaults (all properties of the encoder), queue levels, negotiated
/// caps, and the sessions on each tee. As JSON, as a picture (SVG, drawn by the server without graphviz) or for graphviz (DOT).
/// A measurement shows its first figures after a second.
#[utoipa::path(get, path = "/debug/graph/{file}", tag = "debug", operation_id = "graph",
    params(("file" = String, Path, description = "`DEVICE.json`, `DEVICE.svg` or `DEVICE.dot`",
        example = "844212070924.json"), GraphQuery),
    responses(
        (status = 200, description = "What runs.",
            content((Graph = "application/json"), (String = "image/svg+xml"), (String = "text/vnd.graphviz"))),
        AnyRoute, Named, Checked))]
pub(in super::super) async fn graph(
    State(handle): State<Handle>,
    Path(file): Path<String>,
    Query(query): Query<GraphQuery>,
) -> ApiResult<Response> {
    let (device, format) = parse_file(&file)?;
    let measure = parse_measure(query.measure.as_deref())?;
    handle.device(&device).await?;
    let session = query.session.filter(|session| !session.is_empty()).map(SessionId::new);
    let graph = handle.graph(GraphRequest { device, session, measure }).await?;
    let content_type = match format {
        Format::Json => "application/json",
        Format::Svg => "image/svg+xml",
        Format::Dot => "text/vnd.graphviz; charset=utf-8",
    };
    let drawn = work::CPU.run(move || match format {
        Format::Json => serde_json::to_string(&graph).map_err(|error| internal(&error)),
        Format::Svg => Ok(graph::svg(&graph)),
        Format::Dot => Ok(graph::dot(&graph)),
    });
    let body = drawn.await??;
    Ok(([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

fn internal(error: &serde_json::Error) -> Error {
    Error::internal(format!("the graph as JSON: {error}"))
}

/// The device and the format of a file's name; a device's name may have dots of its own.
fn parse_file(file: &str) -> Result<(DeviceId, Format)> {
    let (device, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    let format = match extension {
        "json" => Format::Json,
        "svg" => Format::Svg,
        "dot" => Format::Dot,
        _ => {
            let shown: String = device.chars().take(60).collect();
            return Err(Error::invalid(format!(
                "A graph comes as {shown}.json, {shown}.svg or {shown}.dot; ask for one of these."
            )));
        }
    };
    Ok((DeviceId::new(device), format))
}

fn parse_measure(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds <= LONGEST_MEASURE_S);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Error::invalid(format!(
            "The parameter 'measure' is '{shown}'; it is a whole number of seconds from 0 to {LONGEST_MEASURE_S}."
        ))
    })
}

/// An element and its properties
///
/// An element of an encoder that runs, with values, defaults and ranges, and which can be changed while it plays. Elements have
/// the names of the graph (`encoder`, `source`, `fanout`, `videoconvert0`). Write a `/` in a name as `%2F`.
#[utoipa::path(get, path = "/debug/elements/{device_id}/{stream_type}/{codec}/{element}", tag = "debug",
    operation_id = "element",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("stream_type" = String, Path, description = "Stream", example = "color"),
        ("codec" = String, Path, description = "h264, vp8 or vp9", example = "h264"),
        ("element" = String, Path, description = "Name", example = "encoder")),
    responses((status = 200, description = "The element.", body = ElementInfo), AnyRoute, Named, Checked))]
pub(in super::super) async fn element(
    State(handle): State<Handle>,
    Path(path): Path<(String, String, String, String)>,
) -> ApiResult<Response> {
    let path = parse_path(path)?;
    handle.device(&path.key.device).await?;
    Ok(fresh(handle.element(path).await?))
}

/// Set properties of an element, live
///
/// Sets all or none, and answers with the element as it is then. Only properties that `debug.settable` lists, as
/// `ELEMENT.PROPERTY`, and only with `server.admin_token`. It lasts until the pipeline is built again. To keep a change, put
/// it in the pipeline's file.
#[utoipa::path(patch, path = "/debug/elements/{device_id}/{stream_type}/{codec}/{element}", tag = "debug",
    operation_id = "set_element",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("stream_type" = String, Path, description = "Stream", example = "color"),
        ("codec" = String, Path, description = "h264, vp8 or vp9", example = "h264"),
        ("element" = String, Path, description = "Name", example = "encoder")),
    request_body(content = BTreeMap<String, Value>, description = "Values by property name; enums and flags by nick.",
        example = json!({"bitrate": 1500})),
    responses((status = 200, description = "The element with its new values.", body = ElementInfo),
        AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn set_element(
    _: Admin,
    State(handle): State<Handle>,
    Path(path): Path<(String, String, String, String)>,
    JsonBody(values): JsonBody<BTreeMap<String, Value>>,
) -> ApiResult<Response> {
    let path = parse_path(path)?;
    handle.device(&path.key.device).await?;
    may_set(handle.config(), &path.element, &values)?;
    let names: Vec<_> = values.keys().cloned().collect();
    let element = format!("{}/{}/{}", path.key, path.codec, path.element);
    let info = handle.set_properties(path, values).await?;
    tracing::info!(%element, properties = names.join(", "), "Element's properties set over the API");
    Ok(fresh(info))
}

/// An answer that is of this moment only.
fn fresh(info: ElementInfo) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(info)).into_response()
}

fn parse_path((device, stream, codec, element): (String, String, String, String)) -> Result<ElementPath> {
    let key = StreamKey::new(DeviceId::new(device), stream.parse()?);
    let found = Codec::from_mime(&codec);
    let codec = found.ok_or_else(|| {
        let shown: String = codec.chars().take(40).collect();
        let known = Codec::ALL.map(|codec| codec.name().to_ascii_lowercase()).join(", ");
        Error::invalid(format!("There is no codec '{shown}' here; it is one of: {known}."))
    })?;
    Ok(ElementPath { key, codec, element })
}

fn may_set(config: &Config, element: &str, values: &BTreeMap<String, Value>) -> ApiResult<()> {
    let Some(refused) = values.keys().find(|property| !config.may_set(element, property)) else { return Ok(()) };
    let refused: String = format!("{element}.{refused}").chars().take(100).collect();
    let listed = match config.debug.settable.as_slice() {
        [] => "it lists nothing yet".to_owned(),
        listed => format!("it lists {}", listed.join(", ")),
    };
    Err(ApiError::Http(
        StatusCode::FORBIDDEN,
        format!(
            "'{refused}' may not be set over the API: add it to debug.settable in the server's configuration ({listed}). \
             Nothing was changed."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graphs_file_is_a_device_and_a_format() {
        for (file, device, format) in [
            ("844212070924.json", "844212070924", Format::Json),
            ("walk-2026.bag.svg", "walk-2026.bag", Format::Svg),
            ("a-b.dot", "a-b", Format::Dot),
        ] {
            assert_eq!(parse_file(file).expect(file), (DeviceId::new(device), format));
        }
        for file in ["844212070924", "844212070924.png", "x.", "", "x.JSON"] {
            let words = parse_file(file).expect_err(file);
            assert!([".json", ".svg", ".dot"].iter().all(|format| words.public().contains(format)), "{words}");
        }
    }

    #[test]
    fn measuring_is_bounded() {
        assert_eq!(parse_measure(None).expect("none"), Duration::ZERO);
        assert_eq!(parse_measure(Some("600")).expect("ten minutes"), Duration::from_secs(600));
        for wrong in ["601", "-1", "1.5", "", "x", "99999999999999999999"] {
            assert!(parse_measure(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
