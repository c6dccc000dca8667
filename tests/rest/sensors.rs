//! Starts and stops of one sensor, as clients of the camera's vendor send them.

use std::sync::{Arc, Mutex, mpsc};

use realsense_webrtc::error::Error;
use serde_json::{Value, json};

use super::{
    common::{
        CAMERA, TestServer, config, eventually,
        fakes::{OddBackend, Traits},
    },
    depth_start,
};

fn path(sensor: usize, what: &str) -> String {
    format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-{sensor}/{what}")
}

fn depth(width: u32, height: u32, framerate: u32) -> Value {
    json!({"stream_type": "depth", "format": "z16", "resolution": {"width": width, "height": height}, "framerate": framerate})
}

async fn references(server: &TestServer) -> Value {
    server.get("/api/webrtc/stream-references").await.json()["stream_references"].clone()
}

#[tokio::test]
async fn a_sensor_is_started_restarted_and_stopped() {
    let server = TestServer::start().await;
    let before = server.get(&path(0, "status")).await.json();
    assert_eq!(
        before,
        json!({"sensor_id": format!("{CAMERA}-sensor-0"), "name": "Stereo Module", "is_streaming": false,
            "stream_type": null, "resolution": null, "framerate": null, "format": null, "stream_types": [], "streams": [],
            "error": null, "started_at": null})
    );
    let started = server.post(&path(0, "start"), &json!({"configs": [depth(640, 480, 30)]})).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let started = started.json();
    assert_eq!((&started["is_streaming"], &started["stream_types"]), (&json!(true), &json!(["depth"])));
    assert_eq!((&started["stream_type"], &started["format"]), (&json!("depth"), &json!("z16")));
    assert_eq!(started["resolution"], json!({"width": 640, "height": 480}));
    assert_eq!((&started["framerate"], &started["error"]), (&json!(30), &Value::Null));
    assert_eq!(started["streams"], json!([depth(640, 480, 30)]));
    let since = started["started_at"].as_str().unwrap().to_owned();
    assert!(since.starts_with("20") && since.ends_with('Z') && since.as_bytes()[10] == b'T', "{since}");

    // The same again in the newer spelling: nothing happens.
    let profile =
        json!({"stream_type": "Depth", "stream_index": 0, "format": "Z16", "width": 640, "height": 480, "fps": 30});
    let again = server.post(&path(0, "start/"), &json!({"profiles": [profile]})).await;
    assert_eq!((again.status, again.json()), (200, started));

    // Another size restarts it under its viewer.
    let session = server.offer(&["depth"]).await;
    let wide = server.post(&path(0, "start"), &json!({"config": depth(1280, 720, 15)})).await;
    assert_eq!(wide.status, 200, "{}", wide.text());
    assert_eq!(wide.json()["resolution"], json!({"width": 1280, "height": 720}));
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 2}}));
    let sessions = server.get("/api/webrtc/sessions").await.json();
    assert_eq!(sessions[0]["session_id"], json!(session));
    let running = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(running["device_stream_configs"][CAMERA]["configs"][0]["framerate"], 15);

    // The stop leaves the viewer its stream, and says what runs.
    let stopped = server.post_nothing(&format!("/api/v1{}", &path(0, "stop/")["/api".len()..])).await;
    assert_eq!((stopped.status, &stopped.json()["is_streaming"]), (200, &json!(true)));
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 1}}));
    server.delete(&format!("/api/webrtc/sessions/{session}")).await;
    let stopped = server.post_nothing(&path(0, "stop")).await;
    assert_eq!((stopped.status, &stopped.json()["is_streaming"]), (200, &json!(false)));
    assert_eq!(server.get(&path(0, "status")).await.json(), before);
    assert_eq!(references(&server).await, json!({}));
    server.shutdown().await;
}

#[tokio::test]
async fn a_motion_sensor_takes_any_size() {
    let server = TestServer::start().await;
    let configs: Vec<_> = [("gyro", 400), ("accel", 250)]
        .iter()
        .map(|(stream, rate)| {
            json!({"stream_type": stream, "format": "combined_motion", "resolution": {"width": 320, "height": 120},
                "framerate": rate})
        })
        .collect();
    let started = server.post(&path(2, "start"), &json!({"configs": configs})).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let started = started.json();
    assert_eq!(started["stream_types"], json!(["gyro", "accel"]));
    assert_eq!(started["resolution"], json!({"width": 320, "height": 120}));
    assert_eq!(server.post_nothing(&path(2, "stop")).await.json()["is_streaming"], false);
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_sensor_cannot_do_says_what_it_can() {
    let server = TestServer::start().await;
    let change = |change: Value| {
        let mut config = depth(640, 480, 30);
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        json!({"configs": [config]})
    };
    for (body, status, word) in [
        (json!({}), 400, "'config', 'configs' or 'profiles'"),
        (json!({"configs": []}), 400, "'config', 'configs' or 'profiles'"),
        (change(json!({"resolution": {"width": 641, "height": 480}})), 400, "nearest"),
        (change(json!({"stream_type": "thermal"})), 400, "color, depth, infrared-1, infrared-2"),
        (change(json!({"stream_type": "color"})), 400, "depth"),
        (change(json!({"format": "mjpeg"})), 400, "z16"),
        (change(json!({"framerate": 0})), 400, "from 1"),
        (change(json!({"framerate": "fast"})), 422, "framerate"),
        (json!({"configs": [{"stream_type": "depth", "format": "z16", "framerate": 30}]}), 422, "resolution"),
        (json!({"configs": 7}), 422, "configs"),
        (
            json!({"profiles": [{"stream_type": "infrared", "stream_index": 3, "format": "y8", "width": 640,
            "height": 480, "fps": 30}]}),
            400,
            "infrared-3",
        ),
    ] {
        let detail = server.post(&path(0, "start"), &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let good = json!({"configs": [depth(640, 480, 30)]});
    for (sensor, word) in [("844212070924-sensor-9", "sensor-0"), ("1-sensor-0", "sensor-0"), ("batch", "sensor-0")] {
        for what in ["start", "stop"] {
            let at = format!("/api/devices/{CAMERA}/sensors/{sensor}/{what}");
            let detail = server.post(&at, &good).await.expect_error(404);
            assert!(detail.contains("sensor"), "{detail}");
            assert!(what == "stop" || detail.contains(word), "{detail}");
        }
        server.get(&format!("/api/devices/{CAMERA}/sensors/{sensor}/status")).await.expect_error(404);
    }
    for what in ["start", "stop"] {
        server.post(&format!("/api/devices/000/sensors/000-sensor-0/{what}"), &good).await.expect_error(404);
    }
    assert_eq!(references(&server).await, json!({}));
    server.shutdown().await;
}

#[tokio::test]
async fn the_two_ways_of_starting_do_not_contradict_each_other() {
    let server = TestServer::start().await;
    let device = format!("/api/devices/{CAMERA}/stream");
    assert_eq!(server.post(&format!("{device}/start"), &depth_start(640, 480, 30)).await.status, 200);
    assert_eq!(server.get(&path(0, "status")).await.json()["is_streaming"], true);
    let body = json!({"configs": [depth(848, 480, 30)]});
    assert_eq!(server.post(&path(0, "start"), &body).await.status, 200);
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 2}}));
    let detail = server.post(&format!("{device}/start"), &depth_start(640, 480, 30)).await.expect_error(409);
    assert!(detail.contains("848x480"), "{detail}");
    let stopped = server.post_nothing(&format!("{device}/stop")).await.json();
    assert_eq!((&stopped["is_streaming"], &stopped["held_by"]), (&json!(false), &json!({})));
    assert_eq!(references(&server).await, json!({}));
    server.shutdown().await;
}

/// A camera whose depth somebody watches, and whose next start is held back until the sender is dropped.
async fn watched_and_held() -> (TestServer, Arc<Mutex<Traits>>, mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>) {
    let (backend, traits) = OddBackend::new(Traits::default());
    let server = TestServer::with_backend(config(), backend).await;
    server.offer(&["depth"]).await;
    let (release, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    traits.lock().unwrap().start_gate = Some(gate.clone());
    (server, traits, release, gate)
}

async fn width(server: &TestServer) -> Value {
    server.get(&path(0, "status")).await.json()["resolution"]["width"].clone()
}

#[tokio::test]
async fn a_restart_that_is_taken_back_leaves_the_viewers_what_they_had() {
    let (server, _traits, release, gate) = watched_and_held().await;
    let wide = json!({"config": depth(848, 480, 30)});
    let (start, stop) = (path(0, "start"), path(0, "stop"));
    let taken_back = async {
        eventually("the camera begins to start", async || gate.try_lock().is_err().then_some(())).await;
        let stopped = server.post_nothing(&stop).await;
        drop(release);
        stopped
    };
    let (started, stopped) = tokio::join!(server.post(&start, &wide), taken_back);
    assert!(started.expect_error(503).contains("taken back"));
    assert_eq!(stopped.status, 200);
    eventually("depth is what it was", async || (width(&server).await == 640).then_some(())).await;
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 1}}));
    server.shutdown().await;
}

#[tokio::test]
async fn of_two_starts_that_wait_for_a_refused_restart_none_is_answered_well() {
    let (server, traits, release, gate) = watched_and_held().await;
    let wide = json!({"config": depth(848, 480, 30)});
    let start = path(0, "start");
    let refused = async {
        eventually("the camera begins to start", async || gate.try_lock().is_err().then_some(())).await;
        traits.lock().unwrap().start_error = Some(Error::unavailable("no power"));
        // The second waits by now, or comes later and is refused for itself.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(release);
    };
    let (first, second, ()) = tokio::join!(server.post(&start, &wide), server.post(&start, &wide), async {
        refused.await;
        eventually("the restart is refused", async || {
            let status = server.get(&path(0, "status")).await.json();
            status["error"].is_string().then_some(())
        })
        .await;
        traits.lock().unwrap().start_error = None;
    });
    let statuses = [first.status, second.status];
    assert!(
        statuses.iter().all(|status| [409, 503].contains(status)),
        "{statuses:?}: {} {}",
        first.text(),
        second.text()
    );
    eventually("depth is what it was", async || (width(&server).await == 640).then_some(())).await;
    assert_eq!(references(&server).await, json!({CAMERA: {"depth": 1}}));
    server.shutdown().await;
}
