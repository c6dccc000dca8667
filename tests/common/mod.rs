//! What the tests of the running server share: a server on a free port with simulated cameras and a scripted media side,
//! and an HTTP client that shows status, headers and body as they came.
#![allow(dead_code, missing_docs, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, unreachable_pub)]

pub mod fakes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use realsense_webrtc::{
    camera::{
        self, Backend, hub::FrameHub, manager::Timing, recorder::RecorderFactory, recording::Recordings,
        sim::SimBackend,
    },
    config::{Config, SimCameras},
    http::{Limits, serve_with},
    media::fake::FakeMedia,
    metrics::Metrics,
    model::{Fault, PipelineInfo, PipelineState},
    session::{self, Event, Handle, Machine, Observe, Parts},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Serial number of the first simulated camera.
pub const CAMERA: &str = "844212070924";

/// Longest that any single wait in a test may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server on a free port of the loopback, with simulated cameras and a media side that the test scripts.
pub struct TestServer {
    pub address: SocketAddr,
    pub handle: Handle,
    pub media: Arc<FakeMedia>,
    pub metrics: Arc<Metrics>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    cameras: camera::manager::CameraHandle,
}

/// A configuration for tests: short linger, everything else as shipped.
pub fn config() -> Config {
    let mut config = Config::default();
    config.camera.linger_s = 0.1;
    config.camera.sim_cameras = SimCameras::Count(1);
    config
}

/// The pipelines that the scripted media side knows: a good one and one with a fault.
pub fn pipelines() -> Vec<PipelineInfo> {
    let fault = Fault {
        file: "pipelines/color.vp8.gst".into(),
        line: 18,
        column: Some(3),
        token: Some("vp88enc".into()),
        nearest: Some("vp8enc".into()),
        message: "there is no GStreamer element 'vp88enc'; the nearest is vp8enc".into(),
    };
    let good = PipelineInfo { name: "color.h264".into(), state: PipelineState::Works, ..PipelineInfo::default() };
    let broken = PipelineInfo { name: "color.vp8".into(), state: PipelineState::Fault, ..PipelineInfo::default() };
    vec![good, PipelineInfo { fault: Some(fault), ..broken }]
}

/// How many cameras a test asked for.
fn simulated(config: &Config) -> usize {
    match config.camera.sim_cameras {
        SimCameras::Auto => 1,
        SimCameras::Count(count) => count,
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::with_limits(config, Limits::default()).await
    }

    pub async fn with_limits(config: Config, limits: Limits) -> Self {
        let backend = Arc::new(SimBackend::new(simulated(&config)));
        Self::with_parts(config, limits, backend, None).await
    }

    /// A server that records with this, over simulated cameras.
    pub async fn with_recorder(config: Config, factory: Arc<dyn RecorderFactory>) -> Self {
        let backend = Arc::new(SimBackend::new(simulated(&config)));
        Self::with_parts(config, Limits::default(), backend, Some(factory)).await
    }

    /// A server over a backend of one's own.
    pub async fn with_backend(config: Config, backend: Arc<dyn Backend>) -> Self {
        Self::with_parts(config, Limits::default(), backend, None).await
    }

    pub async fn with_parts(
        config: Config,
        limits: Limits,
        backend: Arc<dyn Backend>,
        factory: Option<Arc<dyn RecorderFactory>>,
    ) -> Self {
        let config = Arc::new(config);
        let hub = Arc::new(FrameHub::default());
        let observe = Observe::default();
        let (events, inbox) = session::events(observe.metrics.events.clone());
        let (camera_events, media_events) = (events.clone(), events);
        let timing =
            Timing { reply: Duration::from_secs(5), stall: Duration::from_secs(config.camera.stall_timeout_s) };
        let report = Arc::new(move |event| camera_events.send(Event::Camera(event)));
        let recordings = Recordings::new(&config.recording, factory);
        let metrics = observe.metrics.clone();
        let counted = metrics.clone();
        let cameras = camera::manager::start(vec![backend], hub.clone(), report, timing, recordings, counted).unwrap();
        let report = Arc::new(move |event| media_events.send(Event::Media(event)));
        let media = FakeMedia::with_pipelines(report, pipelines());
        let parts = Parts {
            config,
            hub,
            cameras: cameras.clone(),
            media: media.clone(),
            observe,
            machine: Machine::default(),
            events: inbox,
        };
        let (handle, _actor) = session::spawn(parts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (handle, stop) = (handle.clone(), stop.clone());
            async move { serve_with(listener, handle, limits, stop).await.unwrap() }
        });
        let present = simulated(handle.config());
        let mut snapshot = handle.snapshot();
        let ready = snapshot.wait_for(|now| now.devices.values().filter(|usable| **usable).count() >= present);
        tokio::time::timeout(DEADLINE, ready).await.expect("the cameras open in time").unwrap();
        Self { address, handle, media, metrics, stop, serving, cameras }
    }

    /// The whole ordered end; gives back how long HTTP took.
    pub async fn shutdown(self) -> Duration {
        let began = std::time::Instant::now();
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.serving).await.expect("serving ends in time").unwrap();
        let took = began.elapsed();
        self.handle.shutdown().await;
        let cameras = self.cameras;
        tokio::task::spawn_blocking(move || cameras.shutdown(Duration::from_secs(2))).await.unwrap();
        took
    }

    /// Begins the end and leaves the waiting to the test.
    pub fn begin_shutdown(&self) {
        self.stop.cancel();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// A POST without a body.
    pub async fn post_nothing(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, JSON, &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, JSON, &body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let send = send(self.address, method, path, headers, body.to_owned().into_bytes());
        tokio::time::timeout(DEADLINE, send).await.expect("an answer in time")
    }

    /// A session with these streams, offered and not answered.
    pub async fn offer(&self, streams: &[&str]) -> String {
        let body = serde_json::json!({"device_id": CAMERA, "stream_types": streams});
        let answer = self.post("/api/webrtc/offer", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["session_id"].as_str().unwrap().to_owned()
    }
}

/// The header of a JSON body.
pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The sentence (or list) of an error body.
    #[track_caller]
    pub fn detail(&self) -> String {
        let json = self.json();
        let detail = json.get("detail").unwrap_or_else(|| panic!("no detail: {json}"));
        detail.as_str().map_or_else(|| detail.to_string(), str::to_owned)
    }

    /// Checks the status and that the body is the contract's error body.
    #[track_caller]
    pub fn expect_error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        if matches!(status, 429 | 503) {
            let seconds: u64 = self.header("retry-after").expect("a Retry-After").parse().unwrap();
            assert!((1..=60).contains(&seconds), "Retry-After {seconds}");
        }
        let detail = self.detail();
        assert!(detail.len() > 10, "a sentence: {detail}");
        detail
    }
}

/// One request on a connection of its own.
pub async fn send(address: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    driver.abort();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Asks again and again until `found` gives something, or the deadline passes.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let search = async {
        loop {
            if let Some(value) = found().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
