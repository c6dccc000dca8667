//! Pipeline files: which there are, what runs them, and reading one again.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};

use super::{
    super::errors::{ApiError, ApiResult, PipelineFaultBody},
    responses::AnyRoute,
};
use crate::{error::Error, media::diagnostics::ReloadError, model::PipelineInfo, session::Handle};

/// Longest name that can be one: a file's.
const MAX_NAME: usize = 100;

/// List the pipelines
///
/// The files of the folder and those built into the program, with their faults and the streams that use them.
#[utoipa::path(get, path = "/pipelines", tag = "pipelines", operation_id = "list_pipelines",
    responses((status = 200, description = "Pipelines, by name.", body = Vec<PipelineInfo>), AnyRoute))]
pub(in super::super) async fn list(State(handle): State<Handle>) -> ApiResult<Json<Vec<PipelineInfo>>> {
    Ok(Json(handle.pipelines().await?))
}

/// Read a pipeline again
///
/// Checks the file, then replaces the encoders of the streams that use it; their sessions stay connected. A file with a
/// fault changes nothing. The server does the same by itself when a file is saved, unless `pipelines.reload` is off.
#[utoipa::path(post, path = "/pipelines/{name}/reload", tag = "pipelines", operation_id = "reload_pipeline",
    params(("name" = String, Path, description = "The file's name without .gst", example = "color.h264")),
    responses((status = 200, description = "The streams use it now.", body = PipelineInfo),
        (status = 400, description = "It has a fault; nothing changed.", body = PipelineFaultBody),
        (status = 404, description = "There is no such pipeline.", body = super::super::errors::ErrorBody),
        AnyRoute))]
pub(in super::super) async fn reload(
    State(handle): State<Handle>,
    name: Result<Path<String>, PathRejection>,
) -> ApiResult<Json<PipelineInfo>> {
    // What is not even text is no name either.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.chars().all(plain) {
        let known = "A pipeline's name is its file's without .gst, like color.h264; GET /api/pipelines lists them.";
        return Err(Error::not_found(known).into());
    }
    handle.reload(name).await.map(Json).map_err(|error| match error {
        ReloadError::Refused(error) => error.into(),
        ReloadError::Fault(fault) => ApiError::Fault(Box::new(fault)),
    })
}
