//! Point clouds: switched on for the metadata, or one at a time.

use std::time::SystemTime;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{
    super::{
        errors::ApiResult,
        types::{PointCloudData, PointCloudStatus, unix_seconds},
    },
    responses::{AnyRoute, Named},
    streams::no_depth,
};
use crate::{
    model::{DeviceId, StreamType},
    session::{
        Handle,
        clouds::{self, MAX_POINTS},
    },
    work,
};

/// Send the point cloud with the metadata
///
/// From now on the event `metadata_update` carries it while depth streams.
#[utoipa::path(post, path = "/devices/{device_id}/point_cloud/activate", tag = "point cloud",
    operation_id = "activate_point_cloud",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "It is on.", body = PointCloudStatus), AnyRoute, Named))]
pub(in super::super) async fn activate_point_cloud(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PointCloudStatus>> {
    switch_point_cloud(&handle, device, true).await
}

/// Stop sending the point cloud
#[utoipa::path(post, path = "/devices/{device_id}/point_cloud/deactivate", tag = "point cloud",
    operation_id = "deactivate_point_cloud",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "It is off.", body = PointCloudStatus), AnyRoute, Named))]
pub(in super::super) async fn deactivate_point_cloud(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PointCloudStatus>> {
    switch_point_cloud(&handle, device, false).await
}

async fn switch_point_cloud(handle: &Handle, device: String, active: bool) -> ApiResult<Json<PointCloudStatus>> {
    let device_id = DeviceId::new(device);
    handle.set_point_cloud(device_id.clone(), active).await?;
    Ok(Json(PointCloudStatus { device_id, is_active: active }))
}

/// Whether the point cloud is sent
#[utoipa::path(get, path = "/devices/{device_id}/point_cloud/status", tag = "point cloud",
    operation_id = "point_cloud_status",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "On or off.", body = PointCloudStatus), AnyRoute, Named))]
pub(in super::super) async fn point_cloud_status(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PointCloudStatus>> {
    let device_id = DeviceId::new(device);
    handle.device(&device_id).await?;
    let is_active = handle.snapshot().borrow().point_clouds.contains(&device_id);
    Ok(Json(PointCloudStatus { device_id, is_active }))
}

/// One point cloud
///
/// Of the newest depth frame, without colours and with at most 3,000 points. Depth must run; the point cloud need not be activated.
#[utoipa::path(get, path = "/webrtc/pointcloud-data/{device_id}", tag = "point cloud",
    operation_id = "point_cloud_data",
    params(("device_id" = String, Path, description = "Serial number", example = "844212070924")),
    responses((status = 200, description = "The points.", body = PointCloudData), AnyRoute, Named))]
pub(in super::super) async fn point_cloud_data(
    State(handle): State<Handle>,
    Path(device): Path<String>,
) -> ApiResult<Json<PointCloudData>> {
    let device_id = DeviceId::new(device);
    handle.device(&device_id).await?;
    let frame = handle.latest_frame(&device_id, StreamType::Depth).filter(|frame| clouds::is_usable(frame));
    let Some(frame) = frame else {
        return Err(no_depth(&handle, &device_id).into());
    };
    let frame_number = frame.number;
    let vertices = work::CLOUDS.run(move || clouds::points(&frame, MAX_POINTS)).await?;
    let (vertex_count, timestamp) = (vertices.len(), unix_seconds(SystemTime::now()));
    Ok(Json(PointCloudData { success: true, device_id, vertices, vertex_count, timestamp, frame_number }))
}
