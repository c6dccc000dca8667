//! The API's description: the OpenAPI document, Swagger UI and ReDoc, all from the binary and with no request outside.
//! Owns the document's head (title, tags, security); the routes describe themselves.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{
    api,
    errors::{ErrorBody, InternalBody, ValidationBody, ValidationItem, detail},
    pages,
};
use crate::session::Handle;

const DESCRIPTION: &str = "\
One Intel RealSense camera in many browsers at once: devices, sensors, options, streams and WebRTC sessions.\n\n\
Every route answers under `/api` and `/api/v1`, with and without a trailing slash, with no redirect. Every answer that \
is not a success has the body `{\"detail\": …}`: one sentence a person can act on, or for 422 a list that names the \
wrong fields. 429 and 503 carry `Retry-After` in seconds; every answer carries `X-Request-Id`.\n\n\
**WebRTC**: ask for an offer, give it to `RTCPeerConnection.setRemoteDescription`, post your candidates whenever they \
come, post the answer. The offer holds the server's candidates already.\n\n\
**Socket.IO** (path `/socket`, default namespace, polling and websocket): `welcome` `{\"message\"}` on connect; \
`metadata_update` at most 30 times a second for each streaming device: `{\"device_id\", \"is_streaming\", \
\"timestamp_server\", \"metadata_streams\": {stream_type: {\"stream_type\", \"timestamp\" in milliseconds, \
\"timestamp_domain\": hardware_clock | system_time | global_time, \"frame_number\", \"width\", \"height\", \
\"metadata\": {name: value}, \"motion_data\"?: {x, y, z}, \"point_cloud\"?: {\"vertices\": base64 of little-endian \
float32 x, y, z in metres, \"texture_coordinates\": []}}}}`; `sessions_changed` `{\"revision\", \"sessions\"}` when sessions or streams \
changed; `server_shutdown` `{\"message\"}` before the server goes. Where a token is configured, a Socket.IO client \
sends it as `?token=` or in its `auth` as `{\"token\"}`.";

#[derive(OpenApi)]
#[openapi(
    info(title = "realsense-webrtc", description = DESCRIPTION),
    servers((url = "/", description = "This server")),
    components(schemas(ErrorBody, ValidationBody, ValidationItem, InternalBody)),
    security(("token" = []), ()),
    modifiers(&Token),
    tags(
        (name = "system", description = "Health and index"),
        (name = "devices", description = "Cameras"),
        (name = "sensors", description = "The sensors of a camera and what they offer"),
        (name = "options", description = "Exposure, laser power and so on"),
        (name = "streams", description = "Explicit start and stop, depth"),
        (name = "point cloud", description = "The point cloud in the metadata"),
        (name = "recordings", description = "Recording a device, and the files"),
        (name = "playback", description = "Control of a recording that is played back"),
        (name = "webrtc", description = "Sessions; the server offers"),
        (name = "pipelines", description = "Pipeline files, and reading one again"),
        (name = "debug", description = "Looking inside: running pipelines and their elements, logs, the bundle"),
        (name = "simulator", description = "Faults of simulated cameras")
    )
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("Only when the configuration sets a token. `?token=` does as well.".into());
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document without its routes.
pub(super) fn description() -> Document {
    Description::openapi()
}

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
