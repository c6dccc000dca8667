//! Makes one path of the many that name the same route: both prefixes, with and without a trailing slash.
//! Owns nothing; runs before routing, so that no redirect is ever needed.

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};

/// Rewrites the request's path to the one the router knows.
pub(super) async fn normalise(mut request: Request) -> Request {
    if let Some(uri) = canonical(request.uri().path()).and_then(|path| with_path(request.uri(), &path)) {
        *request.uri_mut() = uri;
    }
    request
}

/// The canonical path, or `None` when it is canonical already.
///
/// `/api/v1/…` becomes `/api/…`, and an API path or a documentation page loses its trailing slash. Other paths, pages
/// and Socket.IO's among them, stay as they are, but for `/metrics`, which is `/api/metrics`.
pub(super) fn canonical(path: &str) -> Option<String> {
    let rest = match path.strip_prefix("/api/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => match path.strip_prefix("/api") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            // Where Prometheus looks unless it is told otherwise.
            _ if matches!(path, "/metrics" | "/metrics/") => return Some("/api/metrics".to_owned()),
            _ => return matches!(path, "/docs/" | "/redoc/").then(|| path.trim_end_matches('/').to_owned()),
        },
    };
    let canonical = format!("/api{}", rest.strip_suffix('/').unwrap_or(rest));
    (canonical != path).then_some(canonical)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prefixes_and_both_slash_forms_meet() {
        for (path, expected) in [
            ("/api/devices", "/api/devices"),
            ("/api/devices/", "/api/devices"),
            ("/api/v1/devices", "/api/devices"),
            ("/api/v1/devices/", "/api/devices"),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/v1", "/api"),
            ("/api/v1/", "/api"),
            ("/api/v1x/devices", "/api/v1x/devices"),
            ("/apix/", "/apix/"),
            ("/metrics", "/api/metrics"),
            ("/metrics/", "/api/metrics"),
            ("/metricsx", "/metricsx"),
            ("/docs/", "/docs"),
            ("/redoc/", "/redoc"),
            ("/docs/swagger-ui.css", "/docs/swagger-ui.css"),
            ("/socket/", "/socket/"),
            ("/", "/"),
            ("/api/devices//", "/api/devices/"),
        ] {
            assert_eq!(canonical(path).as_deref().unwrap_or(path), expected, "{path}");
        }
    }

    #[test]
    fn the_query_survives() {
        let uri: Uri = "/api/v1/devices/?force_refresh=true".parse().expect("a URI");
        let rewritten = with_path(&uri, &canonical(uri.path()).expect("not canonical")).expect("a URI");
        assert_eq!(rewritten, "/api/devices?force_refresh=true");
    }
}
