//! Health, the index, and the simulator's faults.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    super::{
        errors::{self, ApiResult},
        extract::JsonBody,
        requests::SimFaultRequest,
        types::{HealthBody, Success},
    },
    responses::{AnyRoute, Checked, Named, WithBody},
};
use crate::{
    error::RETRY_AFTER,
    model::{DeviceId, Health},
    session::Handle,
};

/// Links to the parts of the API
///
/// And to its description.
#[utoipa::path(get, path = "", tag = "system", operation_id = "index", security(()),
    responses((status = 200, description = "Links by name.", body = BTreeMap<String, String>), AnyRoute))]
pub(in super::super) async fn index() -> Json<BTreeMap<&'static str, &'static str>> {
    Json(BTreeMap::from([
        ("devices", "/api/devices"),
        ("docs", "/docs"),
        ("health", "/api/health"),
        ("openapi", "/api/openapi.json"),
        ("page", "/webrtc_demo.html"),
        ("redoc", "/redoc"),
        ("sessions", "/api/webrtc/sessions"),
        ("socket.io", "/socket"),
        ("version", env!("CARGO_PKG_VERSION")),
    ]))
}

/// The server's health
///
/// Needs no token.
#[utoipa::path(get, path = "/health", tag = "system", operation_id = "health", security(()),
    responses(
        (status = 200, description = "The server works.", body = HealthBody),
        (status = 503, description = "No camera can work, or GStreamer hangs; `detail` says why.", body = HealthBody)
    ))]
pub(in super::super) async fn health(State(handle): State<Handle>) -> Response {
    let body = describe_health(handle.health());
    if body.detail.is_some() {
        let retry = [(header::RETRY_AFTER, errors::retry_after(RETRY_AFTER))];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, Json(body)).into_response();
    }
    Json(body).into_response()
}

/// The server's health as the API tells it.
pub(super) fn describe_health(health: Health) -> HealthBody {
    HealthBody {
        status: if health.degraded.is_some() { "degraded" } else { "ok" },
        service: "realsense-api",
        sdk_version: health.sdk_version,
        version: env!("CARGO_PKG_VERSION"),
        cameras: health.cameras,
        detail: health.degraded,
    }
}

/// Make a simulated camera misbehave
///
/// For tests and demonstrations: it can be unplugged, stall, drop frames, fail to start, or deliver frames of a wrong size.
/// `clear` ends every fault except `unplug`, which `replug` ends.
#[utoipa::path(post, path = "/sim/devices/{device_id}/fault", tag = "simulator", operation_id = "inject_fault",
    params(("device_id" = String, Path, description = "A simulated device", example = "844212070924")),
    request_body = SimFaultRequest,
    responses((status = 200, description = "The fault is in effect.", body = Success),
        AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn inject_fault(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<SimFaultRequest>,
) -> ApiResult<Json<Success>> {
    let fault = body.parse()?;
    handle.inject_fault(&DeviceId::new(device), fault).await?;
    Ok(Json(Success { success: true }))
}
