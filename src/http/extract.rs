//! Reads request bodies and queries. Owns the rules for JSON (media type, size, time, naming the wrong field);
//! knows no route.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::errors::ApiError;

/// Most bytes of a request body. The largest honest one is an SDP answer of a few kilobytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a client may take to send its body: generous for 64 KiB, short enough that it holds nothing for long.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body of type `T`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let declared = is_json(request.headers());
        let bytes = read_body(request.into_body()).await?;
        if !declared {
            return Err(ApiError::Http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Send the body as JSON, with the header Content-Type: application/json.".into(),
            ));
        }
        parse(&bytes).map(Self)
    }
}

/// A JSON body of type `T`, or none at all, which is `T`'s default.
pub(super) struct JsonBodyOrNothing<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonBodyOrNothing<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        JsonBody::from_request(request, state).await.map(|JsonBody(body)| Self(body))
    }
}

/// Whether the content type is JSON, whatever its charset: JSON is UTF-8 by definition.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read_body(body: Body) -> Result<axum::body::Bytes, ApiError> {
    // What says beforehand that it is too large is not waited for.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let read = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(ApiError::Http(StatusCode::BAD_REQUEST, "The request body is incomplete. Send it again.".into()))
        }
        Err(_) => Err(ApiError::Http(
            StatusCode::REQUEST_TIMEOUT,
            format!("The body did not arrive within {} s; send it again.", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// The answer to a body over the limit.
fn too_large() -> ApiError {
    ApiError::Http(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body is larger than {} KiB, the most this server takes.", MAX_BODY_BYTES / 1024),
    )
}

/// Parses JSON, naming the field that is wrong.
///
/// # Errors
/// 415 for what is no JSON at all, 422 for JSON of the wrong shape.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::field(vec!["body".into()], "Field required: the body is empty", "missing"));
    }
    // Syntax first, so that a broken text is never reported as a wrong field.
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value: Value = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let message = error.inner().to_string();
        // 1e999 is JSON by its grammar; only no type here can hold it.
        if message.starts_with("number out of range") {
            return ApiError::field(location(error.path()), message, "value_error");
        }
        no_json(error.inner())
    })?;
    text.end().map_err(|error| no_json(&error))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut loc = location(error.path());
        let message = error.inner().to_string();
        if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            loc.push(Value::from(name));
            return ApiError::field(loc, "Field required", "missing");
        }
        let kind = if message.starts_with("invalid type") { "type_error" } else { "value_error" };
        // serde quotes what it found; a long value must not come back whole.
        let message: String = message.chars().take(300).collect();
        ApiError::field(loc, message, kind)
    })
}

/// The answer to a body that is no JSON.
fn no_json(error: &serde_json::Error) -> ApiError {
    ApiError::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("The body is not valid JSON: {error}."))
}

/// Where in the body something is, as the contract's `loc` has it.
fn location(path: &serde_path_to_error::Path) -> Vec<Value> {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Value::from(*index)),
        Segment::Map { key } => Some(Value::from(key.as_str())),
        Segment::Enum { variant } => Some(Value::from(variant.as_str())),
        Segment::Unknown => None,
    });
    std::iter::once(Value::from("body")).chain(segments).collect()
}

/// Reads a query's truth value the way FastAPI does.
///
/// # Errors
/// 422 naming the parameter.
pub(super) fn query_bool(name: &str, value: Option<&str>) -> Result<bool, ApiError> {
    match value.map(str::trim).unwrap_or("false").to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" | "" => Ok(false),
        _ => Err(ApiError::field(vec!["query".into(), name.into()], "Input should be true or false", "type_error")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[serde(rename = "width")]
        _width: u32,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(rename = "list")]
        _list: Vec<Inner>,
    }

    fn loc(text: &str) -> (Vec<Value>, String) {
        match parse::<Outer>(text.as_bytes()) {
            Err(ApiError::Validation(item)) => (item.loc, item.kind),
            other => panic!("{text} gave {other:?}"),
        }
    }

    #[test]
    fn the_wrong_field_is_named_by_its_path() {
        assert_eq!(loc("{}"), (vec!["body".into(), "list".into()], "missing".into()));
        assert_eq!(
            loc(r#"{"list":[{"width":1},{"width":"x"}]}"#),
            (vec!["body".into(), "list".into(), 1.into(), "width".into()], "type_error".into())
        );
        assert_eq!(
            loc(r#"{"list":[{}]}"#),
            (vec!["body".into(), "list".into(), 0.into(), "width".into()], "missing".into())
        );
        assert_eq!(loc(" "), (vec!["body".into()], "missing".into()));
    }

    #[test]
    fn a_number_that_nothing_can_hold_is_a_wrong_value() {
        let path = vec!["body".into(), "list".into(), 1.into(), "width".into()];
        assert_eq!(loc(r#"{"list":[{"width":1},{"width":1e999}]}"#), (path, "value_error".into()));
        assert_eq!(loc("-1e999"), (vec!["body".into()], "value_error".into()));
    }

    #[test]
    fn what_is_no_json_is_an_unsupported_media_type() {
        for text in ["{", "nope", "\u{0}", "{\"list\":[}", "[1,2", "{} x"] {
            let error = parse::<Outer>(text.as_bytes()).expect_err(text);
            assert!(matches!(error, ApiError::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, _)), "{text}: {error:?}");
        }
    }

    #[test]
    fn json_is_recognised_whatever_its_charset() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().expect("a header value"));
            is_json(&headers)
        };
        assert!(of("application/json") && of("Application/JSON; charset=utf-8") && of("application/problem+json"));
        assert!(!of("text/plain") && !of("application/x-www-form-urlencoded") && !of("text/json+x"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
