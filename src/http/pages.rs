//! The pages: `www/` from the binary, or a folder that the configuration names. Owns caching and the content security
//! policy; never lists a folder and never leaves `www/`.

use std::{borrow::Cow, convert::Infallible};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower::ServiceExt;
use tower_http::services::ServeDir;

use super::errors::detail;

/// What `/` shows.
const START_PAGE: &str = "webrtc_demo.html";
/// The page for looking inside, and the address it goes by.
const DEBUG_PAGE: (&str, &str) = ("/debug", "/debug.html");

/// Ask every time whether it changed: after an update the old page must not meet the new API.
pub(super) const CACHE: &str = "no-cache";

#[derive(RustEmbed)]
#[folder = "www/"]
struct Embedded;

/// The service for every path that is no route.
pub(super) fn service(www_dir: &str) -> Router {
    let files = if www_dir.is_empty() {
        any(embedded)
    } else {
        let dir = ServeDir::new(www_dir).append_index_html_on_directories(false);
        any(async move |request: Request| from_dir(dir.clone(), request).await)
    };
    Router::new().fallback(files).layer(middleware::from_fn(policy))
}

/// An unknown API path gets the API's answer, everything else is a file; only reading is possible.
async fn policy(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        let shown: String = path.chars().take(80).collect();
        return detail(StatusCode::NOT_FOUND, format!("There is no route {shown}. The API is described at /docs."));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response();
    }
    if path.strip_suffix('/') == Some(DEBUG_PAGE.0) {
        // What the page names lies beside it, not below.
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("..{}{query}", DEBUG_PAGE.0))])
            .into_response();
    }
    if path == "/" {
        *request.uri_mut() = Uri::from_static("/webrtc_demo.html");
    } else if path == DEBUG_PAGE.0 {
        *request.uri_mut() = Uri::from_static(DEBUG_PAGE.1);
    }
    let host = request.headers().get(header::HOST).cloned();
    let mut response = next.run(request).await;
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
        if headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
            headers.insert(header::CONTENT_SECURITY_POLICY, content_policy(host.as_ref()));
        }
    }
    response
}

/// Everything from this server and nothing inline. The WebSocket's address is spelled out because not every browser
/// counts it under 'self'.
fn content_policy(host: Option<&HeaderValue>) -> HeaderValue {
    let host = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)))
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob: mediastream:; connect-src 'self'{host}; worker-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
}

async fn embedded(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    match file(path) {
        Some(file) => answer(path, &file, &headers),
        None => missing(path),
    }
}

/// ReDoc's bundle, always the built-in one: a folder of one's own need not have it.
pub(super) async fn redoc_bundle(headers: HeaderMap) -> Response {
    let path = "vendor/redoc/redoc.standalone.js";
    let mut response = file(path).map_or_else(|| missing(path), |file| answer(path, &file, &headers));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    response
}

/// A built-in file by its path under `www/`.
pub fn file(path: &str) -> Option<EmbeddedFile> {
    // Only in debug builds does rust-embed read the disk, and it refuses what lies outside the folder; the plain check
    // here makes that independent of the build.
    if path.split('/').any(|part| part == ".." || part.starts_with('.')) {
        return None;
    }
    Embedded::get(path)
}

fn missing(path: &str) -> Response {
    let shown: String = path.chars().take(80).collect();
    let sentence = if path == START_PAGE {
        "The page is not built into this server; set www_dir in the configuration.".to_owned()
    } else {
        format!(
            "There is no page /{shown}. The camera's page is /, the one for looking inside is /debug, the API is described at /docs."
        )
    };
    detail(StatusCode::NOT_FOUND, sentence)
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = etag(&file.metadata.sha256_hash());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| matches!(one.trim(), "*") || one.trim() == etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let body = match &file.data {
        Cow::Borrowed(bytes) => Body::from(*bytes),
        Cow::Owned(bytes) => Body::from(bytes.clone()),
    };
    ([(header::CONTENT_TYPE, content_type(path)), (header::ETAG, etag)], body).into_response()
}

fn etag(hash: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut text = String::from('"');
    for byte in &hash[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

fn content_type(path: &str) -> String {
    // RFC 9239's name for scripts; the table still has an older one for modules.
    if path.ends_with(".js") || path.ends_with(".mjs") {
        return "text/javascript; charset=utf-8".into();
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let text = mime.type_() == "text" || mime.essence_str() == "application/json";
    if text { format!("{}; charset=utf-8", mime.essence_str()) } else { mime.to_string() }
}

async fn from_dir(dir: ServeDir, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let response: Result<_, Infallible> = dir.oneshot(request).await;
    let response = response.map_or_else(|never| match never {}, |response| response.map(Body::new));
    match response.status() {
        // A folder's redirect to its own slash form leads nowhere: folders are not listed.
        StatusCode::NOT_FOUND | StatusCode::TEMPORARY_REDIRECT => missing(&path),
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_www_is_served() {
        for path in ["../Cargo.toml", "vendor/../../Cargo.toml", "..", ".git/config", "/etc/passwd", "vendor/redoc"] {
            assert!(file(path).is_none(), "{path}");
        }
        assert!(file("vendor/redoc/LICENSE").is_some());
    }

    #[test]
    fn a_forged_host_cannot_widen_the_policy() {
        let policy = |host: &str| {
            let value = HeaderValue::from_str(host).expect("a header value");
            content_policy(Some(&value)).to_str().expect("plain text").to_owned()
        };
        assert!(policy("cam.local:8000").contains("connect-src 'self' ws://cam.local:8000 wss://cam.local:8000;"));
        assert!(policy("a b; script-src *").contains("connect-src 'self';"));
    }

    #[test]
    fn scripts_and_pages_have_types_that_browsers_accept() {
        assert_eq!(content_type("a.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("js/a.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("js/a.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a.svg"), "image/svg+xml");
    }
}
