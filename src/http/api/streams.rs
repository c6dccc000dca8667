//! Explicit start and stop of a device's streams, and depth.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::{
    super::{
        errors::ApiResult,
        extract::JsonBody,
        requests::{DepthRangeBody, StartBody},
        types::{DepthAtPixel, DepthRange, StartedBody, StoppedBody, exact},
    },
    responses::{AnyRoute, Checked, Conflicting, Named, WithBody},
};
use crate::{
    camera::Frame,
    core::picture::geometry,
    error::Error,
    model::{DeviceId, PixelFormat, StreamType},
    session::{Handle, api::StreamStatus},
};

/// A depth frame older than this no longer shows what the camera sees: the stream has stalled.
const FRESH: Duration = Duration::from_secs(2);

/// Start streams without a viewer
///
/// The streams run until they are stopped by `stream/stop`, even if nobody watches. If they already run with the same
/// parameters, nothing else changes. `align_to` and `apply_filters` set options of the depth sensor, which stay as they are
/// until somebody sets them again.
#[utoipa::path(post, path = "/devices/{device_id}/stream/start", tag = "streams", operation_id = "start_stream",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = StartBody,
    responses((status = 200, description = "The streams run.", body = StartedBody),
        AnyRoute, Named, Checked, Conflicting, WithBody))]
pub(in super::super) async fn start(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<StartBody>,
) -> ApiResult<Json<StartedBody>> {
    let device = DeviceId::new(device);
    let sensors = handle.sensors(&device).await?;
    let options = body.depth_options(&sensors)?;
    let request = body.parse(&device, &sensors)?;
    // Options first: setting them takes no reference that a failure would leave behind. A start that is refused, or that
    // nobody waits for any more, changes nothing, so they are put back then.
    let mut before = Before { handle: handle.clone(), device: device.clone(), options: Vec::new(), turn: None };
    if !options.is_empty() {
        // Two starts at a time would take each other's settings for what was there before.
        before.turn = Some(handle.turns.take(&device).await?);
    }
    for (sensor, option) in options {
        let value = handle.option(&device, sensor, option).await?.current_value;
        before.options.push((sensor, option, value));
        if let Err(error) = handle.set_option(&device, sensor, option, ON).await {
            before.put_back().await;
            return Err(error.into());
        }
    }
    let configs = request.configs.clone();
    match handle.start(request).await {
        Ok(started) => {
            before.options.clear();
            Ok(Json(StartedBody::new(started, &configs)))
        }
        Err(error) => {
            before.put_back().await;
            Err(error.into())
        }
    }
}

/// What a start sets options to.
const ON: f64 = 1.0;

/// What options were before a start set them. When it is dropped, because the client hung up and this request with it,
/// a task of its own puts them back.
struct Before {
    handle: Handle,
    device: DeviceId,
    /// In the order in which they were set.
    options: Vec<Value>,
    /// Until they are put back, or stay.
    turn: Option<OwnedSemaphorePermit>,
}

/// Sensor, option and what it was.
type Value = (usize, &'static str, f64);

impl Before {
    async fn put_back(&mut self) {
        while let Some(value) = self.options.last().copied() {
            put_back(&self.handle, &self.device, value).await;
            self.options.pop();
        }
    }
}

async fn put_back(handle: &Handle, device: &DeviceId, (sensor, option, value): Value) {
    // What somebody has set since is not the start's any more.
    if handle.option(device, sensor, option).await.is_ok_and(|now| now.current_value != ON) {
        return;
    }
    // A device that is gone forgets nothing: its settings are kept, and there is nobody to tell.
    let _ = handle.set_option(device, sensor, option, value).await;
}

impl Drop for Before {
    fn drop(&mut self) {
        // Without a runtime the process ends, and every option with it.
        let (false, Ok(runtime)) = (self.options.is_empty(), tokio::runtime::Handle::try_current()) else { return };
        let (handle, device, options) = (self.handle.clone(), self.device.clone(), std::mem::take(&mut self.options));
        let turn = self.turn.take();
        runtime.spawn(async move {
            let _turn = turn;
            for value in options.into_iter().rev() {
                put_back(&handle, &device, value).await;
            }
        });
    }
}

/// Stop streams that were started without a viewer
///
/// Also ends the starts of the device's sensors. Streams that viewers watch go on: then `stopping` is true and `held_by` counts
/// the viewers, and `is_streaming` tells of others than viewers only, a recording, say. `stream/status` tells all that runs.
#[utoipa::path(post, path = "/devices/{device_id}/stream/stop", tag = "streams", operation_id = "stop_stream",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "What still runs.", body = StoppedBody), AnyRoute, Named))]
pub(in super::super) async fn stop(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<StoppedBody>> {
    Ok(Json(handle.stop(DeviceId::new(device)).await?.into()))
}

/// What a device streams now
#[utoipa::path(get, path = "/devices/{device_id}/stream/status", tag = "streams", operation_id = "stream_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "What runs.", body = StreamStatus), AnyRoute, Named))]
pub(in super::super) async fn status(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<StreamStatus>> {
    Ok(Json(handle.status(DeviceId::new(device)).await?))
}

/// A pixel of the depth picture.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct PixelQuery {
    /// Column, 0 at the left.
    #[param(value_type = i64, required = true, example = 320)]
    x: Option<String>,
    /// Row, 0 at the top.
    #[param(value_type = i64, required = true, example = 240)]
    y: Option<String>,
}

/// Distance at a pixel
///
/// From the newest depth frame as viewers see it: decimated, filtered and aligned if that is switched on. Null where the
/// camera measured nothing, and outside the picture, where `detail` says so. 503 while depth does not run or has no picture yet.
#[utoipa::path(get, path = "/devices/{device_id}/stream/depth-at-pixel", tag = "streams",
    operation_id = "depth_at_pixel",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"), PixelQuery),
    responses((status = 200, description = "The distance.", body = DepthAtPixel), AnyRoute, Named, Checked))]
pub(in super::super) async fn depth_at_pixel(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    Query(query): Query<PixelQuery>,
) -> ApiResult<Json<DepthAtPixel>> {
    let device = DeviceId::new(device);
    let info = handle.device(&device).await?;
    let x = coordinate("x", query.x.as_deref())?;
    let y = coordinate("y", query.y.as_deref())?;
    let frame = handle.latest_frame(&device, StreamType::Depth);
    let Some(frame) = frame.filter(|frame| frame.format == PixelFormat::Z16 && frame.size_fits()) else {
        return Err(no_depth(&handle, &device).into());
    };
    if frame.captured_at.elapsed() > FRESH && !(info.playback && is_paused(&handle, &device).await) {
        return Err(Error::unavailable(format!("Depth of device {device} has stalled; it is being restarted.")).into());
    }
    let (depth, detail) = match depth_at(&frame, x, y) {
        Ok(depth) => (depth, None),
        Err(outside) => (None, Some(outside)),
    };
    Ok(Json(DepthAtPixel { depth, x, y, units: "meters", detail }))
}

/// Why there is no depth picture: depth is not wanted, or runs and its first frame has not come yet.
pub(super) fn no_depth(handle: &Handle, device: &DeviceId) -> Error {
    let snapshot = handle.snapshot().borrow().clone();
    let running = snapshot.running.get(device).into_iter().flatten();
    Error::unavailable(if running.into_iter().any(|config| config.stream == StreamType::Depth) {
        format!("Depth of device {device} has no picture yet; try again in a moment.")
    } else {
        format!(
            "Depth of device {device} does not stream; start it with POST /api/devices/{device}/stream/start \
             or watch it, then ask again."
        )
    })
}

/// Whether a recording is held: its frame is as old as the pause, and still what viewers see.
async fn is_paused(handle: &Handle, device: &DeviceId) -> bool {
    handle.playback(device, None).await.is_ok_and(|status| status.is_paused)
}

fn coordinate(name: &str, value: Option<&str>) -> Result<i64, Error> {
    let Some(text) = value else {
        return Err(Error::invalid(format!("The parameter '{name}' is missing: give a pixel as ?x=<column>&y=<row>.")));
    };
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        Error::invalid(format!("The parameter '{name}' must be a whole number, not '{shown}'."))
    })
}

/// Metres at a pixel of a Z16 frame whose size fits; `None` for a hole.
///
/// # Errors
/// The pixel lies outside the picture: a sentence that says so.
fn depth_at(frame: &Frame, x: i64, y: i64) -> Result<Option<f64>, String> {
    let (width, height) = (frame.width, frame.height);
    let inside = |value: i64, end: u32| u32::try_from(value).ok().filter(|value| *value < end);
    let (Some(x), Some(y)) = (inside(x, width), inside(y, height)) else {
        return Err(format!(
            "The pixel ({x}, {y}) lies outside the depth picture of {width}x{height}: x goes from 0 to {}, y from 0 \
             to {}.",
            width.saturating_sub(1),
            height.saturating_sub(1)
        ));
    };
    // With a unit of one this is the raw value, which f32 holds exactly; metres are then made in f64, from the unit's
    // decimal, and rounded to the micrometre, so that 1234 mm reads 1.234.
    let raw = geometry::depth_at(frame.bytes(), width, height, x, y, 1.0);
    Ok(raw.map(|raw| (f64::from(raw) * exact(frame.depth_units) * 1e6).round() / 1e6))
}

/// The range of the depth colours, in metres
#[utoipa::path(get, path = "/devices/{device_id}/stream/depth-range", tag = "streams", operation_id = "depth_range",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Near and far.", body = DepthRange), AnyRoute, Named))]
pub(in super::super) async fn depth_range(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<DepthRange>> {
    let device = DeviceId::new(device);
    handle.device(&device).await?;
    Ok(Json(range_of(&handle, &device)))
}

fn range_of(handle: &Handle, device: &DeviceId) -> DepthRange {
    let (min, max) = handle.depth_range(device);
    DepthRange { min_depth: exact(min), max_depth: exact(max), units: "meters" }
}

/// Change the range of the depth colours
///
/// It takes effect at once for everyone who watches this device's depth, and lasts until the server ends.
#[utoipa::path(put, path = "/devices/{device_id}/stream/depth-range", tag = "streams",
    operation_id = "set_depth_range",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = DepthRangeBody,
    responses((status = 200, description = "The new range.", body = DepthRange), AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn set_depth_range(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<DepthRangeBody>,
) -> ApiResult<Json<DepthRange>> {
    let device = DeviceId::new(device);
    let (min_depth, max_depth) = (body.min_depth, body.max_depth);
    handle.set_depth_range(device, min_depth, max_depth).await?;
    Ok(Json(DepthRange { min_depth: exact(min_depth), max_depth: exact(max_depth), units: "meters" }))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::*;
    use crate::model::TimestampDomain;

    #[test]
    fn depth_is_metres_and_a_hole_is_nothing() {
        let frame = Frame {
            stream: StreamType::Depth,
            format: PixelFormat::Z16,
            width: 2,
            height: 2,
            data: Arc::new([0u8, 0, 0xd2, 0x04, 1, 0, 0xff, 0xff]),
            number: 1,
            timestamp_ms: 0.0,
            timestamp_domain: TimestampDomain::default(),
            metadata: Vec::new(),
            captured_at: Instant::now(),
            depth_units: 0.001,
            intrinsics: None,
        };
        assert_eq!(depth_at(&frame, 0, 0).expect("inside"), None);
        assert_eq!(depth_at(&frame, 1, 0).expect("inside"), Some(1.234));
        assert_eq!(depth_at(&frame, 0, 1).expect("inside"), Some(0.001));
        assert_eq!(depth_at(&frame, 1, 1).expect("inside"), Some(65.535));
        for (x, y) in [(2, 0), (0, 2), (-1, 0), (i64::MAX, i64::MIN)] {
            let outside = depth_at(&frame, x, y).expect_err("outside");
            assert!(outside.contains("2x2"), "{outside}");
        }
    }
}
