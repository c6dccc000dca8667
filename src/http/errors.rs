//! The one table from error kinds to HTTP statuses, and the shape of every error body.
//! Owns nothing; the request id of a 500 is filled in by `guard::finish`, which sees every response.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::schema::{Array, ArrayBuilder, Object, OneOf, Type},
};

use crate::{
    error::{Error, Kind},
    model::Fault,
};

/// The body of an error: one sentence that says what is wrong and what to do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"detail": "Device 000000000000 is not known. Known devices: 844212070924."}))]
pub struct ErrorBody {
    /// What went wrong and what to do about it.
    pub detail: String,
    /// How a session ended, in one word for programs. Its values are those of the label `reason` of
    /// `realsense_webrtc_sessions_ended_total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub reason: Option<&'static str>,
}

/// The body of a 422: which field of the JSON is wrong, in FastAPI's shape.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"detail": [{"loc": ["body", "device_id"], "msg": "Field required", "type": "missing"}]}))]
pub struct ValidationBody {
    /// One entry per field that is wrong.
    pub detail: Vec<ValidationItem>,
}

/// One wrong field.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationItem {
    /// The path to the field: "body" or "query", then names and array indexes.
    #[schema(schema_with = location_schema)]
    pub loc: Vec<Value>,
    /// What is wrong with it.
    pub msg: String,
    /// "missing", "type_error" or "value_error".
    #[serde(rename = "type")]
    pub kind: String,
}

/// Names are texts, indexes are numbers.
fn location_schema() -> Array {
    let part = OneOf::builder().item(Object::with_type(Type::String)).item(Object::with_type(Type::Integer));
    let path = ArrayBuilder::new().items(part);
    path.description(Some("The path to the field: \"body\" or \"query\", then names and array indexes.")).build()
}

/// The body of a 500.
#[derive(Debug, Serialize, ToSchema)]
pub struct InternalBody {
    /// Says that the server's log has the details, and under which request id.
    pub detail: String,
    /// The id of this request in the log; also in the header `X-Request-Id`.
    pub request_id: String,
}

/// The body of a 400 about a pipeline file.
#[derive(Debug, Serialize, ToSchema)]
pub struct PipelineFaultBody {
    /// The fault in one line: file, line, column and what is wrong.
    #[schema(example = "pipelines/color.h264.gst:18:3: there is no GStreamer element 'x265encc'")]
    pub detail: String,
    /// The same in parts.
    pub fault: Fault,
}

/// Any failure of a request, ready to be answered.
#[derive(Debug)]
pub enum ApiError {
    /// An error of the program behind the API.
    Domain(Error),
    /// The JSON has the wrong shape: 422.
    Validation(ValidationItem),
    /// A pipeline file has a fault: 400.
    Fault(Box<Fault>),
    /// A failure of HTTP itself: method, size, media type, authorisation.
    Http(StatusCode, String),
}

/// What the result of every handler is.
pub type ApiResult<T> = Result<T, ApiError>;

/// Marks a response as a 500 whose log line and request id are still to be written.
#[derive(Debug, Clone)]
pub(super) struct InternalFailure(pub String);

impl ApiError {
    /// A wrong field of a JSON body.
    pub(super) fn field(loc: Vec<Value>, msg: impl Into<String>, kind: &str) -> Self {
        Self::Validation(ValidationItem { loc, msg: msg.into(), kind: kind.into() })
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

/// The one table from kind to status.
pub(super) fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Limit { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A `Retry-After` in whole seconds, rounded up, at least one.
pub(super) fn retry_after(wait: Duration) -> HeaderValue {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

/// An error response with one sentence.
pub(super) fn detail(status: StatusCode, sentence: impl Into<String>) -> Response {
    (status, Json(ErrorBody { detail: sentence.into(), reason: None })).into_response()
}

/// The answer to a bug: the log gets `log`, the client a request id.
pub(super) fn internal(log: impl Into<String>) -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(InternalFailure(log.into()));
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Domain(error) => {
                let status = status_of(error.kind());
                match error.kind() {
                    Kind::Internal => internal(error.for_log()),
                    Kind::Limit { retry_after: wait } | Kind::Unavailable { retry_after: wait } => {
                        tracing::debug!(%status, reason = error.for_log(), "request refused for now");
                        let mut response = detail(status, error.public());
                        response.headers_mut().insert(header::RETRY_AFTER, retry_after(wait));
                        response
                    }
                    Kind::Invalid | Kind::NotFound | Kind::Conflict => {
                        tracing::debug!(%status, reason = error.for_log(), "request refused");
                        let body = ErrorBody { detail: error.public().to_owned(), reason: error.reason() };
                        (status, Json(body)).into_response()
                    }
                }
            }
            Self::Validation(item) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": [item] }))).into_response()
            }
            Self::Fault(fault) => {
                let body = PipelineFaultBody { detail: fault.to_string(), fault: *fault };
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::Http(status, sentence) => detail(status, sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds_rounded_up_and_never_zero() {
        for (ms, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (2500, "3")] {
            assert_eq!(retry_after(Duration::from_millis(ms)), expected, "{ms} ms");
        }
    }

    #[test]
    fn every_kind_has_the_contracts_status() {
        let wait = Duration::from_secs(2);
        let table = [
            (Kind::Invalid, 400),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Limit { retry_after: wait }, 429),
            (Kind::Unavailable { retry_after: wait }, 503),
            (Kind::Internal, 500),
        ];
        for (kind, status) in table {
            assert_eq!(status_of(kind).as_u16(), status);
        }
    }

    #[test]
    fn an_internal_error_keeps_its_detail_out_of_the_response() {
        let response = ApiError::from(Error::internal("the secret path /x")).into_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.extensions().get::<InternalFailure>().map(|f| f.0.as_str()), Some("the secret path /x"));
    }
}
