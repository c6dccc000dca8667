//! A relay that the server dials out to: what is asked through it, what it may not do, and what its misbehaviour leaves alone. The
//! relay is a WebSocket that the test writes into by hand, so that it can lie.

use futures_util::{SinkExt, StreamExt};
use http::Method;
use realsense_webrtc::{
    config::{Allow, Config, SimCameras},
    error::Result,
    media::{LocalOffer, MediaEvent, fake::Call},
    model::{IceCandidate, SessionId},
    relay,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::common::{CAMERA, DEADLINE, TestServer, config, eventually};

const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const CANDIDATE: &str = "candidate:1 1 UDP 2122252543 192.168.1.20 53124 typ host";

/// A server and the relay that it dials.
struct Bench {
    server: TestServer,
    relay: TcpListener,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// One connection of the server's at the relay.
struct Robot {
    socket: WebSocketStream<TcpStream>,
    /// What it said to be admitted.
    connect: String,
    /// What it registered with.
    registered: Value,
}

impl Bench {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = config();
        config.relay.url = format!("ws://{}", relay.local_addr().unwrap());
        change(&mut config);
        let server = TestServer::with(config).await;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(relay::serve(server.handle.clone(), stop.clone()));
        Self { server, relay, stop, serving }
    }

    /// Takes the next connection as far as a relay's handshake goes.
    async fn dialled(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = timeout(DEADLINE, self.relay.accept()).await.expect("the server dials in time").unwrap();
        accept_async(stream).await.unwrap()
    }

    /// Takes the next connection and admits it.
    async fn admit(&self) -> Robot {
        self.admit_with(25_000).await
    }

    async fn admit_with(&self, ping_ms: u64) -> Robot {
        let mut socket = self.dialled().await;
        let open = json!({"sid": "x", "upgrades": [], "pingInterval": ping_ms, "pingTimeout": ping_ms, "maxPayload": 1_000_000});
        socket.send(Message::text(format!("0{open}"))).await.unwrap();
        let connect = text(&mut socket).await.expect("it wants to be admitted");
        socket.send(Message::text(r#"40{"sid":"y"}"#)).await.unwrap();
        let mut robot = Robot { socket, connect, registered: Value::Null };
        robot.registered = robot.hear("robot-register").await;
        robot
    }

    async fn sessions(&self) -> Vec<Value> {
        self.server.get("/api/webrtc/sessions").await.json().as_array().unwrap().clone()
    }

    async fn until_sessions(&self, count: usize) -> Vec<Value> {
        eventually("the number of sessions", async || {
            let sessions = self.sessions().await;
            (sessions.len() == count).then_some(sessions)
        })
        .await
    }

    async fn connect(&self, session: &str) {
        let id = SessionId::new(session);
        self.server.media.emit(MediaEvent::Connected { session: id, remote_address: None });
        eventually("it is connected", async || {
            let status = self.server.get(&format!("/api/webrtc/sessions/{session}")).await.json();
            (status["connected"] == true).then_some(())
        })
        .await;
    }

    async fn clouds(&self) -> bool {
        self.server.get(&format!("/api/devices/{CAMERA}/point_cloud/status")).await.json()["is_active"] == true
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.serving).await.expect("it ends in time").unwrap();
        self.server.shutdown().await;
    }
}

/// The next text; `None` when the server hung up.
async fn text(socket: &mut WebSocketStream<TcpStream>) -> Option<String> {
    loop {
        match timeout(DEADLINE, socket.next()).await.expect("it says something in time") {
            Some(Ok(Message::Text(text))) => return Some(text.to_string()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

impl Robot {
    async fn raw(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.unwrap();
    }

    async fn emit(&mut self, name: &str, data: Value) {
        self.raw(&format!("42{}", json!([name, data]))).await;
    }

    /// The argument of the next event of that name; others are passed over.
    async fn hear(&mut self, name: &str) -> Value {
        let mut others = Vec::new();
        while let Some(text) = text(&mut self.socket).await {
            let event: Value =
                text.strip_prefix("42").map_or(Value::Null, |event| serde_json::from_str(event).unwrap());
            if event[0] == name {
                return event[1].clone();
            }
            others.push(text);
        }
        panic!("the server hung up instead of saying {name}; it said {others:?}")
    }

    async fn create(&mut self, session: &str, streams: Value) {
        self.emit("create-session", json!({"sessionId": session, "deviceId": CAMERA, "streamTypes": streams})).await;
    }

    async fn offered(&mut self, session: &str, streams: Value) -> Value {
        self.create(session, streams).await;
        let offer = self.hear("webrtc-offer").await;
        assert_eq!(offer["sessionId"], session);
        offer
    }

    /// Waits until the server has hung up.
    async fn hung_up(mut self) {
        while text(&mut self.socket).await.is_some() {}
    }
}

#[tokio::test]
async fn a_session_goes_through_its_life() {
    let bench = Bench::new(|config| config.relay.token = "s3cret".into()).await;
    let mut robot = bench.admit().await;
    assert_eq!(robot.connect, r#"40{"token":"s3cret"}"#);
    let (known, info) = (&robot.registered, &robot.registered["deviceInfo"]);
    assert_eq!((&known["robotId"], &info["deviceId"]), (&json!(format!("robot-{CAMERA}")), &json!(CAMERA)));
    assert_eq!((&info["serialNumber"], &info["status"]), (&json!(CAMERA), &json!("available")));
    assert_eq!(info["capabilities"], json!(["color", "depth", "infrared", "pointcloud"]));
    assert!(info["sensors"].as_array().is_some_and(|sensors| sensors.contains(&json!("Stereo Module"))), "{info}");
    assert!(info["name"].is_string() && info["firmwareVersion"].is_string() && info["lastSeen"].is_string(), "{info}");

    let offer = robot.offered("abc", json!(["color"])).await;
    assert_eq!(offer["offer"]["type"], "offer");
    assert!(offer["offer"]["sdp"].as_str().is_some_and(|sdp| sdp.starts_with("v=0")));
    let candidate = robot.hear("ice-candidate").await;
    assert_eq!(candidate["sessionId"], "abc");
    let (id, late) = (SessionId::new(bench.sessions().await[0]["session_id"].as_str().unwrap()), CANDIDATE.to_owned());
    let late = IceCandidate { candidate: late, sdp_mid: Some("0".into()), sdp_mline_index: Some(0) };
    bench.server.media.emit(MediaEvent::LocalCandidate { session: id, candidate: late });
    let second = robot.hear("ice-candidate").await;
    assert_eq!(second["candidate"]["candidate"], CANDIDATE, "each is told once, also one that comes late");
    let line = candidate["candidate"]["candidate"].as_str();
    assert!(line.is_some_and(|line| line.starts_with("candidate:")), "{candidate}");
    assert!(candidate["candidate"]["sdpMLineIndex"].is_number(), "{candidate}");
    let sessions = bench.sessions().await;
    assert_eq!((&sessions[0]["via"], &sessions[0]["state"]), (&json!("relay"), &json!("offered")));
    let id = sessions[0]["session_id"].as_str().unwrap().to_owned();

    let candidate = json!({"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"});
    robot.emit("ice-candidate", json!({"sessionId": "abc", "candidate": candidate})).await;
    robot.emit("ice-candidate", json!({"sessionId": "abc", "candidate": null})).await;
    robot.emit("webrtc-answer", json!({"sessionId": "abc", "answer": {"sdp": "x", "type": "answer"}})).await;
    let error = robot.hear("session-error").await;
    assert!(error["error"].as_str().is_some_and(|words| words.contains("v=0")), "{error}");
    robot.emit("webrtc-answer", json!({"sessionId": "abc", "answer": {"sdp": ANSWER, "type": "answer"}})).await;
    eventually("it is answered", async || (bench.sessions().await[0]["state"] == "connecting").then_some(())).await;
    bench.connect(&id).await;

    robot.emit("switch-stream-type", json!({"sessionId": "abc", "streamTypes": ["depth"]})).await;
    let switched = robot.hear("stream-type-switched").await;
    assert_eq!(switched, json!({"sessionId": "abc", "streamTypes": ["depth"]}));
    assert_eq!(bench.sessions().await[0]["stream_types"], json!(["depth"]));
    robot.emit("switch-stream-type", json!({"sessionId": "abc", "streamTypes": ["depth", "color"]})).await;
    let refused = robot.hear("stream-type-switch-error").await;
    assert_eq!(refused["sessionId"], "abc");
    assert!(refused["error"].as_str().is_some_and(|words| words.len() > 20), "{refused}");
    assert_eq!(bench.sessions().await[0]["stream_types"], json!(["depth"]), "a refused change changes nothing");

    robot.emit("session-closed", json!({"sessionId": "abc"})).await;
    bench.until_sessions(0).await;
    bench.end().await;
}

#[tokio::test]
async fn depth_brings_the_channel_of_points_along() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    robot.offered("a", json!(["color"])).await;
    robot.offered("b", json!(["depth"])).await;
    let with_channel: Vec<_> = bench.server.media.specs().iter().map(|spec| spec.data_channel).collect();
    assert_eq!(with_channel, [false, true]);
    bench.end().await;
}

#[tokio::test]
async fn viewers_have_the_rights_that_the_configuration_gives() {
    let sensor = format!("{CAMERA}-sensor-0");
    let size = json!({"width": 640, "height": 480});
    let depth =
        json!({"sensor_id": sensor, "stream_type": "depth", "format": "z16", "resolution": size, "framerate": 30});
    let start = json!({"deviceId": CAMERA, "streamConfigs": [depth]});

    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    for (name, data) in [("start-device-stream", start.clone()), ("stop-device-stream", json!({"deviceId": CAMERA}))] {
        robot.emit(name, data).await;
        let error = robot.hear("pointcloud-error").await;
        assert!(error["error"].as_str().is_some_and(|words| words.contains("relay.allow")), "{error}");
    }
    let references = bench.server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({}));
    bench.end().await;

    let bench = Bench::new(|config| config.relay.allow = Allow::Control).await;
    let mut robot = bench.admit().await;
    let again = start.clone();
    robot.emit("start-device-stream", start).await;
    let started = robot.hear("device-stream-started").await;
    assert_eq!((&started["deviceId"], &started["result"]["is_streaming"]), (&json!(CAMERA), &json!(true)), "{started}");
    assert_eq!(started["result"]["active_streams"], json!(["depth"]));
    robot.emit("stop-device-stream", json!({"deviceId": CAMERA})).await;
    let stopped = robot.hear("device-stream-stopped").await;
    assert_eq!(stopped["result"]["device_id"], CAMERA);
    // They are done in the order in which they are asked for.
    for name in ["start-device-stream", "stop-device-stream", "start-device-stream", "stop-device-stream"] {
        let data = if name.starts_with("start") { again.clone() } else { json!({"deviceId": CAMERA}) };
        robot.emit(name, data).await;
    }
    for name in ["device-stream-started", "device-stream-stopped", "device-stream-started", "device-stream-stopped"] {
        robot.hear(name).await;
    }
    let references = bench.server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({}));
    robot.emit("start-device-stream", json!({"deviceId": CAMERA, "streamConfigs": [{"sensor_id": sensor}]})).await;
    let error = robot.hear("pointcloud-error").await;
    assert!(error["error"].as_str().is_some_and(|words| words.contains("stream_type")), "{error}");
    robot.emit("start-device-stream", json!({"deviceId": CAMERA, "streamConfigs": []})).await;
    assert!(robot.hear("pointcloud-error").await["error"].is_string());
    bench.end().await;
}

#[tokio::test]
async fn a_point_cloud_ends_with_the_relays_last_session() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    robot.offered("a", json!(["depth"])).await;
    robot.offered("b", json!(["depth"])).await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA})).await;
    let activated = robot.hear("pointcloud-activated").await;
    assert_eq!(activated, json!({"device_id": CAMERA, "is_active": true}));
    assert!(bench.clouds().await);
    robot.emit("session-closed", json!({"sessionId": "a"})).await;
    bench.until_sessions(1).await;
    assert!(bench.clouds().await, "one of them is still there");
    robot.emit("session-closed", json!({"sessionId": "b"})).await;
    eventually("it is off", async || (!bench.clouds().await).then_some(())).await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA, "enabled": true})).await;
    robot.hear("pointcloud-activated").await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA, "enabled": false})).await;
    assert_eq!(robot.hear("pointcloud-activated").await["is_active"], false);

    // What somebody else switched on stays, whatever the relay says.
    assert_eq!(bench.server.post_nothing(&format!("/api/devices/{CAMERA}/point_cloud/activate")).await.status, 200);
    robot.offered("c", json!(["depth"])).await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA})).await;
    robot.hear("pointcloud-activated").await;
    robot.emit("session-closed", json!({"sessionId": "c"})).await;
    bench.until_sessions(0).await;
    robot.offered("d", json!(["depth"])).await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA, "enabled": false})).await;
    assert_eq!(robot.hear("pointcloud-activated").await["is_active"], true);
    assert!(bench.clouds().await);
    bench.end().await;
}

#[tokio::test]
async fn the_relay_hears_of_sessions_that_the_server_ends() {
    let bench = Bench::new(|config| config.sessions.answer_timeout_s = 1).await;
    let mut robot = bench.admit().await;
    robot.offered("a", json!(["color"])).await;
    assert_eq!(robot.hear("close-session").await, json!({"sessionId": "a"}), "nobody answered");
    robot.offered("b", json!(["color"])).await;
    let closed = bench.server.send(Method::DELETE, "/api/webrtc/sessions", &[], "").await.json();
    assert_eq!(closed["closed_sessions"], 1);
    assert_eq!(robot.hear("close-session").await, json!({"sessionId": "b"}));

    // And of its own end.
    robot.offered("c", json!(["color"])).await;
    bench.stop.cancel();
    assert_eq!(robot.hear("close-session").await, json!({"sessionId": "c"}));
    assert_eq!(text(&mut robot.socket).await.as_deref(), Some("41"), "it says good-bye");
    bench.until_sessions(0).await;
    bench.end().await;
}

#[tokio::test]
async fn a_relay_that_lies_changes_nothing() {
    let bench = Bench::new(|_| {}).await;
    let other = bench.server.offer(&["color"]).await;
    let mut robot = bench.admit().await;
    for (name, data, answer) in [
        ("create-session", json!({"sessionId": "a", "deviceId": "000", "streamTypes": ["color"]}), "session-error"),
        ("create-session", json!({"sessionId": "a", "deviceId": CAMERA, "streamTypes": ["thermal"]}), "session-error"),
        (
            "create-session",
            json!({"sessionId": "a", "deviceId": CAMERA, "streamTypes": ["pointcloud"]}),
            "session-error",
        ),
        ("create-session", json!({"sessionId": "a", "deviceId": CAMERA, "streamTypes": []}), "session-error"),
        ("create-session", json!(["a"]), "session-error"),
        ("webrtc-answer", json!({"sessionId": other, "answer": {"sdp": ANSWER, "type": "answer"}}), "session-error"),
        ("webrtc-answer", json!({"sessionId": "nobody", "answer": {"sdp": ANSWER, "type": "answer"}}), "session-error"),
        ("webrtc-answer", json!({"sessionId": "nobody"}), "session-error"),
        ("switch-stream-type", json!({"sessionId": other, "streamTypes": ["depth"]}), "stream-type-switch-error"),
        ("switch-stream-type", json!({"sessionId": "nobody", "streamTypes": "depth"}), "stream-type-switch-error"),
        ("activate-pointcloud", json!({"deviceId": "000"}), "pointcloud-error"),
        ("activate-pointcloud", json!(null), "pointcloud-error"),
    ] {
        robot.emit(name, data.clone()).await;
        let error = robot.hear(answer).await;
        assert!(error["error"].as_str().is_some_and(|words| words.len() > 20), "{name} {data}: {error}");
    }
    // What means nothing, or comes too late, is nobody's fault.
    robot.emit("session-closed", json!({"sessionId": other})).await;
    robot.emit("ice-candidate", json!({"sessionId": "nobody", "candidate": null})).await;
    robot.emit("ice-candidate", json!(7)).await;
    robot.emit("test", json!({"message": "hello"})).await;
    robot.raw(r#"42/admin,["create-session",{}]"#).await;
    robot.raw(r#"451-["x",{"_placeholder":true,"num":0}]"#).await;
    robot.socket.send(Message::binary(vec![0; 100])).await.unwrap();
    robot.offered("a", json!(["color"])).await;
    robot.create("a", json!(["color"])).await;
    assert!(robot.hear("session-error").await["error"].as_str().unwrap().contains("already"));
    let sessions = bench.sessions().await;
    assert_eq!(sessions.len(), 2);
    let direct = sessions.iter().find(|session| session["session_id"] == other.as_str()).expect("it is still there");
    assert_eq!((&direct["via"], &direct["state"]), (&Value::Null, &json!("offered")));
    bench.end().await;
}

#[tokio::test]
async fn what_never_connects_takes_few_sessions() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    for number in 0..8 {
        robot.offered(&number.to_string(), json!(["color"])).await;
    }
    robot.create("8", json!(["color"])).await;
    let refused = robot.hear("session-error").await;
    assert!(refused["error"].as_str().is_some_and(|words| words.contains("try again")), "{refused}");
    let first = bench.sessions().await[0]["session_id"].as_str().unwrap().to_owned();
    bench.server.delete(&format!("/api/webrtc/sessions/{first}")).await;
    robot.hear("close-session").await;
    robot.offered("9", json!(["color"])).await;
    assert_eq!(bench.sessions().await.len(), 8);
    bench.end().await;
}

#[tokio::test]
async fn a_relay_that_floods_is_left_and_dialled_again() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    robot.offered("a", json!(["color"])).await;
    for _ in 0..1500 {
        let line = json!({"sessionId": "a", "candidate": null});
        // The server may hang up in the middle.
        if robot.socket.send(Message::text(format!("42{}", json!(["ice-candidate", line])))).await.is_err() {
            break;
        }
    }
    robot.hung_up().await;
    assert_eq!(bench.sessions().await.len(), 1, "its sessions go on");
    assert_eq!(bench.server.get("/api/health").await.status, 200);
    bench.admit().await;
    bench.end().await;
}

#[tokio::test]
async fn a_relay_that_talks_nonsense_is_left_and_dialled_again() {
    let long = "4".repeat(300_000);
    // Each with a server of its own: attempts have longer and longer pauses.
    let tries = ["", "x", "42{", "4", long.as_str()].map(async |nonsense| {
        let bench = Bench::new(|_| {}).await;
        let mut robot = bench.admit().await;
        // It may be too long to be taken whole.
        let _ = robot.socket.send(Message::text(nonsense.to_owned())).await;
        robot.hung_up().await;
        bench.admit().await;
        bench.end().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn a_relay_that_goes_away_or_falls_silent_is_dialled_again_and_its_viewers_stay() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    robot.offered("a", json!(["color"])).await;
    robot.offered("b", json!(["color"])).await;
    // An offer that is not made yet goes with the connection.
    bench.server.media.hold_offers(true);
    robot.create("c", json!(["color"])).await;
    bench.until_sessions(3).await;
    drop(robot);
    let unheard = bench.server.media.specs().pop().unwrap().session;
    bench.server.media.hold_offers(false);
    // One second is the shortest that a relay's two times can be.
    let mut robot = bench.admit_with(1).await;
    bench.server.media.emit(MediaEvent::Offer { session: unheard, result: local_offer() });
    let sessions = bench.until_sessions(2).await;
    eventually("it is counted", async || {
        let metrics = bench.server.get("/api/metrics").await.text();
        let of = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        let counted = (of("realsense_webrtc_relay_connections"), of("realsense_webrtc_relay_attempts_total"));
        (counted == (Some(1.0), Some(2.0))).then_some(())
    })
    .await;
    robot.raw("2").await;
    assert_eq!(text(&mut robot.socket).await.as_deref(), Some("3"), "a ping is answered");
    let fell_silent = std::time::Instant::now();
    robot.hung_up().await;
    assert!((1..15).contains(&fell_silent.elapsed().as_secs()), "{:?}", fell_silent.elapsed());

    // A session that ended meanwhile is told once there is somebody to tell.
    let id = sessions[0]["session_id"].as_str().unwrap();
    bench.server.delete(&format!("/api/webrtc/sessions/{id}")).await;
    let mut robot = bench.admit().await;
    robot.hear("close-session").await;
    robot.emit("session-closed", json!({"sessionId": "a"})).await;
    robot.emit("session-closed", json!({"sessionId": "b"})).await;
    bench.until_sessions(0).await;
    bench.end().await;
}

#[tokio::test]
async fn a_relay_that_does_not_admit_the_server_is_asked_again() {
    let bench = Bench::new(|config| config.relay.token = "old".into()).await;
    for refusal in [r#"44{"message":"invalid token"}"#, "41", "nonsense"] {
        let mut socket = bench.dialled().await;
        socket.send(Message::text(r#"0{"pingInterval":25000,"pingTimeout":20000}"#)).await.unwrap();
        assert_eq!(text(&mut socket).await.as_deref(), Some(r#"40{"token":"old"}"#));
        socket.send(Message::text(refusal)).await.unwrap();
        assert_eq!(text(&mut socket).await, None, "{refusal}");
    }
    bench.admit().await;
    assert_eq!(bench.server.get("/api/health").await.status, 200);
    bench.end().await;
}

#[tokio::test]
async fn each_camera_is_a_robot_and_one_alone_has_the_configured_name() {
    let bench = Bench::new(|config| config.relay.robot_id = "picker-7".into()).await;
    assert_eq!(bench.admit().await.registered["robotId"], "picker-7");
    bench.end().await;
    let bench = Bench::new(|config| {
        config.relay.robot_id = "picker-7".into();
        config.camera.sim_cameras = SimCameras::Count(2);
    })
    .await;
    let (one, other) = (bench.admit().await, bench.admit().await);
    for robot in [one, other] {
        let serial = robot.registered["deviceInfo"]["serialNumber"].as_str().unwrap();
        assert_eq!(robot.registered["robotId"], format!("robot-{serial}"));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_camera_that_is_gone_leaves_the_relay_with_its_last_session() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    let fault = format!("/api/sim/devices/{CAMERA}/fault");
    robot.offered("a", json!(["depth"])).await;
    robot.emit("activate-pointcloud", json!({"deviceId": CAMERA})).await;
    robot.hear("pointcloud-activated").await;
    assert_eq!(bench.server.post(&fault, &json!({"fault": "unplug"})).await.status, 200);
    // Its session may find its camera again, so it is still known.
    robot.create("b", json!(["color"])).await;
    assert_eq!(robot.hear("session-error").await["sessionId"], "b");
    bench.server.delete("/api/webrtc/sessions").await;
    assert_eq!(robot.hear("close-session").await, json!({"sessionId": "a"}));
    assert_eq!(text(&mut robot.socket).await.as_deref(), Some("41"), "it says good-bye");
    assert_eq!(bench.server.post(&fault, &json!({"fault": "replug"})).await.status, 200);
    let mut robot = bench.admit().await;
    assert!(!bench.clouds().await, "the relay's point cloud went with its session");

    // The same where the viewer leaves.
    robot.offered("c", json!(["depth"])).await;
    assert_eq!(bench.server.post(&fault, &json!({"fault": "unplug"})).await.status, 200);
    robot.create("d", json!(["color"])).await;
    robot.hear("session-error").await;
    robot.emit("session-closed", json!({"sessionId": "c"})).await;
    robot.hung_up().await;
    bench.until_sessions(0).await;
    bench.end().await;
}

fn local_offer() -> Result<LocalOffer> {
    Ok(LocalOffer { sdp: ANSWER.into(), candidates: Vec::new() })
}

#[tokio::test]
async fn a_viewer_that_leaves_before_its_offer_is_made_leaves_no_session() {
    let bench = Bench::new(|_| {}).await;
    let mut robot = bench.admit().await;
    bench.server.media.hold_offers(true);
    // The same id again, while the first offer is still being made.
    robot.create("a", json!(["color"])).await;
    robot.emit("session-closed", json!({"sessionId": "a"})).await;
    robot.create("a", json!(["color"])).await;
    bench.until_sessions(2).await;
    let opened: Vec<_> = bench.server.media.specs().into_iter().map(|spec| spec.session).collect();
    for session in opened.clone() {
        bench.server.media.emit(MediaEvent::Offer { session, result: local_offer() });
    }
    assert_eq!(robot.hear("webrtc-offer").await["sessionId"], "a");
    let left = bench.until_sessions(1).await;
    assert_eq!(left[0]["session_id"], opened[1].to_string(), "the second one has the offer");
    assert!(bench.server.media.calls().contains(&Call::Close(opened[0].clone())));
    robot.emit("session-closed", json!({"sessionId": "a"})).await;
    bench.until_sessions(0).await;

    // However many come and go, as many are under way as may be.
    for number in 0..20 {
        robot.create(&number.to_string(), json!(["color"])).await;
        robot.emit("session-closed", json!({"sessionId": number.to_string()})).await;
    }
    for _ in 0..12 {
        assert!(robot.hear("session-error").await["error"].as_str().unwrap().contains("try again"));
    }
    assert_eq!(bench.sessions().await.len(), 8);
    bench.end().await;
}
