//! The head of the OpenAPI document: title, tags, security. The routes describe themselves.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::http::{
    errors::{ErrorBody, InternalBody, ValidationBody, ValidationItem},
    events::SocketEvents,
};

const DESCRIPTION: &str = "\
The streams of Intel RealSense cameras in many browsers at once: devices, sensors, options, streams and WebRTC sessions.\n\n\
Every route answers under `/api` and `/api/v1`, with and without a trailing slash, with no redirect. Every \
error has the body `{\"detail\": …}`: one sentence that says what to do, or for 422 a list that names the wrong \
fields. 429 and 503 carry `Retry-After` in seconds; every answer carries `X-Request-Id`.\n\n\
**WebRTC**: ask for an offer, pass it to `RTCPeerConnection.setRemoteDescription`, send your candidates as they come, \
and send the answer. The offer already holds the server's candidates.\n\n\
**Socket.IO** (path `/socket`, default namespace, polling and websocket): `welcome` `{\"message\"}` on connect; \
`metadata_update` at most 30 times a second for each streaming device: `{\"device_id\", \"is_streaming\", \
\"timestamp_server\", \"metadata_streams\": {stream_type: {\"stream_type\", \"timestamp\" in milliseconds, \
\"timestamp_domain\": hardware_clock | system_time | global_time, \"frame_number\", \"width\", \"height\", \
\"metadata\": {name: value}, \"motion_data\"?: {x, y, z}, \"point_cloud\"?: {\"vertices\": base64 of little-endian \
float32 x, y, z in metres, \"colors\"?: base64 of red, green, blue, \"texture_coordinates\": []}}}}`, with fewer or without \
clouds for a client that emits `metadata_rate` `{\"hz\"?, \"point_cloud\"?}`; `sessions_changed` `{\"revision\", \"sessions\"}` when sessions or streams \
changed; `server_shutdown` `{\"message\"}` before the server ends. If the configuration sets a token, a Socket.IO client \
sends it as `?token=` or in its `auth` as `{\"token\"}`. The schema `SocketEvents` lists the events and their content.";

#[derive(OpenApi)]
#[openapi(
    info(title = "realsense-webrtc", description = DESCRIPTION),
    servers((url = "/", description = "This server")),
    components(schemas(ErrorBody, ValidationBody, ValidationItem, InternalBody, SocketEvents)),
    security(("token" = []), ()),
    modifiers(&Token),
    tags(
        (name = "system", description = "Health and index"),
        (name = "devices", description = "Cameras"),
        (name = "sensors", description = "The sensors of a camera and what they offer"),
        (name = "options", description = "Settings of the sensors: exposure, laser power, filters, presets"),
        (name = "streams", description = "Start and stop without a viewer; depth; calibration"),
        (name = "point cloud", description = "The point cloud, in the metadata or one at a time"),
        (name = "recordings", description = "Record a device; list, fetch, play and delete the files"),
        (name = "playback", description = "Control a recording while it plays"),
        (name = "webrtc", description = "Sessions; the server makes the offer"),
        (name = "pipelines", description = "List the pipeline files; read one again"),
        (name = "debug", description = "Running pipelines and their elements, logs, the bundle for a bug report"),
        (name = "simulator", description = "Faults of simulated cameras")
    )
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("Needed only if the configuration sets a token. `?token=` works, too.".into());
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document without its routes.
pub(super) fn description() -> Document {
    Description::openapi()
}
