//! Control of a recording that is played back, presets, calibration, and what a camera says when it cannot.

use std::time::Duration;

use realsense_webrtc::{
    camera::PlaybackCommand,
    error::Error,
    model::{DeviceId, PlaybackStatus, StreamType},
};
use serde_json::{Value, json};

use super::{
    common::{
        CAMERA, TestServer, config, eventually,
        fakes::{OddBackend, Traits},
    },
    depth_start,
};

/// A recording at its beginning.
pub(crate) fn walk() -> PlaybackStatus {
    PlaybackStatus {
        file: "walk.bag".into(),
        duration: 60.0,
        position: 0.0,
        is_paused: false,
        speed: 1.0,
        repeat: true,
    }
}

fn url(what: &str) -> String {
    format!("/api/devices/{CAMERA}/{what}")
}

#[tokio::test]
async fn a_played_recording_is_controlled() {
    let (backend, traits) = OddBackend::new(Traits { playback: Some(walk()), ..Traits::default() });
    let server = TestServer::with_backend(config(), backend).await;
    let status = server.get(&url("playback/status")).await;
    let expected = json!({"file": "walk.bag", "duration": 60.0, "position": 0.0, "is_paused": false, "speed": 1.0, "repeat": true});
    assert_eq!((status.status, status.json()), (200, expected));
    assert_eq!(server.post_nothing(&url("playback/pause")).await.json()["is_paused"], true);
    assert_eq!(server.post_nothing(&url("playback/resume")).await.json()["is_paused"], false);
    assert_eq!(server.post(&url("playback/seek"), &json!({"position": 12.5})).await.json()["position"], 12.5);
    assert_eq!(server.post(&url("playback/speed"), &json!({"speed": 2})).await.json()["speed"], 2.0);
    assert_eq!(server.post(&url("playback/repeat"), &json!({"enabled": false})).await.json()["repeat"], false);
    let given = [
        PlaybackCommand::Pause,
        PlaybackCommand::Resume,
        PlaybackCommand::Seek(Duration::from_millis(12_500)),
        PlaybackCommand::Speed(2.0),
        PlaybackCommand::Repeat(false),
    ];
    assert_eq!(traits.lock().unwrap().commands, given);
    for (what, body, status, word) in [
        ("seek", json!({"position": -1}), 400, "position"),
        ("seek", json!({"position": 61}), 400, "60 s"),
        ("seek", json!({}), 422, "position"),
        ("speed", json!({"speed": 0}), 400, "speed"),
        ("speed", json!({"speed": "fast"}), 422, "speed"),
        ("repeat", json!({"enabled": 1}), 422, "enabled"),
    ] {
        let detail = server.post(&url(&format!("playback/{what}")), &body).await.expect_error(status);
        assert!(detail.contains(word), "{what} {body}: {detail}");
    }
    server.get("/api/devices/nobody/playback/status").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_live_camera_has_no_playback_and_no_presets() {
    let server = TestServer::start().await;
    let info = server.get(&format!("/api/devices/{CAMERA}")).await.json();
    assert_eq!((&info["playback"], &info["presets"]), (&json!(false), &json!(false)));
    assert!(server.get(&url("playback/status")).await.expect_error(404).contains("live camera"));
    server.post_nothing(&url("playback/pause")).await.expect_error(404);
    assert!(server.get(&url("preset")).await.expect_error(400).contains("advanced mode"));
    server.post(&url("preset"), &json!({"param-laserpower": "150"})).await.expect_error(400);
    server.shutdown().await;
}

#[tokio::test]
async fn a_paused_recording_is_not_taken_for_stalled() {
    let mut config = config();
    config.camera.stall_timeout_s = 1;
    let (backend, _) = OddBackend::new(Traits { playback: Some(walk()), ..Traits::default() });
    let server = TestServer::with_backend(config, backend).await;
    server.post(&url("stream/start"), &depth_start(640, 480, 30)).await;
    let device = DeviceId::new(CAMERA);
    let newest = || server.handle.latest_frame(&device, StreamType::Depth);
    eventually("frames come", async || newest()).await;
    let running = async || server.get("/api/webrtc/stream-references").await.json()["device_stream_configs"].clone();
    let before = running().await;
    server.post_nothing(&url("playback/pause")).await;
    // Three times as long as a stall may take.
    let held = eventually("the picture has been held", async || {
        newest().filter(|frame| frame.captured_at.elapsed() > Duration::from_secs(3))
    })
    .await;
    assert_eq!(running().await, before, "it was not restarted");
    // What is shown can still be measured.
    let depth = server.get(&url("stream/depth-at-pixel?x=320&y=240")).await;
    assert_eq!(depth.status, 200, "{}", depth.text());
    server.post_nothing(&url("playback/resume")).await;
    eventually("it goes on", async || newest().filter(|frame| frame.number > held.number)).await;
    assert_eq!(running().await, before);
    server.shutdown().await;
}

#[tokio::test]
async fn presets_go_in_and_out() {
    let traits = Traits { presets: true, preset: r#"{"param-laserpower":"150"}"#.into(), ..Traits::default() };
    let (backend, traits) = OddBackend::new(traits);
    let server = TestServer::with_backend(config(), backend).await;
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["presets"], true);
    assert_eq!(server.get(&url("preset")).await.json(), json!({"param-laserpower": "150"}));
    let preset = json!({"param-laserpower": "30", "controls-depth-gain": "16"});
    assert_eq!(server.post(&url("preset"), &preset).await.json(), json!({"success": true}));
    assert_eq!(server.get(&url("preset")).await.json(), preset);
    for body in [json!({}), json!([1]), json!("x"), json!({"unknown": 1})] {
        assert!(server.post(&url("preset"), &body).await.expect_error(400).contains("preset"), "{body}");
    }
    let large: Value =
        (0..5000).map(|n| (format!("param-{n}"), json!("0123456789"))).collect::<serde_json::Map<_, _>>().into();
    server.post(&url("preset"), &large).await.expect_error(413);
    server.get("/api/devices/nobody/preset").await.expect_error(404);
    server.post("/api/devices/nobody/preset", &json!([])).await.expect_error(404);
    traits.lock().unwrap().preset = "no JSON".into();
    server.get(&url("preset")).await.expect_error(500);
    server.shutdown().await;
}

#[tokio::test]
async fn calibration_tells_the_geometry_of_what_runs() {
    let server = TestServer::start().await;
    let nothing = server.get(&url("stream/calibration")).await.json();
    assert_eq!(nothing, json!({"device_id": CAMERA, "depth_units": 0.001, "streams": []}));
    server.offer(&["infrared-2", "color"]).await;
    let calibration = server.get(&url("stream/calibration")).await.json();
    let streams = calibration["streams"].as_array().unwrap();
    let names: Vec<_> = streams.iter().map(|stream| stream["stream_type"].as_str().unwrap()).collect();
    assert_eq!(names, ["color", "infrared-2"]);
    assert_eq!(streams[0]["profile"], json!({"width": 640, "height": 480, "framerate": 30}));
    for stream in streams {
        let intrinsics = &stream["intrinsics"];
        assert_eq!((&intrinsics["width"], &intrinsics["height"]), (&json!(640), &json!(480)));
        assert!(
            intrinsics["fx"].as_f64().unwrap() > 100.0 && intrinsics["coefficients"].as_array().unwrap().len() == 5
        );
    }
    assert_eq!(streams[0]["to_first"], Value::Null);
    let to_first = &streams[1]["to_first"];
    assert_eq!(to_first["rotation"].as_array().unwrap().len(), 9);
    let metres: Vec<_> = to_first["translation"].as_array().unwrap().iter().map(|m| m.as_f64().unwrap()).collect();
    // The right imager is farther from the colour camera than from its neighbour; all are centimetres apart.
    assert!(metres[0].abs() > 0.01 && metres[0].abs() < 0.2, "{metres:?}");
    server.get("/api/devices/nobody/stream/calibration").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_profile_refused_over_usb_2_says_so() {
    let (backend, _) = OddBackend::new(Traits { usb_type: Some("2.1".into()), ..Traits::default() });
    let server = TestServer::with_backend(config(), backend).await;
    let started = server.post(&url("stream/start"), &depth_start(640, 480, 77)).await.expect_error(400);
    let profiles = json!({"color": {"width": 640, "height": 480, "framerate": 77}});
    let body = json!({"device_id": CAMERA, "stream_types": ["color"], "profiles": profiles});
    let offered = server.post("/api/webrtc/offer", &body).await.expect_error(400);
    for detail in [started, offered] {
        assert!(detail.contains("nearest") && detail.contains("USB 2.1") && detail.contains("USB 3 port"), "{detail}");
    }
    server.shutdown().await;
    let server = TestServer::start().await;
    let detail = server.post(&url("stream/start"), &depth_start(640, 480, 77)).await.expect_error(400);
    assert!(!detail.contains("USB"), "{detail}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_busy_camera_tells_in_its_own_words() {
    let busy = "Device or resource busy: another program uses this camera. End it and try again.";
    let (backend, traits) =
        OddBackend::new(Traits { start_error: Some(Error::unavailable(busy)), ..Traits::default() });
    let server = TestServer::with_backend(config(), backend).await;
    let offer = json!({"device_id": CAMERA, "stream_types": ["color"]});
    assert_eq!(server.post("/api/webrtc/offer", &offer).await.expect_error(503), busy);
    assert_eq!(server.post(&url("stream/start"), &depth_start(640, 480, 30)).await.expect_error(503), busy);
    traits.lock().unwrap().start_error = None;
    assert_eq!(server.post("/api/webrtc/offer", &offer).await.status, 200);
    server.shutdown().await;

    let (backend, _) = OddBackend::new(Traits { open_error: Some(Error::unavailable(busy)), ..Traits::default() });
    let mut config = config();
    // Nobody waits for a camera to open.
    config.camera.sim_cameras = realsense_webrtc::config::SimCameras::Count(0);
    let server = TestServer::with_backend(config, backend).await;
    eventually("the offer is refused in the camera's words", async || {
        let answer = server.post("/api/webrtc/offer", &offer).await;
        (answer.expect_error(503) == busy).then_some(())
    })
    .await;
    server.shutdown().await;
}
