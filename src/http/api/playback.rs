//! Control of a recording that is played back; presets; calibration.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    super::{errors::ApiResult, extract::JsonBody, types::Success},
    responses::{AnyRoute, Checked, Named, WithBody},
};
use crate::{
    camera::PlaybackCommand,
    error::{Error, Result},
    model::{Calibration, DeviceId, PlaybackStatus},
    session::Handle,
};

/// Where to continue.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"position": 12.5}))]
pub(in super::super) struct SeekBody {
    /// Seconds from the recording's beginning.
    position: f64,
}

impl SeekBody {
    fn parse(&self) -> Result<PlaybackCommand> {
        Duration::try_from_secs_f64(self.position).map(PlaybackCommand::Seek).map_err(|_| {
            Error::invalid(format!(
                "'position' is {}; it must be seconds from the beginning, 0 or more.",
                self.position
            ))
        })
    }
}

/// How fast to play.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"speed": 0.5}))]
pub(in super::super) struct SpeedBody {
    /// Multiple of real time.
    speed: f64,
}

impl SpeedBody {
    fn parse(&self) -> Result<PlaybackCommand> {
        if self.speed > 0.0 && self.speed.is_finite() {
            return Ok(PlaybackCommand::Speed(self.speed));
        }
        Err(Error::invalid(format!("'speed' is {}; it must be above 0: 1 is real time, 0.5 half as fast.", self.speed)))
    }
}

/// Whether to start again at the end.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"enabled": true}))]
pub(in super::super) struct RepeatBody {
    /// True to start again.
    enabled: bool,
}

async fn control(handle: &Handle, device: String, command: Option<PlaybackCommand>) -> ApiResult<Json<PlaybackStatus>> {
    Ok(Json(handle.playback(&DeviceId::new(device), command).await?))
}

/// The state of a recording that plays
///
/// 404 for a live camera; the device's field `playback` says which it is.
#[utoipa::path(get, path = "/devices/{device_id}/playback/status", tag = "playback", operation_id = "playback_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named))]
pub(in super::super) async fn status(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, None).await
}

/// Pause the playback
///
/// The picture stands still for everyone who watches this recording.
#[utoipa::path(post, path = "/devices/{device_id}/playback/pause", tag = "playback", operation_id = "pause_playback",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named))]
pub(in super::super) async fn pause(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, Some(PlaybackCommand::Pause)).await
}

/// Continue after a pause
#[utoipa::path(post, path = "/devices/{device_id}/playback/resume", tag = "playback", operation_id = "resume_playback",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named))]
pub(in super::super) async fn resume(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, Some(PlaybackCommand::Resume)).await
}

/// Go to another place in the recording
#[utoipa::path(post, path = "/devices/{device_id}/playback/seek", tag = "playback", operation_id = "seek_playback",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = SeekBody,
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn seek(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<SeekBody>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, Some(body.parse()?)).await
}

/// Play faster or slower
#[utoipa::path(post, path = "/devices/{device_id}/playback/speed", tag = "playback", operation_id = "playback_speed",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = SpeedBody,
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn speed(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<SpeedBody>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, Some(body.parse()?)).await
}

/// Start again at the end, or pause there
#[utoipa::path(post, path = "/devices/{device_id}/playback/repeat", tag = "playback", operation_id = "playback_repeat",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = RepeatBody,
    responses((status = 200, description = "Its state.", body = PlaybackStatus), AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn repeat(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<RepeatBody>,
) -> ApiResult<Json<PlaybackStatus>> {
    control(&handle, device, Some(PlaybackCommand::Repeat(body.enabled))).await
}

/// Stop playing a recording
///
/// Its device disappears, as if it were unplugged. 400 for a camera.
#[utoipa::path(post, path = "/devices/{device_id}/playback/close", tag = "recordings", operation_id = "close_playback",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "It is closed.", body = Success), AnyRoute, Named, Checked))]
pub(in super::super) async fn close(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<Success>> {
    handle.close_playback(&DeviceId::new(device)).await?;
    Ok(Json(Success { success: true }))
}

/// A device's settings as a preset
///
/// The JSON that the RealSense Viewer saves. 400 for a device without advanced mode; the device's field `presets` says
/// whether it has one.
#[utoipa::path(get, path = "/devices/{device_id}/preset", tag = "options", operation_id = "get_preset",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "The preset.", body = Object, content_type = "application/json"),
        AnyRoute, Named, Checked))]
pub(in super::super) async fn preset(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<Value>> {
    let text = handle.preset(&DeviceId::new(device)).await?;
    let preset = serde_json::from_str(&text)
        .map_err(|error| Error::internal(format!("the SDK gave a preset that is no JSON: {error}")))?;
    Ok(Json(preset))
}

/// Load a preset
///
/// The content of a preset file, as the RealSense Viewer saves it. It takes effect at once.
#[utoipa::path(post, path = "/devices/{device_id}/preset", tag = "options", operation_id = "load_preset",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body(content = Object, content_type = "application/json", example = json!({"param-laserpower": "150"})),
    responses((status = 200, description = "The preset is in effect.", body = Success),
        AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn load_preset(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(preset): JsonBody<Value>,
) -> ApiResult<Json<Success>> {
    let device = DeviceId::new(device);
    if preset.as_object().is_none_or(serde_json::Map::is_empty) {
        handle.device(&device).await?;
        return Err(Error::invalid(
            "This is no preset: a preset is a JSON object of settings, as the RealSense Viewer saves it.",
        )
        .into());
    }
    handle.load_preset(&device, preset.to_string()).await?;
    Ok(Json(Success { success: true }))
}

/// Calibration of the running streams
///
/// For each running video stream: its intrinsics at the present size, and the transform to the first stream in the list.
#[utoipa::path(get, path = "/devices/{device_id}/stream/calibration", tag = "streams", operation_id = "calibration",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Intrinsics, extrinsics, depth units.", body = Calibration), AnyRoute, Named))]
pub(in super::super) async fn calibration(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<Calibration>> {
    Ok(Json(handle.calibration(&DeviceId::new(device)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_speeds_that_cannot_be_are_refused() {
        for position in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            assert!(SeekBody { position }.parse().is_err(), "{position}");
        }
        let command = SeekBody { position: 1.25 }.parse().expect("a position");
        assert_eq!(command, PlaybackCommand::Seek(Duration::from_millis(1250)));
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(SpeedBody { speed }.parse().is_err(), "{speed}");
        }
        assert_eq!(SpeedBody { speed: 0.5 }.parse().expect("a speed"), PlaybackCommand::Speed(0.5));
    }
}
