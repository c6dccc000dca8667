//! Explicit start and stop, depth, the point cloud switch.

use serde_json::{Value, json};

use super::{
    common::{CAMERA, TestServer, eventually},
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
    assert_eq!(server.post(&format!("{base}/start"), &depth_start(640, 480, 30)).await.status, 200);
    let detail = server.post(&format!("{base}/start"), &depth_start(848, 480, 30)).await.expect_error(409);
    assert!(detail.contains("640x480"), "{detail}");
    assert_eq!(server.get("/api/webrtc/stream-references").await.json(), references);

    // A viewer's reference outlives the stop.
    let session = server.offer(&["depth"]).await;
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references["stream_references"], json!({CAMERA: {"depth": 2}}));
    let stopped = server.post_nothing(&format!("{base}/stop")).await;
    assert_eq!(stopped.status, 200);
    assert_eq!(stopped.json()["is_streaming"], true);
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
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/stream");
    let detail = server.get(&format!("{base}/depth-at-pixel?x=1&y=1")).await.expect_error(503);
    assert!(detail.contains("start"), "{detail}");
    assert_eq!(server.post(&format!("{base}/start"), &depth_start(640, 480, 30)).await.status, 200);
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
        ("?x=640&y=0", "640x480"),
        ("?x=0&y=480", "640x480"),
        ("?x=-1&y=0", "'x'"),
        ("?x=1.5&y=0", "'x'"),
        ("?x=abc&y=0", "'x'"),
        ("?x=99999999999999999999&y=0", "'x'"),
    ] {
        let detail = server.get(&format!("{base}/depth-at-pixel{query}")).await.expect_error(400);
        assert!(detail.contains(word), "{query}: {detail}");
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
