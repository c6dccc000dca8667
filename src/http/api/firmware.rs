//! Firmware as clients of the camera's vendor ask for it, and the vendor's routes that this server answers in words only.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
};
use http_body_util::{BodyExt, Limited};

use super::{
    super::{
        errors::{ApiError, ApiResult},
        types::{FirmwareStatus, Noop},
    },
    responses::{AnyRoute, Named, NotDone},
};
use crate::{model::DeviceId, session::Handle};

/// Most that is read of an upload that is not used: a firmware image has 1 to 3 MB. A browser shows an answer only to a request
/// that it could send to its end.
const MAX_UPLOAD_BYTES: usize = 16 * 1024 * 1024;
/// How long that may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A device's firmware
///
/// This server knows of a newer one only from the SDK, which recommends one for few cameras.
#[utoipa::path(get, path = "/devices/{device_id}/status", tag = "devices", operation_id = "firmware_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "What runs, and what is recommended.", body = FirmwareStatus), AnyRoute, Named))]
pub(in super::super) async fn status(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<FirmwareStatus>> {
    Ok(Json(handle.device(&DeviceId::new(device)).await?.into()))
}

/// Not done here: update the firmware
///
/// No camera was ever flashed by this server. `rs-fw-update` of librealsense does it.
#[utoipa::path(post, path = "/devices/{device_id}/firmware/update_from_file", tag = "devices",
    operation_id = "update_firmware",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses(AnyRoute, Named, NotDone))]
pub(in super::super) async fn update(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    body: Body,
) -> Result<(), ApiError> {
    let device = DeviceId::new(device);
    let known = handle.device(&device).await;
    read_away(body).await;
    known?;
    Err(not_done(format!(
        "This server does not update firmware. Stop it, and run `rs-fw-update -s {device} -f <file>` of librealsense on the \
         machine that the camera is connected to."
    )))
}

/// Not done here: send a raw command to the camera's firmware
///
/// `rs-terminal` of librealsense does it.
#[utoipa::path(post, path = "/devices/{device_id}/hwm", tag = "devices", operation_id = "hardware_monitor",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses(AnyRoute, Named, NotDone))]
pub(in super::super) async fn hardware_monitor(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    body: Body,
) -> Result<(), ApiError> {
    let known = handle.device(&DeviceId::new(device)).await;
    read_away(body).await;
    known?;
    Err(not_done(
        "This server passes no raw commands to a camera's firmware. Use `rs-terminal` of librealsense while the server does \
         not run."
            .into(),
    ))
}

/// Switch the camera's metadata on
///
/// There is nothing to switch: it is in `metadata_update` wherever the camera and its driver give it.
#[utoipa::path(post, path = "/system/enable-metadata", tag = "system", operation_id = "enable_metadata",
    responses((status = 200, description = "Nothing was to be done.", body = Noop), AnyRoute))]
pub(in super::super) async fn enable_metadata() -> Json<Noop> {
    Json(Noop { status: "noop" })
}

fn not_done(sentence: String) -> ApiError {
    ApiError::Http(StatusCode::NOT_IMPLEMENTED, sentence)
}

/// Reads what nobody needs, within bounds.
async fn read_away(body: Body) {
    let mut body = Limited::new(body, MAX_UPLOAD_BYTES);
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    // Who sends more, or slower, has the connection closed, which is all the same to the server.
    let _ = tokio::time::timeout(UPLOAD_TIMEOUT, read).await;
}
