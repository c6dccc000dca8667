//! What fuzzing asserts of the HTTP side: bodies are refused in words or become requests within the limits, and Socket.IO packets
//! are answered by the real router, let nobody in without the token and leave nothing behind.

use std::{collections::BTreeMap, sync::Arc, task::Poll, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tower::ServiceExt;

use super::{
    App, MAX_BODY_BYTES, access, app,
    errors::ApiError,
    extract, guard, pages,
    requests::{
        AnswerBody, CandidateBody, DepthRangeBody, OfferRequestBody, OptionValueBody, SensorStartBody, SimFaultRequest,
        StartBody,
    },
};
use crate::{
    camera::{Backend, SimFault, sim::SimBackend},
    config::Config,
    error::Error,
    model::{DeviceId, IceCandidate, SensorInfo},
    session::{Handle, Machine, scripted},
};

/// The routes that take a body.
const BODIES: [(Method, &str); 19] = [
    (Method::POST, "/api/webrtc/offer"),
    (Method::POST, "/api/webrtc/answer"),
    (Method::PATCH, "/api/webrtc/sessions/x"),
    (Method::POST, "/api/webrtc/ice-candidates"),
    (Method::PUT, "/api/devices/1/sensors/1-sensor-0/options/gain"),
    (Method::POST, "/api/devices/1/stream/start"),
    (Method::POST, "/api/devices/1/sensors/1-sensor-0/start"),
    (Method::PUT, "/api/devices/1/stream/depth-range"),
    (Method::POST, "/api/devices/1/stream/stop"),
    (Method::POST, "/api/devices/1/recording/start"),
    (Method::POST, "/api/devices/1/playback/seek"),
    (Method::POST, "/api/devices/1/playback/speed"),
    (Method::POST, "/api/devices/1/playback/repeat"),
    (Method::POST, "/api/devices/1/preset"),
    (Method::PUT, "/api/debug/log-levels"),
    (Method::PATCH, "/api/debug/elements/1/color/h264/encoder"),
    (Method::POST, "/api/sim/devices/1/fault"),
    (Method::POST, "/api/recordings/x/open"),
    (Method::POST, "/api/pipelines/color.h264/reload"),
];

/// The token of the server that has one.
const TOKEN: &str = "let-me-in";
/// How often a router is made anew: it admits so many handshakes at once.
const INPUTS_PER_ROUTER: usize = 60;
/// How often the other tasks may run before an answer counts as one that waits.
const TURNS: usize = 40;
/// Longest that a request may take, whatever its body.
const LONGEST: Duration = Duration::from_secs(10);
/// Most polls for one input.
const MOST_POLLS: usize = 6;

/// Servers without cameras, on this thread.
struct Servers {
    runtime: tokio::runtime::Runtime,
    open: Handle,
    locked: Handle,
    sensors: Vec<SensorInfo>,
    device: DeviceId,
}

/// Routers of the two servers, and for how many inputs they were used.
#[derive(Default)]
struct Routers {
    routers: Option<(App, App)>,
    inputs: usize,
}

thread_local! {
    static SERVERS: &'static Servers = Box::leak(Box::new(Servers::start()));
    static ROUTERS: std::cell::RefCell<Routers> = std::cell::RefCell::default();
}

impl Servers {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (open, locked) = runtime.block_on(async {
            let mut config = Config::default();
            let open = handle(config.clone());
            config.server.token = TOKEN.into();
            (open, handle(config))
        });
        let backend = SimBackend::new(1);
        let device = backend.devices().first().expect("a simulated camera").device_id.clone();
        let mut camera = backend.open(&device, Arc::new(|_| {})).expect("it opens");
        let sensors = camera.sensors().expect("it has sensors");
        Self { runtime, open, locked, sensors, device }
    }
}

/// A server without cameras.
fn handle(config: Config) -> Handle {
    scripted::start(config, Vec::new(), Machine::default(), || {}).handle
}

/// Runs with routers of both servers.
fn with_routers(run: impl AsyncFnOnce(&App, &App)) {
    let servers = SERVERS.with(|servers| *servers);
    let mut routers = ROUTERS.take();
    servers.runtime.block_on(async {
        if routers.inputs.is_multiple_of(INPUTS_PER_ROUTER) {
            routers.routers = Some((app(servers.open.clone()), app(servers.locked.clone())));
        }
        routers.inputs += 1;
        let (open, locked) = routers.routers.as_ref().expect("they were just made");
        run(open, locked).await;
    });
    ROUTERS.set(routers);
}

/// Builds all of the HTTP side that a configuration has a say in.
pub(crate) fn serves(config: &Config) {
    let access = access::Access::new(&config.server);
    let _ = (access.cors(), guard::request_timeout(config), pages::service(&config.server));
}

/// The body of a request, read as every type that a route takes, and sent to every route when it is JSON.
pub fn body(data: &[u8]) {
    let servers = SERVERS.with(|servers| *servers);
    if let Some(body) = read::<OfferRequestBody>(data)
        && let Some(offer) = refused_in_words(body.parse(Some("fuzz/1.0 (\u{e4}\u{20ac})")))
    {
        assert!((1..=8).contains(&offer.streams.len()) && offer.streams.iter().all(|stream| stream.is_video()));
        assert!(offer.streams.iter().enumerate().all(|(at, stream)| !offer.streams[..at].contains(stream)));
        assert!(offer.codecs.is_none_or(|codecs| (1..=3).contains(&codecs.len())));
        for profile in offer.profiles.values() {
            assert!((1..=4096).contains(&profile.width) && (1..=4096).contains(&profile.height), "{profile:?}");
            assert!((1..=300).contains(&profile.framerate), "{profile:?}");
        }
    }
    if let Some(body) = read::<AnswerBody>(data)
        && refused_in_words(body.check()).is_some()
    {
        assert!(body.kind == "answer" && body.sdp.contains("v=0"));
    }
    if let Some(body) = read::<CandidateBody>(data) {
        assert_ne!(IceCandidate::from(body).sdp_mid.as_deref(), Some(""));
    }
    if let Some(body) = read::<StartBody>(data) {
        let options = refused_in_words(body.depth_options(&servers.sensors));
        assert!(options.is_none_or(|options| options.len() <= 3));
        if let Some(start) = refused_in_words(body.parse(&servers.device, &servers.sensors)) {
            let streams: Vec<_> = start.configs.iter().map(|(_, config)| config.stream).collect();
            assert!(!streams.is_empty() && streams.iter().enumerate().all(|(at, one)| !streams[..at].contains(one)));
            assert!(start.configs.iter().all(|(index, _)| servers.sensors.iter().any(|known| known.index == *index)));
        }
    }
    if let Some(body) = read::<SensorStartBody>(data) {
        let sensor = servers.sensors[0].index;
        let id = format!("{}-sensor-{sensor}", servers.device);
        if let Some(start) = refused_in_words(body.parse(&servers.device, &id, &servers.sensors)) {
            assert_eq!(start.sensor, Some(sensor));
            assert!(!start.configs.is_empty() && start.configs.iter().all(|(index, _)| *index == sensor));
        }
    }
    if let Some(body) = read::<OptionValueBody>(data) {
        assert!(body.value.is_finite());
    }
    let _ = read::<DepthRangeBody>(data);
    if let Some(SimFault::Drop(share)) = read::<SimFaultRequest>(data).and_then(|body| refused_in_words(body.parse())) {
        assert!((0.0..=1.0).contains(&share));
    }
    if read::<Value>(data).is_some() && data.len() <= MAX_BODY_BYTES {
        with_routers(async |open, _| {
            for (method, path) in &BODIES {
                let request = Request::builder().method(method).uri(*path).header(header::HOST, "localhost");
                let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(data.to_vec()));
                let asking = open.router.clone().oneshot(request.expect("a request"));
                let response = tokio::time::timeout(LONGEST, asking).await.expect("an answer in time");
                let Ok(response) = response;
                let (status, text) = read_out(response).await;
                assert!(status.as_u16() < 500 || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status} {text}");
                if status.is_client_error() {
                    assert!(is_told(&text), "{path}: {status} {text}");
                }
            }
        });
    }
}

/// Reads a body as the routes do. What is refused has the status for it and words.
fn read<T: DeserializeOwned>(data: &[u8]) -> Option<T> {
    let is_json = serde_json::from_slice::<IgnoredAny>(data).is_ok();
    match extract::parse(data) {
        Ok(body) => {
            assert!(is_json, "what is no JSON is taken");
            Some(body)
        }
        Err(error) => {
            let empty = data.iter().all(u8::is_ascii_whitespace);
            let number = matches!(&error, ApiError::Validation(item) if item.msg.starts_with("number out of range"));
            let (status, text) = SERVERS.with(|servers| servers.runtime.block_on(read_out(error.into_response())));
            let expected = [StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::UNPROCESSABLE_ENTITY];
            assert!(expected.contains(&status), "{status}: {text}");
            assert!(is_json || empty || number || status == expected[0], "no JSON is answered {status}: {text}");
            assert!(is_told(&text), "{text}");
            None
        }
    }
}

/// What came of it, or nothing where it was refused; then words say why.
fn refused_in_words<T>(result: Result<T, Error>) -> Option<T> {
    result
        .inspect_err(|error| {
            let words = error.public();
            assert!(words.ends_with('.') && (20..1500).contains(&words.len()), "{words}");
            assert!(!status_of(error).is_server_error(), "{words}");
        })
        .ok()
}

fn status_of(error: &Error) -> StatusCode {
    super::errors::status_of(error.kind())
}

/// Whether an error's body says what is wrong, and does not give a long value back whole.
fn is_told(text: &str) -> bool {
    let body: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let said = match body.get("detail") {
        Some(Value::String(sentence)) => sentence.len() > 10,
        Some(Value::Array(items)) => items.iter().any(|item| item["msg"].as_str().is_some_and(|msg| !msg.is_empty())),
        _ => false,
    };
    said && text.len() < 10_000
}

/// The router's answer; `None` where it waits for something that does not come.
async fn answered(app: &App, request: Request<Body>) -> Option<Response> {
    let mut asking = Box::pin(app.router.clone().oneshot(request));
    for _ in 0..TURNS {
        let poll = futures_util::poll!(asking.as_mut());
        if let Poll::Ready(response) = poll {
            return response.ok();
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn read_out(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("the body of an answer");
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// What a client of Socket.IO posts (long polling), to a server without a token and to one with.
pub fn socket(data: &[u8]) {
    let knows_token = data.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
    with_routers(async |open, locked| {
        converse(open, data).await;
        let welcomed = converse(locked, data).await;
        assert!(!welcomed || knows_token, "a client is let in without the token");
    });
}

/// Opens a connection, posts, polls and closes. Gives back whether the client was welcomed.
async fn converse(app: &App, data: &[u8]) -> bool {
    const PATH: &str = "/socket/?EIO=4&transport=polling";
    let request = |method: Method, path: String, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        request.header(header::CONTENT_TYPE, "text/plain;charset=UTF-8").body(Body::from(body)).expect("a request")
    };
    let opened = answered(app, request(Method::GET, PATH.into(), Vec::new())).await.expect("a handshake");
    let (status, text) = read_out(opened).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let handshake: Value = serde_json::from_str(text.get(1..).unwrap_or_default()).expect("a handshake in JSON");
    let path = format!("{PATH}&sid={}", handshake["sid"].as_str().expect("a connection's id"));
    if let Some(response) = answered(app, request(Method::POST, path.clone(), data.to_vec())).await {
        let (status, text) = read_out(response).await;
        assert!(!status.is_server_error(), "{status}: {text}");
    }
    let mut welcomed = false;
    for _ in 0..MOST_POLLS {
        let Some(response) = answered(app, request(Method::GET, path.clone(), Vec::new())).await else { break };
        let (status, text) = read_out(response).await;
        assert!(!status.is_server_error(), "{status}: {text}");
        welcomed |= text.contains("[\"welcome\"");
        if status != StatusCode::OK {
            break;
        }
    }
    // The packet that closes a connection. Where the client's own packets did that, there is none any more.
    if let Some(response) = answered(app, request(Method::POST, path, b"1".to_vec())).await {
        let (status, text) = read_out(response).await;
        assert!(!status.is_server_error(), "{status}: {text}");
    }
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.sockets.clients(), 0, "a client that is gone keeps its place");
    welcomed
}
