//! What every request passes: request id, time limit, panic barrier, JSON errors (`finish`), who may ask (`access`).
//! Owns no route and no state.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{
    access::{Access, Credential, REQUEST_ID, unauthorised},
    errors::{self, InternalBody, InternalFailure},
    handshakes::PATH,
};
use crate::config;

/// Longest that a request may take: above Socket.IO's long poll (25 s ping interval plus 20 s).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer than the camera's start a request may take: gathering, and a queue at the device.
const START_MARGIN: Duration = Duration::from_secs(30);

/// How long a request may take with this configuration.
pub(super) fn request_timeout(config: &config::Config) -> Duration {
    REQUEST_TIMEOUT.max(Duration::from_secs(config.camera.start_timeout_s).saturating_add(START_MARGIN))
}

/// The outermost layer: gives the request an id, ends what takes too long, turns panics and bugs into a 500 that only the
/// log explains, and gives every error that the framework made the contract's JSON body.
pub(super) async fn finish(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let id = request_id();
    let method = request.method().clone();
    // Never the query: it may hold the token.
    let path = request.uri().path().to_owned();
    let started = Instant::now();
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(limit, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => errors::internal(format!("the handler panicked: {}", panic_message(panic.as_ref()))),
        Err(_) => {
            tracing::warn!(request = %id, %method, %path, "request ended after {} s", limit.as_secs());
            let mut response = errors::detail(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("The request took longer than {} s; try again.", limit.as_secs()),
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    };
    if let Some(InternalFailure(log)) = response.extensions_mut().remove::<InternalFailure>() {
        tracing::error!(request = %id, %method, %path, "internal error: {log}");
        let detail = format!("Internal error; the server's log has the details under request id {id}.");
        let body = InternalBody { detail, request_id: id.clone() };
        // What the layers below noted, such as the route for the metrics, stays.
        let noted = std::mem::take(response.extensions_mut());
        response = (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response();
        *response.extensions_mut() = noted;
    } else if !is_socket_path(&path) {
        let noted = response.extensions().clone();
        response = with_json_error(response, &method);
        response.extensions_mut().extend(noted);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    let ms = started.elapsed().as_millis();
    tracing::debug!(request = %id, %method, %path, status = response.status().as_u16(), ms, "request");
    response
}

fn request_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Whether the path is Socket.IO's, whose errors have a format of their own.
pub(super) fn is_socket_path(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Gives an error response that is not JSON yet the contract's body. Its other headers (`Allow` …) stay.
fn with_json_error(response: Response, method: &Method) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json")) {
        return response;
    }
    let sentence = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()).unwrap_or("none");
            format!("{method} is not allowed here. Allowed: {}.", allow.replace(',', ", "))
        }
        StatusCode::NOT_FOUND => "There is nothing here. The API is described at /docs.".to_owned(),
        StatusCode::BAD_REQUEST => "The request's address does not parse.".to_owned(),
        _ => format!("{}.", status.canonical_reason().unwrap_or("The request failed")),
    };
    let mut replaced = errors::detail(status, sentence);
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            replaced.headers_mut().append(name, value.clone());
        }
    }
    replaced
}

/// Lets a request through only for an allowed host, from an allowed origin and with the right token.
pub(super) async fn admit(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    if let Some(host) = access.wrong_host(request.headers()) {
        let host: String = host.chars().take(100).collect();
        return errors::detail(
            StatusCode::FORBIDDEN,
            format!(
                "This server does not go by the name '{host}'. If it should, behind a reverse proxy for example, add the \
                 page's origin (https://{host}) to server.allowed_origins in the server's configuration."
            ),
        );
    }
    let path = request.uri().path();
    let socket = is_socket_path(path);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // A page elsewhere can open a WebSocket without asking first, hence the check on every request of Socket.IO.
    if (!reads || socket) && !access.may_change(request.headers()) {
        return errors::detail(StatusCode::FORBIDDEN, refused_origin(request.headers()));
    }
    if needs_token(path) {
        match access.credential(request.headers(), request.uri()) {
            Credential::Good => {}
            // Socket.IO's clients may send it with their connect packet, where `socket` checks it.
            Credential::Missing if socket => {}
            Credential::Missing => {
                return unauthorised(
                    "This server needs a token: send it as 'Authorization: Bearer <token>' or as '?token=<token>'.",
                );
            }
            Credential::Wrong => {
                let sentence = "The token is wrong. Send server.token of the server's configuration.";
                return errors::detail(StatusCode::FORBIDDEN, sentence);
            }
        }
    }
    if socket && opens_connection(request.uri()) && !access.handshakes.take(Instant::now()) {
        let mut response = errors::detail(StatusCode::SERVICE_UNAVAILABLE, "Too many new connections; try again.");
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    }
    let rights = access.rights(request.headers(), request.uri());
    request.extensions_mut().insert(rights);
    next.run(request).await
}

/// Names the origin that was refused, as the configuration wants it.
fn refused_origin(headers: &HeaderMap) -> String {
    let origin = headers.get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
    let origin: String = origin.unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    if origin.trim() == "null" {
        return "A page without an origin of its own, such as a file or a sandboxed frame, may not control the camera. \
                Serve it over HTTP and add that origin to server.allowed_origins in the server's configuration."
            .to_owned();
    }
    format!(
        "A page of the origin '{origin}' may not control the camera. Add \"{origin}\" to server.allowed_origins in the \
         server's configuration."
    )
}

/// Whether a request of Socket.IO opens a connection: every later one names its connection in `sid`.
fn opens_connection(uri: &Uri) -> bool {
    !uri.query().unwrap_or_default().split('&').any(|pair| pair.starts_with("sid="))
}

/// Health and the API's description are open, as the pages are: they show nothing of the camera.
fn needs_token(path: &str) -> bool {
    let api = path == "/api" || path.starts_with("/api/");
    (api && !matches!(path, "/api" | "/api/health" | "/api/openapi.json")) || is_socket_path(path)
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
