//! Recordings: start, stop, how it stands; the files that there are, fetching and deleting them.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tower_http::services::ServeFile;
use utoipa::ToSchema;

use super::{
    super::{
        errors::ApiResult,
        extract::JsonBodyOrNothing,
        types::{Success, unix_seconds},
    },
    responses::{AnyRoute, Checked, Conflicting, Named, WithBody},
};
use crate::{
    camera::recording::{RecordingFile, RecordingStatus},
    error::{Error, Result},
    model::{DeviceId, DeviceInfo, StreamType},
    session::{Handle, RecordRequest},
};

/// Longest that a request may ask for, in seconds: a year. Clocks can still add it.
const LONGEST_S: f64 = 31_536_000.0;

/// Starts a recording. Every field may be left out, and so may the body.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"file_name": "walk", "stream_types": ["color", "depth"], "max_seconds": 60}))]
pub(in super::super) struct RecordBody {
    /// Letters, digits, `.`, `_` and `-`; the extension is added. If absent: the device and the time in UTC.
    #[serde(default)]
    file_name: Option<String>,
    /// The streams to record, `gyro` and `accel` too. If absent: those that run, or colour and depth if none runs.
    #[serde(default)]
    stream_types: Option<Vec<String>>,
    /// The recording ends by itself after this many seconds. The configuration's limit applies, too.
    #[serde(default)]
    max_seconds: Option<f64>,
}

impl RecordBody {
    /// Checks everything that needs no camera and no disk.
    fn parse(self, device: DeviceId) -> Result<RecordRequest> {
        let streams = self.stream_types.map(|names| parse_streams(&names)).transpose()?;
        let max_time = self.max_seconds.map(|seconds| {
            // Written so that NaN is refused, too.
            if seconds > 0.0 && seconds <= LONGEST_S {
                return Ok(Duration::from_secs_f64(seconds));
            }
            Err(Error::invalid(format!("'max_seconds' is {seconds}; it must be above 0 and at most {LONGEST_S}.")))
        });
        Ok(RecordRequest { device, file_name: self.file_name, streams, max_time: max_time.transpose()? })
    }
}

fn parse_streams(names: &[String]) -> Result<Vec<StreamType>> {
    let mut streams = Vec::new();
    for name in names {
        let stream = name.parse()?;
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    if streams.is_empty() {
        return Err(Error::invalid("'stream_types' is empty: name what to record, or leave it out for what runs."));
    }
    Ok(streams)
}

/// A recording on the disk.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct RecordingFileBody {
    /// Its name.
    #[schema(example = "844212070924-20260131-235959.bag")]
    name: String,
    /// Its size.
    bytes: u64,
    /// Unix seconds of the last write.
    #[schema(example = 1760000000.25)]
    modified: f64,
    /// False while it is written, and for a file that was left behind when the server was killed.
    complete: bool,
}

impl From<RecordingFile> for RecordingFileBody {
    fn from(file: RecordingFile) -> Self {
        let RecordingFile { name, bytes, modified, complete } = file;
        Self { name, bytes, modified: unix_seconds(modified), complete }
    }
}

/// Record a device
///
/// Answers once the file is open. Streams that do not run are started; those that run are not disturbed. They keep running,
/// also without a viewer, until the recording ends: by a stop, at a limit, or with the device. If the disk is too slow, the
/// recording loses frames (`dropped_frames`); viewers lose none.
#[utoipa::path(post, path = "/devices/{device_id}/recording/start", tag = "recordings", operation_id = "start_recording",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    request_body = RecordBody,
    responses((status = 200, description = "It records.", body = RecordingStatus),
        AnyRoute, Named, Checked, Conflicting, WithBody))]
pub(in super::super) async fn start(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBodyOrNothing(body): JsonBodyOrNothing<RecordBody>,
) -> ApiResult<Json<RecordingStatus>> {
    let request = body.parse(DeviceId::new(device))?;
    Ok(Json(handle.start_recording(request).await?))
}

/// End a device's recording
///
/// Answers once the file is closed and can be played. If nothing is recorded, nothing changes.
#[utoipa::path(post, path = "/devices/{device_id}/recording/stop", tag = "recordings", operation_id = "stop_recording",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "How it ended.", body = RecordingStatus), AnyRoute, Named))]
pub(in super::super) async fn stop(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<RecordingStatus>> {
    Ok(Json(handle.stop_recording(DeviceId::new(device)).await?))
}

/// The state of a device's recording
///
/// Or how the last one ended, also while the device is unplugged.
#[utoipa::path(get, path = "/devices/{device_id}/recording/status", tag = "recordings", operation_id = "recording_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Its state.", body = RecordingStatus), AnyRoute, Named))]
pub(in super::super) async fn status(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<RecordingStatus>> {
    Ok(Json(handle.recording_status(&DeviceId::new(device))?))
}

/// List the recordings
///
/// Newest first, at most 1000.
#[utoipa::path(get, path = "/recordings", tag = "recordings", operation_id = "list_recordings",
    responses((status = 200, description = "Every recording in the folder.", body = Vec<RecordingFileBody>), AnyRoute))]
pub(in super::super) async fn list(State(handle): State<Handle>) -> ApiResult<Json<Vec<RecordingFileBody>>> {
    let files = handle.recordings().await?;
    Ok(Json(files.into_iter().map(RecordingFileBody::from).collect()))
}

/// Fetch a recording
///
/// The file itself, or a part of it with the header `Range`.
#[utoipa::path(get, path = "/recordings/{name}", tag = "recordings", operation_id = "get_recording",
    params(("name" = String, Path, description = "File name", example = "844212070924-20260131-235959.bag")),
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part of the file that was asked for.", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 416, description = "The file has no such part.", body = super::super::errors::ErrorBody),
        AnyRoute, Named, Checked, Conflicting))]
pub(in super::super) async fn get(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    request: Request,
) -> ApiResult<Response> {
    let path = handle.recording_path(name.clone()).await?;
    let (parts, _) = request.into_parts();
    let served = ServeFile::new(path).try_call(Request::from_parts(parts, Body::empty())).await;
    let mut response = served
        .map_err(|error| Error::unavailable(format!("Cannot read {name}: {error}.")))?
        .map(Body::new)
        .into_response();
    let headers = response.headers_mut();
    if let Some(content_type) = headers.get_mut(header::CONTENT_TYPE) {
        *content_type = HeaderValue::from_static("application/octet-stream");
    }
    let disposition = HeaderValue::from_str(&disposition(&name));
    headers.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or_else(|_| HeaderValue::from_static("attachment")));
    Ok(response)
}

/// The header that has a browser save a file under this name (RFC 6266). A name with more than plain characters is given in
/// full by `filename*` (RFC 8187), and for programs that do not know that as well as `filename` can.
fn disposition(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.bytes().all(plain) {
        return format!("attachment; filename=\"{name}\"");
    }
    // A quote or backslash would end or change the quoted string; some programs decode a percent sign there.
    let near = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%') { c } else { '_' };
    let near: String = name.chars().map(near).collect();
    let mut full = String::with_capacity(name.len());
    for byte in name.bytes() {
        if plain(byte) {
            full.push(char::from(byte));
        } else {
            full.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{near}\"; filename*=UTF-8''{full}")
}

/// Play a recording
///
/// It becomes a device, until `POST /devices/{device_id}/playback/close`.
#[utoipa::path(post, path = "/recordings/{name}/open", tag = "recordings", operation_id = "open_recording",
    params(("name" = String, Path, description = "File name", example = "844212070924-20260131-235959.bag")),
    responses((status = 200, description = "The new device.", body = DeviceInfo),
        AnyRoute, Named, Checked, Conflicting))]
pub(in super::super) async fn open(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> ApiResult<Json<DeviceInfo>> {
    Ok(Json(handle.open_recording(name).await?))
}

/// Delete a recording
///
/// This is refused while it is written or played.
#[utoipa::path(delete, path = "/recordings/{name}", tag = "recordings", operation_id = "delete_recording",
    params(("name" = String, Path, description = "File name", example = "844212070924-20260131-235959.bag")),
    responses((status = 200, description = "It is deleted.", body = Success), AnyRoute, Named, Checked, Conflicting))]
pub(in super::super) async fn delete(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> ApiResult<Json<Success>> {
    handle.delete_recording(name).await?;
    Ok(Json(Success { success: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RecordRequest> {
        serde_json::from_str::<RecordBody>(text).expect("the shape fits").parse(DeviceId::new("1"))
    }

    #[test]
    fn everything_may_be_left_out() {
        let request = parse("{}").expect("nothing to refuse");
        assert_eq!((request.file_name, request.streams, request.max_time), (None, None, None));
        let request = parse(r#"{"stream_types":["depth","COLOR","depth","gyro"],"max_seconds":1.5}"#).expect("good");
        assert_eq!(request.streams, Some(vec![StreamType::Depth, StreamType::Color, StreamType::Gyro]));
        assert_eq!(request.max_time, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_browser_saves_a_file_under_its_own_name() {
        for (name, header) in [
            ("walk-1_2.bag", r#"attachment; filename="walk-1_2.bag""#),
            ("walk (1).bag", r#"attachment; filename="walk (1).bag"; filename*=UTF-8''walk%20%281%29.bag"#),
            ("läufer.db3", r#"attachment; filename="l_ufer.db3"; filename*=UTF-8''l%C3%A4ufer.db3"#),
            ("a\"b\\%41;.bag", r#"attachment; filename="a_b__41;.bag"; filename*=UTF-8''a%22b%5C%2541%3B.bag"#),
        ] {
            assert_eq!(disposition(name), header);
            assert!(HeaderValue::from_str(header).is_ok_and(|value| value.to_str().is_ok()), "plain ASCII");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            r#"{"stream_types":[]}"#,
            r#"{"stream_types":["thermal"]}"#,
            r#"{"max_seconds":0}"#,
            r#"{"max_seconds":-1}"#,
            r#"{"max_seconds":1e300}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
