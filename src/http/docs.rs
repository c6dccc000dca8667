//! The API's description: the OpenAPI document, Swagger UI and ReDoc, all from the binary and with no request outside.
//! Owns none of the description: that is the routes' (`api`).

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::openapi::OpenApi as Document;

use super::{api, errors::detail, pages};
use crate::session::Handle;

/// The whole OpenAPI document.
pub fn openapi() -> Document {
    api::routes().into_openapi()
}

const SWAGGER_PAGE: &str = r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>realsense-webrtc API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"><noscript>This page needs JavaScript. The document itself is at /api/openapi.json.</noscript></div>
<script src="/docs/swagger-ui-bundle.js" charset="utf-8"></script>
<script src="/docs/init.js"></script>
</body>
</html>
"##;

// validatorUrl null: the default asks validator.swagger.io about the document.
const SWAGGER_INIT: &str = "window.ui = SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#swagger-ui', \
deepLinking: true, displayRequestDuration: true, validatorUrl: null, \
presets: [SwaggerUIBundle.presets.apis] });\n";

const REDOC_PAGE: &str = r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>realsense-webrtc API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body style="margin:0">
<div id="redoc"><noscript>This page needs JavaScript. The document itself is at /api/openapi.json.</noscript></div>
<script src="/redoc/redoc.standalone.js"></script>
<script src="/redoc/init.js"></script>
</body>
</html>
"##;

const REDOC_INIT: &str = "Redoc.init('/api/openapi.json', { hideDownloadButton: false, expandResponses: '200', \
theme: { typography: { fontFamily: 'system-ui, sans-serif', headings: { fontFamily: 'system-ui, sans-serif' }, \
code: { fontFamily: 'ui-monospace, monospace' } } } }, document.getElementById('redoc'));\n";

// Both render with inline styles; ReDoc searches in a worker that it makes from a blob.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; \
frame-ancestors 'self'";

/// The routes of the description.
pub(super) fn routes(document: Document) -> Router<Handle> {
    // Written once: it is some hundred kilobytes, and never changes.
    let document = Bytes::from(document.to_json().expect("a document is plain data, which JSON can hold"));
    let swagger = Arc::new(utoipa_swagger_ui::Config::from("/api/openapi.json"));
    Router::new()
        .route("/api/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())))
        .route("/docs", get(async || html(SWAGGER_PAGE)))
        .route("/docs/init.js", get(async || script(SWAGGER_INIT)))
        .route("/docs/{file}", get(async move |Path(file): Path<String>| swagger_file(&file, swagger.clone())))
        .route("/redoc", get(async || html(REDOC_PAGE)))
        .route("/redoc/init.js", get(async || script(REDOC_INIT)))
        .route("/redoc/redoc.standalone.js", get(pages::redoc_bundle))
}

fn html(page: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::CACHE_CONTROL, pages::CACHE),
    ];
    (headers, page).into_response()
}

fn script(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, pages::CACHE)], text)
        .into_response()
}

fn swagger_file(file: &str, config: Arc<utoipa_swagger_ui::Config<'_>>) -> Response {
    // The names come from the crate's own table of files, so that no path can lead anywhere else.
    match utoipa_swagger_ui::serve(file, config) {
        Ok(Some(found)) => {
            let headers = [(header::CONTENT_TYPE, found.content_type.as_str()), (header::CACHE_CONTROL, pages::CACHE)];
            (headers, found.bytes.into_owned()).into_response()
        }
        Ok(None) => detail(StatusCode::NOT_FOUND, "Swagger UI has no such file; its page is /docs."),
        Err(error) => super::errors::internal(format!("Swagger UI's file {file}: {error}")),
    }
}
