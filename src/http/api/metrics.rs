//! The metrics, for Prometheus.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{super::errors::ApiResult, responses::AnyRoute};
use crate::{metrics::Format, session::Handle};

/// Metrics of the server
///
/// For Prometheus, also at `/metrics`. The text is OpenMetrics 1.0 if the client accepts it, else Prometheus' text format 0.0.4.
/// The names are listed in docs/reference/metrics.md.
#[utoipa::path(get, path = "/metrics", tag = "system", operation_id = "metrics",
    responses((status = 200, description = "Counters, gauges and histograms.", content_type = "text/plain", body = String,
        example = "# TYPE realsense_webrtc_sessions gauge\nrealsense_webrtc_sessions{state=\"connected\"} 2\n"), AnyRoute))]
pub(in super::super) async fn metrics(State(handle): State<Handle>, headers: HeaderMap) -> ApiResult<Response> {
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = handle.scrape(format).await?;
    Ok(([(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")], text).into_response())
}
