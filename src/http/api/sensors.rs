//! Explicit start and stop of one sensor's streams.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{
    super::{
        errors::ApiResult,
        extract::JsonBody,
        requests::{SensorStartBody, sensor_index},
        types::SensorStreamStatus,
    },
    responses::{AnyRoute, Checked, Conflicting, Named, WithBody},
};
use crate::{error::Error, model::DeviceId, session::Handle};

/// Start a sensor
///
/// Its streams run until the sensor or its device is stopped, even if nobody watches. A sensor that runs with other profiles is
/// restarted with these: viewers stay connected, and their picture stands still for a moment. All its other pictures get the
/// same size and rate. If it already runs with these, nothing happens.
#[utoipa::path(post, path = "/devices/{device_id}/sensors/{sensor_id}/start", tag = "streams",
    operation_id = "start_sensor",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0")),
    request_body = SensorStartBody,
    responses((status = 200, description = "The streams run.", body = SensorStreamStatus),
        AnyRoute, Named, Checked, Conflicting, WithBody))]
pub(in super::super) async fn start(
    State(handle): State<Handle>,
    Path((device, sensor_id)): Path<(String, String)>,
    JsonBody(body): JsonBody<SensorStartBody>,
) -> ApiResult<Json<SensorStreamStatus>> {
    let device = DeviceId::new(device);
    let sensors = handle.sensors(&device).await?;
    let started = handle.start(body.parse(&device, &sensor_id, &sensors)?).await?;
    let status = started.sensor.ok_or_else(|| Error::internal("a sensor's start was answered without the sensor"))?;
    Ok(Json(SensorStreamStatus::new(&device, status)))
}

/// Stop a sensor
///
/// Gives back what the sensor's start holds, and the sensor's part of a start of its device. Streams that viewers watch go on.
/// One that does not run is no error.
#[utoipa::path(post, path = "/devices/{device_id}/sensors/{sensor_id}/stop", tag = "streams",
    operation_id = "stop_sensor",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0")),
    responses((status = 200, description = "What still runs.", body = SensorStreamStatus), AnyRoute, Named))]
pub(in super::super) async fn stop(
    State(handle): State<Handle>,
    Path((device, sensor_id)): Path<(String, String)>,
) -> ApiResult<Json<SensorStreamStatus>> {
    let device = DeviceId::new(device);
    let sensor = sensor_of(&handle, &device, &sensor_id).await?;
    let status = handle.stop_sensor(device.clone(), sensor).await?;
    Ok(Json(SensorStreamStatus::new(&device, status)))
}

/// What a sensor streams now
#[utoipa::path(get, path = "/devices/{device_id}/sensors/{sensor_id}/status", tag = "streams",
    operation_id = "sensor_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0")),
    responses((status = 200, description = "What runs.", body = SensorStreamStatus), AnyRoute, Named))]
pub(in super::super) async fn status(
    State(handle): State<Handle>,
    Path((device, sensor_id)): Path<(String, String)>,
) -> ApiResult<Json<SensorStreamStatus>> {
    let device = DeviceId::new(device);
    let sensor = sensor_of(&handle, &device, &sensor_id).await?;
    let status = handle.sensor_status(device.clone(), sensor).await?;
    Ok(Json(SensorStreamStatus::new(&device, status)))
}

/// The sensor that an id names; of a device that is not known, that is what is said.
async fn sensor_of(handle: &Handle, device: &DeviceId, sensor_id: &str) -> Result<usize, Error> {
    match sensor_index(device, sensor_id) {
        Ok(index) => Ok(index),
        Err(error) => Err(handle.device(device).await.err().unwrap_or(error)),
    }
}
