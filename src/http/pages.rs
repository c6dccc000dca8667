//! The pages: `www/` from the binary, or a folder that the configuration names. Owns caching and the content security
//! policy; never lists a folder, never leaves it and serves nothing in it that is hidden.

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower::ServiceExt;
use tower_http::services::ServeDir;

use super::errors::{self, detail};
use crate::config;

/// What `/` shows: the first of these that is there.
const START_PAGES: [&str; 2] = ["/webrtc_demo.html", "/index.html"];
/// The page for looking inside, and the address it goes by.
const DEBUG_PAGE: (&str, &str) = ("/debug", "/debug.html");
/// Longest path and longest part of one that Linux opens, in bytes: `PATH_MAX`, `NAME_MAX`.
const LONGEST: (usize, usize) = (4095, 255);
/// What is asked of browsers about pages that are not ours: who writes them decides what they load and run. Only that no
/// other site may frame the controls of a camera stays.
const FOREIGN_POLICY: HeaderValue = HeaderValue::from_static("frame-ancestors 'self'");

/// Ask every time whether it changed: after an update the old page must not meet the new API.
pub(super) const CACHE: &str = "no-cache";

#[derive(RustEmbed)]
#[folder = "www/"]
struct Embedded;

/// The service for every path that is no route.
pub(super) fn service(server: &config::Server) -> Router {
    let files = if server.www_dir.is_empty() {
        any(embedded)
    } else {
        let folder = Arc::new(Folder::new(server));
        any(move |request: Request| {
            let folder = folder.clone();
            async move { folder.serve(&request.into_parts().0).await }
        })
    };
    Router::new().fallback(files).layer(middleware::from_fn(policy))
}

/// An unknown API path gets the API's answer, everything else is a file; only reading is possible.
async fn policy(request: Request, next: Next) -> Response {
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
    let host = request.headers().get(header::HOST).cloned();
    let mut response = next.run(request).await;
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
        if headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| content_policy(host.as_ref()));
        }
    }
    response
}

/// What is asked of browsers about the built-in pages: everything from this server and nothing inline. The WebSocket's address is spelled out because not every browser
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
    let path = match uri.path() {
        "/" => START_PAGES[0],
        path if path == DEBUG_PAGE.0 => DEBUG_PAGE.1,
        path => path,
    };
    let path = path.trim_start_matches('/');
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
    let sentence = format!(
        "There is no page /{shown}. The start page is /, the debug page is /debug, the API is described at /docs."
    );
    detail(StatusCode::NOT_FOUND, sentence)
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let body = match &file.data {
        Cow::Borrowed(bytes) => Body::from(*bytes),
        Cow::Owned(bytes) => Body::from(bytes.clone()),
    };
    unless_known(path, etag(&file.metadata.sha256_hash()), body, headers)
}

/// The body, or that the client has it already.
fn unless_known(path: &str, etag: String, body: Body, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| matches!(one.trim(), "*") || one.trim() == etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
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

/// A folder of somebody's own pages. The page for looking inside stays the built-in one beside them, with everything that it
/// names: a folder need not have it, and an older copy of it would not fit this server.
struct Folder {
    files: ServeDir,
    /// Bytes that the folder's own path takes of what the system opens.
    root: usize,
    policy: HeaderValue,
}

impl Folder {
    fn new(server: &config::Server) -> Self {
        let set = HeaderValue::from_str(server.content_security_policy.trim()).ok();
        Self {
            files: ServeDir::new(&server.www_dir).append_index_html_on_directories(false),
            root: server.www_dir.len() + 1,
            policy: set.filter(|policy| !policy.is_empty()).unwrap_or(FOREIGN_POLICY),
        }
    }

    async fn serve(&self, request: &Parts) -> Response {
        let path = request.uri.path();
        if let Some(response) = debug_page(path, &request.headers) {
            return response;
        }
        // By the first's name, too: the API's index and the page for looking inside lead there.
        if path != "/" && path != START_PAGES[0] {
            return self.file(request, path).await.unwrap_or_else(|| missing(path.trim_start_matches('/')));
        }
        for page in START_PAGES {
            if let Some(response) = self.file(request, page).await {
                return response;
            }
        }
        let sentence = "The folder of server.www_dir has neither webrtc_demo.html nor index.html, or is not there. Put one \
                        of them into it, or leave server.www_dir empty for the built-in page. The debug page is \
                        /debug in any case, the API is described at /docs.";
        detail(StatusCode::NOT_FOUND, sentence)
    }

    /// A file of the folder; `None` when there is none that is served.
    async fn file(&self, request: &Parts, path: &str) -> Option<Response> {
        if is_hidden(path) || self.root + path.len() > LONGEST.0 || path.split('/').any(|part| part.len() > LONGEST.1) {
            return None;
        }
        let mut asked = Request::new(Body::empty());
        asked.method_mut().clone_from(&request.method);
        asked.headers_mut().clone_from(&request.headers);
        *asked.uri_mut() = path.parse().ok()?;
        let response: Result<_, Infallible> = self.files.clone().oneshot(asked).await;
        let mut response = response.map_or_else(|never| match never {}, |response| response.map(Body::new));
        match response.status() {
            // A folder's redirect to its own slash form leads nowhere: folders are not listed.
            StatusCode::NOT_FOUND | StatusCode::TEMPORARY_REDIRECT => return None,
            StatusCode::INTERNAL_SERVER_ERROR => {
                let shown: String = path.chars().take(200).collect();
                return Some(errors::internal(format!("a file of server.www_dir cannot be read: {shown}")));
            }
            _ => {}
        }
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        Some(response)
    }
}

/// Whether a part of a path begins with a dot, however it is written: `.git`, `.env`, `..`.
fn is_hidden(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    path.split(['/', '\\']).any(|part| part.starts_with('.'))
}

/// The built-in page for looking inside where `/` belongs to another folder, and what it names, which lies below its address
/// there: beside it, it would be the folder's.
fn debug_page(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (address, page) = (DEBUG_PAGE.0, DEBUG_PAGE.1.trim_start_matches('/'));
    if path == address {
        let file = file(page)?;
        let mut text = String::from_utf8_lossy(&file.data).into_owned();
        for folder in ["css", "img", "js"] {
            text = text.replace(&format!("=\"{folder}/"), &format!("=\"{}/{folder}/", address.trim_start_matches('/')));
        }
        let etag = etag(&file.metadata.sha256_hash()).replacen('"', "\"apart-", 1);
        return Some(unless_known(page, etag, Body::from(text), headers));
    }
    let name = path.strip_prefix(address)?.strip_prefix('/')?;
    file(name).map(|file| answer(name, &file, headers))
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
    fn hidden_files_stay_hidden_however_they_are_written() {
        for path in
            ["/.git/config", "/a/.env", "/%2Egit/config", "/a%2f.git/config", "/a%2F%2e%2e/b", "/..\\x", "/%5c.x"]
        {
            assert!(is_hidden(path), "{path}");
        }
        for path in ["/", "/a.html", "/a/b.js", "/a..b", "/a%20b.html"] {
            assert!(!is_hidden(path), "{path}");
        }
    }

    #[test]
    fn scripts_and_pages_have_types_that_browsers_accept() {
        assert_eq!(content_type("a.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("js/a.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("js/a.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a.svg"), "image/svg+xml");
    }
}
