//! What every request passes: request id, time limit, panic barrier, JSON errors (`finish`), who may ask (`Access`),
//! CORS. Owns no route and no state beyond the configured origins, hosts and tokens.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    admin::Standing,
    errors::{self, InternalBody, InternalFailure},
    socket::Handshakes,
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

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    path.strip_prefix(super::socket::PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

/// Who may ask.
pub(super) struct Access {
    origins: Vec<String>,
    any_origin: bool,
    /// The names a request's `Host` may have; `None` when any will do.
    hosts: Option<Vec<String>>,
    token: String,
    admin_token: String,
    handshakes: Handshakes,
}

/// What a request carries as its token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// None is needed, or the right one is there.
    Good,
    /// One is needed and none is there.
    Missing,
    /// One is there and it is wrong.
    Wrong,
}

#[derive(Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

impl Access {
    pub(super) fn new(server: &config::Server) -> Arc<Self> {
        let any_origin = server.allowed_origins.iter().any(|origin| origin.trim() == "*");
        // A page of any site can let its own name lead to 127.0.0.1 and then is of the same origin as the server (DNS
        // rebinding). Only `Host` tells. On other addresses a server cannot know its names.
        let checks_host = server.listen.ip().to_canonical().is_loopback() && !any_origin;
        let hosts = checks_host.then(|| {
            let listed =
                server.allowed_origins.iter().filter_map(|origin| Some(host_name(origin.split_once("://")?.1)));
            ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into_iter().chain(listed).collect()
        });
        Arc::new(Self {
            origins: server.allowed_origins.iter().map(|origin| normal_origin(origin)).collect(),
            any_origin,
            hosts,
            token: server.token.clone(),
            admin_token: server.admin_token.clone(),
            handshakes: Handshakes::new(),
        })
    }

    /// CORS: nothing for other origins unless the configuration lists them.
    pub(super) fn cors(self: &Arc<Self>) -> CorsLayer {
        let origin = if self.any_origin {
            AllowOrigin::any()
        } else {
            let access = self.clone();
            AllowOrigin::predicate(move |origin, _| origin.to_str().is_ok_and(|origin| access.is_listed(origin)))
        };
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION])
            .expose_headers([header::RETRY_AFTER, REQUEST_ID])
            .max_age(Duration::from_secs(600))
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.any_origin || self.origins.contains(&normal_origin(origin))
    }

    /// The `Host` of a request that names a server other than this one. Without the header no browser asks.
    fn wrong_host(&self, headers: &HeaderMap) -> Option<String> {
        let hosts = self.hosts.as_ref()?;
        let names = headers.get_all(header::HOST).iter();
        let mut names = names.map(|host| host_name(&String::from_utf8_lossy(host.as_bytes())));
        names.find(|name| !hosts.contains(name))
    }

    /// Whether a page of this origin may change something here.
    fn may_change(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            // No browser: scripts send none, and browsers always do for what could be forged.
            return true;
        };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.is_listed(origin) || host.is_some_and(|host| is_same_host(origin, host))
    }

    /// The token of a request's header or query.
    pub(super) fn credential(&self, headers: &HeaderMap, uri: &Uri) -> Credential {
        if self.token.is_empty() {
            return Credential::Good;
        }
        given_token(headers, uri).map_or(Credential::Missing, |given| self.check_token(&given))
    }

    /// Checks a token; the administrators' is as good as the other.
    pub(super) fn check_token(&self, given: &str) -> Credential {
        if self.token.is_empty() || self.is_token(given) || self.is_admin_token(given) {
            Credential::Good
        } else {
            Credential::Wrong
        }
    }

    fn is_token(&self, given: &str) -> bool {
        !self.token.is_empty() && same_bytes(given.as_bytes(), self.token.as_bytes())
    }

    fn is_admin_token(&self, given: &str) -> bool {
        !self.admin_token.is_empty() && same_bytes(given.as_bytes(), self.admin_token.as_bytes())
    }

    /// Whether a request may change the server itself.
    fn standing(&self, headers: &HeaderMap, uri: &Uri) -> Standing {
        if self.admin_token.is_empty() {
            return Standing::NoAdmins;
        }
        match given_token(headers, uri) {
            None => Standing::Nobody,
            Some(given) if self.is_admin_token(&given) => Standing::Admin,
            Some(_) => Standing::User,
        }
    }
}

/// The token of a request's header, or else of its query.
fn given_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    bearer.or_else(|| Query::<TokenQuery>::try_from_uri(uri).ok().and_then(|Query(query)| query.token))
}

/// A 401 that says which header is missing.
pub(super) fn unauthorised(sentence: &str) -> Response {
    let mut response = errors::detail(StatusCode::UNAUTHORIZED, sentence);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
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
                return errors::detail(StatusCode::FORBIDDEN, "The token is wrong; the server's configuration has it.");
            }
        }
    }
    if socket && opens_connection(request.uri()) && !access.handshakes.take(Instant::now()) {
        let mut response = errors::detail(StatusCode::SERVICE_UNAVAILABLE, "Too many new connections; try again.");
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    }
    let standing = access.standing(request.headers(), request.uri());
    request.extensions_mut().insert(standing);
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

fn normal_origin(origin: &str) -> String {
    origin.trim().trim_end_matches('/').to_ascii_lowercase()
}

/// The host of `host[:port]`, as it compares.
fn host_name(authority: &str) -> String {
    let authority = authority.trim().trim_end_matches('/').to_ascii_lowercase();
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &authority,
    };
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// Whether an `Origin` is the one that `Host` names. The scheme is left out of it: a proxy may have ended TLS.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(default_port).map_or(text.clone(), str::to_owned)
    };
    bare(authority) == bare(host)
}

/// Compares in a time that depends on the lengths only.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
