//! Explicit start and stop, depth, the point cloud switch.

use std::sync::{
    Arc, Mutex,
    mpsc::{self, Receiver, Sender},
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    common::{
        CAMERA, TestServer, config, eventually,
        fakes::{OddBackend, Traits},
    },
    depth_start,
};

#[tokio::test]
async fn an_explicit_start_holds_its_own_reference() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/stream");
    let status = server.get(&format!("{base}/status")).await.json();
    assert_eq!(status["is_streaming"], false);
    assert_eq!(status["active_streams"], json!([]));
    assert_eq!(status["stopping"], false);

    let started = server.post(&format!("{base}/start"), &depth_start(640, 480, 30)).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let status = started.json();
    assert_eq!(status["device_id"], CAMERA);
    assert_eq!(status["is_streaming"], true);
    assert_eq!(status["active_streams"], json!(["depth"]));
    assert_eq!(status["framerate"], 30.0);
    assert!(status["duration"].as_f64().is_some_and(|seconds| seconds < 20.0));
    assert_eq!((&status["timings"], &status["config_reused"]), (&json!({}), &json!(false)));
    assert_eq!(status["config_signature"], "depth z16 640x480@30");
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["is_streaming"], true);

    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({CAMERA: {"depth": 1}}));
    let running = &references["device_stream_configs"][CAMERA];
    assert_eq!(
        running["configs"],
        json!([{"sensor_id": format!("{CAMERA}-sensor-0"), "stream_type": "depth", "format": "z16",
            "resolution": {"width": 640, "height": 480}, "framerate": 30, "enable": true}])
    );
    assert!(running["started_at"].as_f64().unwrap() > 1.7e9);

    // The same again changes nothing; other parameters are a conflict that says what runs.
    let again = server.post(&format!("{base}/start"), &depth_start(640, 480, 30)).await.json();
    assert_eq!(again["config_reused"], true);
    let detail = server.post(&format!("{base}/start"), &depth_start(848, 480, 30)).await.expect_error(409);
    assert!(detail.contains("640x480"), "{detail}");
    assert_eq!(server.get("/api/webrtc/stream-references").await.json(), references);

    // A viewer's reference outlives the stop.
    let session = server.offer(&["depth"]).await;
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({CAMERA: {"depth": 2}}));
    let stopped = server.post_nothing(&format!("{base}/stop")).await;
    assert_eq!(stopped.status, 200);
    let stopped = stopped.json();
    assert_eq!((&stopped["is_streaming"], &stopped["stopping"]), (&json!(false), &json!(true)));
    assert_eq!((&stopped["active_streams"], &stopped["held_by"]), (&json!([]), &json!({"depth": 1})));
    assert_eq!(server.get(&format!("{base}/status")).await.json()["is_streaming"], true);
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({CAMERA: {"depth": 1}}));

    let closed = server.delete(&format!("/api/webrtc/sessions/{session}")).await;
    assert_eq!(closed.json(), json!({"success": true}));
    eventually("the stream stops after the linger", async || {
        let status = server.get(&format!("/api/devices/{CAMERA}/stream/status")).await.json();
        (status["is_streaming"] == false).then_some(())
    })
    .await;
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references, json!({"stream_references": {}, "device_stream_configs": {}}));
    server.shutdown().await;
}

/// Asks to start and hangs up before the answer, once the server has the request.
async fn hang_up_while_starting(server: &TestServer, body: &Value) {
    let request = ask_to_start(server, body).await;
    hang_up(server, request, 0).await;
}

/// Asks to start, without waiting for the answer; the server has the request.
async fn ask_to_start(server: &TestServer, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /api/devices/{CAMERA}/stream/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("the camera is asked", async || {
        (references(server).await == json!({CAMERA: {"depth": 1}})).then_some(())
    })
    .await;
    stream
}

/// Waits until a second request is being answered beside the first.
async fn both_are_there(server: &TestServer) {
    let connections = || server.metrics.http.connections.get();
    eventually("a second connection", async || (connections() == 2).then_some(())).await;
    // What comes later is answered; so what came with the connection is being answered.
    references(server).await;
}

/// Hangs up; the server has seen it, and this many connections are left.
async fn hang_up(server: &TestServer, request: TcpStream, left: i64) {
    drop(request);
    // What the camera answers before that is still an answer.
    let connections = || server.metrics.http.connections.get();
    eventually("the server sees that it is gone", async || (connections() == left).then_some(())).await;
}

async fn references(server: &TestServer) -> Value {
    server.get("/api/webrtc/stream-references").await.json()["stream_references"].clone()
}

/// What holds a camera's sensors back until it is dropped.
struct Gate {
    _release: Sender<()>,
    held: Arc<Mutex<Receiver<()>>>,
}

impl Gate {
    /// Waits until the camera is held back: what it is asked from now on it does after the start, not with it.
    async fn is_reached(&self) {
        eventually("the camera begins to start", async || self.held.try_lock().is_err().then_some(())).await;
    }
}

/// A camera whose sensors begin only once the gate is dropped.
fn held_back() -> (Arc<OddBackend>, Gate) {
    let (release, gate) = mpsc::channel();
    let gate = Gate { _release: release, held: Arc::new(Mutex::new(gate)) };
    let (backend, _) = OddBackend::new(Traits { start_gate: Some(gate.held.clone()), ..Traits::default() });
    (backend, gate)
}

async fn options(server: &TestServer) -> Vec<f64> {
    let mut values = Vec::new();
    for option in ["align_to", "spatial_filter", "temporal_filter"] {
        let path = format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/{option}");
        values.push(server.get(&path).await.json()["current_value"].as_f64().unwrap());
    }
    values
}

#[tokio::test]
async fn a_start_whose_requester_hangs_up_keeps_no_reference_and_puts_the_options_back() {
    let (backend, release) = held_back();
    let server = TestServer::with_backend(config(), backend).await;
    let before = options(&server).await;
    let mut body = depth_start(640, 480, 30);
    body["align_to"] = json!("color");
    body["apply_filters"] = json!(true);
    hang_up_while_starting(&server, &body).await;
    drop(release);
    eventually("the reference is let go", async || (references(&server).await == json!({})).then_some(())).await;
    eventually("the options are put back", async || (options(&server).await == before).then_some(())).await;
    eventually("the camera stops", async || {
        let status = server.get(&format!("/api/devices/{CAMERA}/stream/status")).await.json();
        (status["is_streaming"] == false).then_some(())
    })
    .await;
    // One that is answered stays, with its options, though its connection ends like every other.
    let started = server.post(&format!("/api/devices/{CAMERA}/stream/start"), &body).await;
    assert_eq!(started.status, 200, "{}", started.text());
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 1}}));
    assert_eq!(options(&server).await, [1.0, 1.0, 1.0]);
    server.shutdown().await;
}

#[tokio::test]
async fn who_hangs_up_takes_nothing_from_another_start() {
    let (backend, release) = held_back();
    let server = TestServer::with_backend(config(), backend).await;
    let body = depth_start(640, 480, 30);
    hang_up_while_starting(&server, &body).await;
    let path = format!("/api/devices/{CAMERA}/stream/start");
    let let_go = async { drop(release) };
    let (started, ()) = tokio::join!(server.post(&path, &body), let_go);
    assert_eq!(started.status, 200, "{}", started.text());
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 1}}));
    assert_eq!(started.json()["is_streaming"], true);
    server.shutdown().await;
}

/// What one start set and another was answered for stays, whatever becomes of the first.
#[tokio::test]
async fn who_hangs_up_or_is_refused_takes_back_no_option_that_somebody_else_set() {
    let (backend, release) = held_back();
    let server = TestServer::with_backend(config(), backend).await;
    let mut body = depth_start(640, 480, 30);
    body["apply_filters"] = json!(true);
    hang_up_while_starting(&server, &body).await;
    let path = format!("/api/devices/{CAMERA}/stream/start");
    let let_go = async { drop(release) };
    let (started, ()) = tokio::join!(server.post(&path, &body), let_go);
    assert_eq!(started.status, 200, "{}", started.text());
    assert_eq!(options(&server).await, [0.0, 1.0, 1.0]);
    // A start that is refused puts back what it set, and nothing else.
    let mut other = depth_start(848, 480, 30);
    other["align_to"] = json!("color");
    assert_eq!(server.post(&path, &other).await.status, 409);
    assert_eq!(options(&server).await, [0.0, 1.0, 1.0]);
    server.shutdown().await;
}

/// The option that a person set while a start waited is not the start's to put back.
#[tokio::test]
async fn who_hangs_up_leaves_what_a_person_has_set_since() {
    let (backend, release) = held_back();
    let server = TestServer::with_backend(config(), backend).await;
    let path = format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/spatial_filter");
    assert_eq!(server.put(&path, &json!({"value": 1})).await.status, 200);
    let mut body = depth_start(640, 480, 30);
    body["apply_filters"] = json!(true);
    let request = ask_to_start(&server, &body).await;
    release.is_reached().await;
    let then = async {
        // The camera does it after the start, and before anything is put back.
        both_are_there(&server).await;
        hang_up(&server, request, 1).await;
        drop(release);
    };
    let off = json!({"value": 0});
    let (set, ()) = tokio::join!(server.put(&path, &off), then);
    assert_eq!(set.status, 200, "{}", set.text());
    eventually("the reference is let go", async || (references(&server).await == json!({})).then_some(())).await;
    eventually("the rest is put back", async || (options(&server).await == [0.0, 0.0, 0.0]).then_some(())).await;
    server.shutdown().await;
}

/// A start that comes while another waits takes nothing of that one's settings for what was there before.
#[tokio::test]
async fn a_start_waits_for_the_options_of_the_one_before() {
    let (backend, release) = held_back();
    let server = TestServer::with_backend(config(), backend).await;
    let mut body = depth_start(640, 480, 30);
    body["apply_filters"] = json!(true);
    let request = ask_to_start(&server, &body).await;
    // It will be refused, and puts back what it finds.
    let mut other = depth_start(848, 480, 30);
    other["apply_filters"] = json!(true);
    let path = format!("/api/devices/{CAMERA}/stream/start");
    let then = async {
        both_are_there(&server).await;
        hang_up(&server, request, 1).await;
        drop(release);
    };
    let (second, ()) = tokio::join!(server.post(&path, &other), then);
    assert!([200, 409].contains(&second.status), "{}", second.text());
    let expected = if second.status == 200 { [0.0, 1.0, 1.0] } else { [0.0; 3] };
    eventually("each has what it was answered", async || (options(&server).await == expected).then_some(())).await;
    server.shutdown().await;
}

/// A stream that nobody holds is in nobody's way, however long it would linger.
#[tokio::test]
async fn what_lingers_yields_to_a_start_an_offer_and_a_stop() {
    let mut config = config();
    config.camera.linger_s = 3600.0;
    let server = TestServer::with(config).await;
    let base = format!("/api/devices/{CAMERA}/stream");
    let linger = async |streams: &[&str]| {
        let session = server.offer(streams).await;
        assert_eq!(server.delete(&format!("/api/webrtc/sessions/{session}")).await.status, 200);
        let status = server.get(&format!("{base}/status")).await.json();
        assert_eq!((&status["is_streaming"], &status["stopping"]), (&json!(true), &json!(true)));
    };
    linger(&["depth", "infrared-1"]).await;
    let started = server.post(&format!("{base}/start"), &depth_start(848, 480, 30)).await;
    assert_eq!(started.status, 200, "{}", started.text());
    assert_eq!(started.json()["active_streams"], json!(["depth"]));
    let stopped = server.post_nothing(&format!("{base}/stop")).await.json();
    assert_eq!((&stopped["is_streaming"], &stopped["stopping"]), (&json!(false), &json!(false)));

    linger(&["color", "depth"]).await;
    let wish = json!({"width": 848, "height": 480, "framerate": 15});
    let body = json!({"device_id": CAMERA, "stream_types": ["infrared-1", "depth"], "profiles": {"infrared-1": wish}});
    let offered = server.post("/api/webrtc/offer", &body).await.json();
    // Depth has no wish of its own, and the sensor one profile for both.
    for (at, stream) in ["infrared-1", "depth"].into_iter().enumerate() {
        let given = &offered["streams"][at];
        assert_eq!((&given["stream_type"], &given["profile"]), (&json!(stream), &wish), "{offered}");
        assert!(given["note"].is_null(), "{offered}");
    }
    // Colour lingers on; a stop ends it at once and leaves the viewer theirs.
    let stopped = server.post_nothing(&format!("{base}/stop")).await.json();
    assert_eq!(stopped["held_by"], json!({"depth": 1, "infrared-1": 1}));
    assert_eq!(stopped["stopping"], true);
    server.shutdown().await;
}

/// A page that is loaded again wishes for nothing and finds what runs.
#[tokio::test]
async fn who_comes_back_without_a_wish_finds_what_lingers() {
    let mut config = config();
    config.camera.linger_s = 3600.0;
    let server = TestServer::with(config).await;
    let wish = json!({"width": 848, "height": 480, "framerate": 15});
    let body = json!({"device_id": CAMERA, "stream_types": ["depth"], "profiles": {"depth": wish}});
    let offered = server.post("/api/webrtc/offer", &body).await.json();
    server.delete(&format!("/api/webrtc/sessions/{}", offered["session_id"].as_str().unwrap())).await;
    let since = server.get("/api/webrtc/stream-references").await.json()["device_stream_configs"][CAMERA].clone();
    let body = json!({"device_id": CAMERA, "stream_types": ["depth"]});
    let again = server.post("/api/webrtc/offer", &body).await.json();
    assert_eq!((&again["streams"][0]["profile"], &again["streams"][0]["note"]), (&wish, &Value::Null));
    assert_eq!(server.get("/api/webrtc/stream-references").await.json()["device_stream_configs"][CAMERA], since);
    server.shutdown().await;
}

#[tokio::test]
async fn an_impossible_start_says_what_is_possible() {
    let server = TestServer::start().await;
    let path = format!("/api/devices/{CAMERA}/stream/start");
    let with = |change: Value| {
        let mut body = depth_start(640, 480, 30);
        for (key, value) in change.as_object().unwrap() {
            body["configs"][0][key] = value.clone();
        }
        body
    };
    for (change, status, word) in [
        (json!({"stream_type": "thermal"}), 400, "color, depth, infrared-1, infrared-2"),
        (json!({"stream_type": "color"}), 400, "depth"),
        (json!({"format": "rgb8"}), 400, "z16"),
        (json!({"format": "jpeg"}), 400, "z16"),
        (json!({"resolution": {"width": 641, "height": 480}}), 400, "640x480"),
        (json!({"resolution": {"width": 0, "height": 480}}), 400, "from 1"),
        (json!({"resolution": {"width": -5, "height": 480}}), 400, "from 1"),
        (json!({"framerate": 31}), 400, "30"),
        (json!({"framerate": 1000}), 400, "300"),
        (json!({"enable": false}), 400, "enabled"),
        (json!({"sensor_id": "844212070924-sensor-7"}), 404, "sensor-0"),
        (json!({"sensor_id": "other-sensor-0"}), 404, "sensor-0"),
        (json!({"resolution": {"width": 640}}), 422, "height"),
        (json!({"framerate": "fast"}), 422, "framerate"),
        (json!({"enable": "perhaps"}), 422, "enable"),
    ] {
        let detail = server.post(&path, &with(change.clone())).await.expect_error(status);
        assert!(detail.contains(word), "{change}: {detail}");
    }
    server.post(&path, &json!({"configs": []})).await.expect_error(400);
    let mut twice = depth_start(640, 480, 30);
    let other = depth_start(848, 480, 30)["configs"][0].clone();
    twice["configs"].as_array_mut().unwrap().push(other);
    server.post(&path, &twice).await.expect_error(400);
    server.post("/api/devices/000/stream/start", &depth_start(640, 480, 30)).await.expect_error(404);
    server.post_nothing("/api/devices/000/stream/stop").await.expect_error(404);
    server.get("/api/devices/000/stream/status").await.expect_error(404);
    // Nothing of this took a reference.
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({}));
    server.shutdown().await;
}

#[tokio::test]
async fn old_spellings_of_a_start_are_taken() {
    let server = TestServer::start().await;
    let sensors = server.get(&format!("/api/devices/{CAMERA}/sensors")).await.json();
    let motion = sensors.as_array().unwrap().iter().find(|sensor| sensor["name"] == "Motion Module").unwrap();
    let gyro = &motion["supported_stream_profiles"][0];
    let body = json!({
        "configs": [
            {"sensor_id": motion["sensor_id"], "stream_type": gyro["stream_type"], "format": "combined_motion",
             "resolution": {"width": 640, "height": 480}, "framerate": gyro["fps"][0], "enable": true},
            {"sensor_id": format!("{CAMERA}-sensor-0"), "stream_type": "DEPTH", "format": "Z16",
             "resolution": {"width": 640.0, "height": 480.0}, "framerate": 30.0, "enable": null},
        ],
        "align_to": null, "apply_filters": false, "reuse_cache": true, "something_else": 1
    });
    let answer = server.post(&format!("/api/v1/devices/{CAMERA}/stream/start/"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["active_streams"].as_array().unwrap().contains(&json!("depth")));
    server.shutdown().await;
}

#[tokio::test]
async fn depth_is_measured_at_a_pixel() {
    let mut config = config();
    // The stall below is not one to act on.
    config.camera.stall_timeout_s = 60;
    let server = TestServer::with(config).await;
    let base = format!("/api/devices/{CAMERA}/stream");
    let detail = server.get(&format!("{base}/depth-at-pixel?x=1&y=1")).await.expect_error(503);
    assert!(detail.contains("does not stream") && detail.contains("stream/start"), "{detail}");
    // It runs as soon as the start is answered, and its first frame comes later.
    let fault = format!("/api/sim/devices/{CAMERA}/fault");
    assert_eq!(server.post(&fault, &json!({"fault": "stall"})).await.status, 200);
    assert_eq!(server.post(&format!("{base}/start"), &depth_start(640, 480, 30)).await.status, 200);
    let detail = server.get(&format!("{base}/depth-at-pixel?x=1&y=1")).await.expect_error(503);
    assert!(detail.contains("has no picture yet"), "{detail}");
    assert_eq!(server.post(&fault, &json!({"fault": "clear"})).await.status, 200);
    let answer = eventually("a depth frame", async || {
        let answer = server.get(&format!("{base}/depth-at-pixel?x=320&y=240")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    let json = answer.json();
    assert_eq!((&json["x"], &json["y"], &json["units"]), (&json!(320), &json!(240), &json!("meters")));
    assert!(json["depth"].is_null() || (0.1..20.0).contains(&json["depth"].as_f64().unwrap()), "{json}");
    // Somewhere the camera measures something.
    let mut measured = 0;
    for x in (40..640).step_by(100) {
        let json = server.get(&format!("{base}/depth-at-pixel/?x={x}&y=300")).await.json();
        measured += usize::from(json["depth"].as_f64().is_some_and(|depth| depth > 0.1));
    }
    assert!(measured > 0);
    for (query, word) in [
        ("", "'x'"),
        ("?x=1", "'y'"),
        ("?x=1.5&y=0", "'x'"),
        ("?x=abc&y=0", "'x'"),
        ("?x=99999999999999999999&y=0", "'x'"),
    ] {
        let detail = server.get(&format!("{base}/depth-at-pixel{query}")).await.expect_error(400);
        assert!(detail.contains(word), "{query}: {detail}");
    }
    for query in ["?x=640&y=0", "?x=0&y=480", "?x=-1&y=5"] {
        let outside = server.get(&format!("{base}/depth-at-pixel{query}")).await;
        assert_eq!((outside.status, &outside.json()["depth"]), (200, &Value::Null), "{query}");
        assert!(outside.json()["detail"].as_str().unwrap().contains("640x480"), "{}", outside.text());
    }
    server.get("/api/devices/000/stream/depth-at-pixel?x=1&y=1").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn the_depth_range_is_told_and_changed() {
    let server = TestServer::start().await;
    let path = format!("/api/devices/{CAMERA}/stream/depth-range");
    let shipped = server.get(&path).await.json();
    assert_eq!(shipped, json!({"min_depth": 0.3, "max_depth": 6.0, "units": "meters"}));
    let changed = server.put(&path, &json!({"min_depth": 0.5, "max_depth": 2.1})).await;
    assert_eq!(changed.json(), json!({"min_depth": 0.5, "max_depth": 2.1, "units": "meters"}));
    assert_eq!(server.get(&path).await.json(), changed.json());
    for (min, max) in [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (0.0, 100.0), (0.0, 1e39)] {
        server.put(&path, &json!({"min_depth": min, "max_depth": max})).await.expect_error(400);
    }
    assert_eq!(server.get(&path).await.json(), changed.json());
    server.get("/api/devices/000/stream/depth-range").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn the_point_cloud_is_switched() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/point_cloud");
    for (path, active) in [("status", false), ("activate", true), ("status", true), ("deactivate", false)] {
        let path = format!("{base}/{path}");
        let answer = if path.ends_with("status") { server.get(&path).await } else { server.post_nothing(&path).await };
        assert_eq!(answer.json(), json!({"device_id": CAMERA, "is_active": active}), "{path}");
    }
    server.post_nothing("/api/devices/000/point_cloud/activate").await.expect_error(404);
    server.get("/api/devices/000/point_cloud/status").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn one_point_cloud_can_be_fetched() {
    let server = TestServer::start().await;
    let path = format!("/api/webrtc/pointcloud-data/{CAMERA}");
    let detail = server.get(&path).await.expect_error(503);
    assert!(detail.contains("does not stream"), "{detail}");
    server.offer(&["depth"]).await;
    let cloud = eventually("a cloud", async || {
        let answer = server.get(&path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!((&cloud["success"], &cloud["device_id"]), (&json!(true), &json!(CAMERA)));
    let vertices = cloud["vertices"].as_array().unwrap();
    assert!((500..=3000).contains(&vertices.len()), "{}", vertices.len());
    assert_eq!(cloud["vertex_count"], vertices.len());
    assert!(vertices.iter().all(|point| (0.1..20.0).contains(&point[2].as_f64().unwrap())));
    assert!(cloud["timestamp"].as_f64().unwrap() > 1.7e9 && cloud["frame_number"].is_u64());
    server.get("/api/webrtc/pointcloud-data/000").await.expect_error(404);
    let body = json!({"device_id": CAMERA, "stream_types": ["pointcloud"]});
    let detail = server.post("/api/webrtc/offer", &body).await.expect_error(400);
    assert!(detail.contains("point_cloud/activate") && detail.contains("pointcloud-data"), "{detail}");
    server.shutdown().await;
}
