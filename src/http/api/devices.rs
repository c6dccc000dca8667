//! Devices, their sensors and options.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    super::{
        errors::ApiResult,
        extract::{JsonBody, query_bool},
        requests::{OptionValueBody, find_sensor, sensor_index},
        types::{OptionSet, SensorBody},
    },
    responses::{AnyRoute, Checked, Named, WithBody},
};
use crate::{
    core::picture::depth::settings,
    error::Error,
    model::{DeviceId, DeviceInfo, OptionInfo, SensorInfo},
    session::Handle,
};

/// How to list devices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct ListQuery {
    /// Ask the cameras again instead of answering from the server's list.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    force_refresh: Option<String>,
}

/// List the devices
#[utoipa::path(get, path = "/devices", tag = "devices", operation_id = "list_devices", params(ListQuery),
    responses((status = 200, description = "Every device.", body = Vec<DeviceInfo>),
        AnyRoute, Checked, WithBody))]
pub(in super::super) async fn list(
    State(handle): State<Handle>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Vec<DeviceInfo>>> {
    let force = query_bool("force_refresh", query.force_refresh.as_deref())?;
    Ok(Json(handle.devices(force).await?))
}

/// Look for devices again
#[utoipa::path(post, path = "/devices/refresh", tag = "devices", operation_id = "refresh_devices",
    responses((status = 200, description = "Every device.", body = Vec<DeviceInfo>), AnyRoute))]
pub(in super::super) async fn refresh(State(handle): State<Handle>) -> ApiResult<Json<Vec<DeviceInfo>>> {
    Ok(Json(handle.devices(true).await?))
}

/// One device
#[utoipa::path(get, path = "/devices/{device_id}", tag = "devices", operation_id = "get_device",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "The device.", body = DeviceInfo), AnyRoute, Named))]
pub(in super::super) async fn get(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<DeviceInfo>> {
    Ok(Json(handle.device(&DeviceId::new(device)).await?))
}

/// Reset a device's hardware
///
/// The device disappears and comes back by itself. Then the streams that were running start again.
#[utoipa::path(post, path = "/devices/{device_id}/hw_reset", tag = "devices", operation_id = "hw_reset",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "The device was told to reset.", body = bool, content_type = "application/json", example = json!(true)),
        AnyRoute, Named))]
pub(in super::super) async fn hw_reset(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<bool>> {
    handle.hw_reset(&DeviceId::new(device)).await?;
    Ok(Json(true))
}

/// Reset a device's hardware, by another name
///
/// The same as `hw_reset`, for older clients of the camera's vendor.
#[utoipa::path(post, path = "/devices/{device_id}/reset", tag = "devices", operation_id = "reset",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "The device was told to reset.", body = bool, content_type = "application/json", example = json!(true)),
        AnyRoute, Named))]
pub(in super::super) async fn reset(handle: State<Handle>, device: Path<String>) -> ApiResult<Json<bool>> {
    hw_reset(handle, device).await
}

/// List a device's sensors
#[utoipa::path(get, path = "/devices/{device_id}/sensors", tag = "sensors", operation_id = "list_sensors",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "Sensors with profiles and options.", body = Vec<SensorBody>),
        AnyRoute, Named))]
pub(in super::super) async fn sensors(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<Vec<SensorBody>>> {
    let device = DeviceId::new(device);
    let sensors = handle.sensors(&device).await?;
    Ok(Json(sensors.into_iter().map(|sensor| SensorBody::new(&device, sensor)).collect()))
}

async fn sensor_of(handle: &Handle, device: &DeviceId, sensor_id: &str) -> Result<SensorInfo, Error> {
    let sensors = handle.sensors(device).await?;
    Ok(find_sensor(device, sensor_id, &sensors)?.clone())
}

/// One sensor
#[utoipa::path(get, path = "/devices/{device_id}/sensors/{sensor_id}", tag = "sensors", operation_id = "get_sensor",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0")),
    responses((status = 200, description = "The sensor.", body = SensorBody), AnyRoute, Named))]
pub(in super::super) async fn sensor(
    State(handle): State<Handle>,
    Path((device, sensor_id)): Path<(String, String)>,
) -> ApiResult<Json<SensorBody>> {
    let device = DeviceId::new(device);
    let sensor = sensor_of(&handle, &device, &sensor_id).await?;
    Ok(Json(SensorBody::new(&device, sensor)))
}

/// List a sensor's options
#[utoipa::path(get, path = "/devices/{device_id}/sensors/{sensor_id}/options", tag = "options",
    operation_id = "list_options",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0")),
    responses((status = 200, description = "Options with their present values.", body = Vec<OptionInfo>),
        AnyRoute, Named))]
pub(in super::super) async fn options(
    State(handle): State<Handle>,
    Path((device, sensor_id)): Path<(String, String)>,
) -> ApiResult<Json<Vec<OptionInfo>>> {
    Ok(Json(sensor_of(&handle, &DeviceId::new(device), &sensor_id).await?.options))
}

/// An option's id as the sensors know it: clients write it with dashes or blanks, too, in any case, and clients of the vendor's have
/// names of their own for post-processing.
fn option_name(option: &str) -> String {
    let id = option.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    settings::alias(&id).map_or(id, Into::into)
}

/// One option
#[utoipa::path(get, path = "/devices/{device_id}/sensors/{sensor_id}/options/{option_id}", tag = "options",
    operation_id = "get_option",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0"),
        ("option_id" = String, Path, description = "Option", example = "exposure")),
    responses((status = 200, description = "The option with its present value.", body = OptionInfo), AnyRoute, Named))]
pub(in super::super) async fn option(
    State(handle): State<Handle>,
    Path((device, sensor_id, option)): Path<(String, String, String)>,
) -> ApiResult<Json<OptionInfo>> {
    let device = DeviceId::new(device);
    let sensor = sensor_of(&handle, &device, &sensor_id).await?.index;
    Ok(Json(handle.option(&device, sensor, &option_name(&option)).await?))
}

/// Set an option
///
/// It takes effect at once, also while the sensor streams. A value between two steps goes to the nearest one; the answer is the
/// option as it is then.
#[utoipa::path(put, path = "/devices/{device_id}/sensors/{sensor_id}/options/{option_id}", tag = "options",
    operation_id = "set_option",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924"),
        ("sensor_id" = String, Path, description = "Sensor", example = "844212070924-sensor-0"),
        ("option_id" = String, Path, description = "Option", example = "exposure")),
    request_body = OptionValueBody,
    responses((status = 200, description = "The option is set.", body = OptionSet), AnyRoute, Named, Checked, WithBody))]
pub(in super::super) async fn set_option(
    State(handle): State<Handle>,
    Path((device, sensor_id, option)): Path<(String, String, String)>,
    JsonBody(body): JsonBody<OptionValueBody>,
) -> ApiResult<Json<OptionSet>> {
    let device = DeviceId::new(device);
    // The device decides whether it has that sensor; the id only has to name one of this device's.
    let sensor = match sensor_index(&device, &sensor_id) {
        Ok(index) => index,
        Err(error) => {
            handle.device(&device).await?;
            return Err(error.into());
        }
    };
    let option = handle.set_option(&device, sensor, &option_name(&option), body.value).await?;
    Ok(Json(OptionSet { option, success: true }))
}

#[cfg(test)]
mod tests {
    use super::option_name;

    #[test]
    fn option_names_are_taken_in_every_spelling() {
        for text in ["enable-auto-exposure", "enable_auto_exposure", "Enable Auto Exposure", "ENABLE_AUTO-exposure"] {
            assert_eq!(option_name(text), "enable_auto_exposure");
        }
        assert_eq!(option_name("PP_Spatial_Filter_Enabled"), "spatial_filter");
        assert_eq!(option_name("pp-Decimation Filter-Filter Magnitude"), "decimation_magnitude");
    }
}
