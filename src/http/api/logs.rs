//! The log as text, and its thresholds.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tracing::Level;
use utoipa::{IntoParams, ToSchema};

use super::{
    super::{admin::AdminIfAny, errors::ApiResult, extract::JsonBody},
    responses::{AnyRoute, Checked, Named, WithBody},
};
use crate::{
    error::{Error, Result},
    logging::{
        self, Change, Levels, Secrets,
        ring::{self, Source},
    },
    model::{SessionId, StreamType},
    session::Handle,
    work,
};

/// Lines given unless a number is asked for.
const LINES: usize = 200;
/// Most lines that may be asked for.
const MOST_LINES: usize = 10_000;

/// Which lines to give.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct LogQuery {
    /// Only lines of this session: its id, or the first characters of it.
    #[param(example = "5f0c1f3a")]
    session: Option<String>,
    /// Only lines of this device.
    #[param(example = "844212070924")]
    device: Option<String>,
    /// Only lines of this stream type.
    #[param(example = "color")]
    stream: Option<String>,
    /// Only lines of this level or a more severe one: error, warn, info, debug or trace.
    #[param(example = "info")]
    level: Option<String>,
    /// How many of the newest lines to give, 1 to 10000 [default: 200].
    #[param(value_type = Option<usize>, example = 200)]
    lines: Option<String>,
    /// Only lines of the server itself ("server"), or only those of GStreamer ("gstreamer").
    #[param(example = "gstreamer")]
    source: Option<String>,
}

impl LogQuery {
    fn parse(self) -> Result<ring::Query> {
        let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let level = given(self.level).map(|text| match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Level::ERROR),
            "warn" | "warning" => Ok(Level::WARN),
            "info" => Ok(Level::INFO),
            "debug" => Ok(Level::DEBUG),
            "trace" => Ok(Level::TRACE),
            _ => Err(Error::invalid(format!("Invalid level '{text}'. Valid levels: error, warn, info, debug, trace."))),
        });
        let source = given(self.source).map(|text| match text.to_ascii_lowercase().as_str() {
            "server" => Ok(Source::Server),
            "gstreamer" => Ok(Source::GStreamer),
            _ => Err(Error::invalid(format!("Invalid source '{text}'. Valid sources: server, gstreamer."))),
        });
        let lines = given(self.lines).map_or(Ok(LINES), |text| {
            let number = text.parse().ok().filter(|number| (1..=MOST_LINES).contains(number));
            number.ok_or_else(|| Error::invalid(format!("'lines' must be from 1 to {MOST_LINES}, not '{text}'.")))
        });
        Ok(ring::Query {
            // Lines have a session's short id.
            session: given(self.session).map(|id| SessionId::new(id).short().to_owned()),
            device: given(self.device),
            stream: given(self.stream).map(|text| StreamType::parse_video(&text)).transpose()?.map(|s| s.to_string()),
            level: level.transpose()?,
            source: source.transpose()?,
            lines: lines?,
        })
    }
}

/// The log's last lines
///
/// Oldest first. The server keeps the last lines of each session and each stream separately, also for some time after their
/// end. GStreamer's lines are among them, as far as its thresholds let them through; see `PUT /debug/log-levels`.
#[utoipa::path(get, path = "/debug/logs", tag = "debug", operation_id = "get_logs", params(LogQuery),
    responses((status = 200, description = "Lines.", body = String, content_type = "text/plain"),
        AnyRoute, Named, Checked))]
pub(in super::super) async fn logs(State(handle): State<Handle>, Query(query): Query<LogQuery>) -> ApiResult<Response> {
    let query = query.parse()?;
    let text = work::CPU.run(move || text_of(&handle, &query)).await??;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

/// The lines without secrets. Of ten thousand lines that is a megabyte to search.
fn text_of(handle: &Handle, query: &ring::Query) -> Result<String> {
    let lines = handle.logs().select(query);
    if lines.is_empty() {
        check_known(handle, query)?;
    }
    let text = lines.iter().fold(String::new(), |mut text, line| {
        line.write(&mut text);
        text
    });
    Ok(Secrets::of(handle.config()).scrub(&text))
}

/// Refuses a session or a device that is neither there nor has left lines behind.
fn check_known(handle: &Handle, query: &ring::Query) -> Result<()> {
    let snapshot = handle.snapshot().borrow().clone();
    let (kept_sessions, kept_streams) = handle.logs().kept();
    if let Some(wanted) = &query.session {
        let mut live = snapshot.session_states.iter().map(|(id, _)| id.as_str());
        if !live.any(|id| id.starts_with(wanted)) && !kept_sessions.iter().any(|id| id.starts_with(wanted)) {
            return Err(Error::not_found(format!(
                "No lines are kept of session {wanted}, and there is none of that id. GET /api/webrtc/sessions lists them."
            )));
        }
    }
    if let Some(wanted) = &query.device {
        let kept = kept_streams.iter().any(|stream| stream.starts_with(&format!("{wanted}/")));
        if !kept && !snapshot.devices.keys().any(|device| device.as_str() == wanted) {
            return Err(Error::unknown_device(wanted));
        }
    }
    Ok(())
}

/// The log's thresholds
#[utoipa::path(get, path = "/debug/log-levels", tag = "debug", operation_id = "get_log_levels",
    responses((status = 200, description = "The thresholds now, and those at the start.", body = Levels), AnyRoute))]
pub(in super::super) async fn levels(State(handle): State<Handle>) -> Json<Levels> {
    Json(handle.logs().levels())
}

/// Thresholds to set.
#[derive(Debug, Deserialize, ToSchema)]
pub(in super::super) struct LevelsBody {
    /// What the server itself logs, as in `log.filter`. If absent, it stays as it is.
    #[schema(example = "info")]
    filter: Option<String>,
    /// What GStreamer logs, as in `GST_DEBUG`. If absent, it stays as it is.
    #[schema(example = "*:2,x264enc:5")]
    gst: Option<String>,
    /// Seconds after which both return to their values at the start, 1 to 86400. If absent, they stay.
    #[schema(example = 600)]
    for_s: Option<u64>,
}

/// Change the log's thresholds
///
/// At once and for the whole server, until the next change, for a time, or until the server ends. Needs the admin token if
/// one is configured.
#[utoipa::path(put, path = "/debug/log-levels", tag = "debug", operation_id = "set_log_levels",
    request_body = LevelsBody,
    responses((status = 200, description = "The thresholds now.", body = Levels), AnyRoute, Checked, WithBody))]
pub(in super::super) async fn set_levels(
    _: AdminIfAny,
    State(handle): State<Handle>,
    JsonBody(body): JsonBody<LevelsBody>,
) -> ApiResult<Json<Levels>> {
    let LevelsBody { filter, gst, for_s } = body;
    let change = Change { filter, gst, revert_after: for_s.map(Duration::from_secs) };
    let logs: &logging::Logs = handle.logs();
    Ok(Json(logs.set_levels(change)?))
}
