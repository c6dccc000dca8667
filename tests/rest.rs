//! The REST contract over a real socket: every route, every status, both prefixes, bad input. The cameras are
//! simulated, the media side is scripted.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::{Answer, CAMERA, JSON, TestServer, config, eventually};
use http::Method;
use realsense_webrtc::{media::MediaEvent, model::SessionId};
use serde_json::{Value, json};

/// Every route of the contract, as the OpenAPI document names it.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api"),
    ("GET", "/api/health"),
    ("GET", "/api/devices"),
    ("POST", "/api/devices/refresh"),
    ("GET", "/api/devices/{device_id}"),
    ("POST", "/api/devices/{device_id}/hw_reset"),
    ("GET", "/api/devices/{device_id}/sensors"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}/options"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}/options/{option_id}"),
    ("PUT", "/api/devices/{device_id}/sensors/{sensor_id}/options/{option_id}"),
    ("POST", "/api/devices/{device_id}/stream/start"),
    ("POST", "/api/devices/{device_id}/stream/stop"),
    ("GET", "/api/devices/{device_id}/stream/status"),
    ("GET", "/api/devices/{device_id}/stream/depth-at-pixel"),
    ("GET", "/api/devices/{device_id}/stream/depth-range"),
    ("PUT", "/api/devices/{device_id}/stream/depth-range"),
    ("POST", "/api/devices/{device_id}/point_cloud/activate"),
    ("POST", "/api/devices/{device_id}/point_cloud/deactivate"),
    ("GET", "/api/devices/{device_id}/point_cloud/status"),
    ("POST", "/api/webrtc/offer"),
    ("POST", "/api/webrtc/answer"),
    ("POST", "/api/webrtc/ice-candidates"),
    ("GET", "/api/webrtc/sessions"),
    ("DELETE", "/api/webrtc/sessions"),
    ("GET", "/api/webrtc/sessions/{session_id}"),
    ("DELETE", "/api/webrtc/sessions/{session_id}"),
    ("GET", "/api/webrtc/sessions/{session_id}/ice-candidates"),
    ("GET", "/api/webrtc/ice-servers"),
    ("GET", "/api/webrtc/stream-references"),
    ("POST", "/api/sim/devices/{device_id}/fault"),
];

const ANSWER_SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const CANDIDATE: &str = "candidate:1 1 UDP 2122252543 192.168.1.20 53124 typ host";

fn offer(streams: &[&str]) -> Value {
    json!({"device_id": CAMERA, "stream_types": streams})
}

fn depth_start(width: u32, height: u32, framerate: u32) -> Value {
    json!({"configs": [{
        "sensor_id": format!("{CAMERA}-sensor-0"), "stream_type": "depth", "format": "Z16",
        "resolution": {"width": width, "height": height}, "framerate": framerate
    }]})
}

#[tokio::test]
async fn the_openapi_document_has_every_route_and_no_other() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.json();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.filter(|key| key.len() <= 6).map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let expected = ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(documented, expected);
    for (method, path) in ROUTES {
        let operation = &document["paths"][path][method.to_lowercase()];
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{method} {path}");
        assert!(operation["tags"][0].is_string() && operation["operationId"].is_string(), "{method} {path}");
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} says what it answers");
        if *method == "PUT" || ["offer", "answer", "start", "fault"].iter().any(|end| path.ends_with(end)) {
            assert!(operation["requestBody"].is_object(), "{method} {path} says what it takes");
            for status in ["413", "415", "422"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for name in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn every_route_answers_under_both_prefixes_and_both_slash_forms() {
    let server = TestServer::start().await;
    for (method, path) in ROUTES {
        let path = path
            .replace("{device_id}", CAMERA)
            .replace("{sensor_id}", &format!("{CAMERA}-sensor-0"))
            .replace("{option_id}", "exposure")
            .replace("{session_id}", "nobody");
        // A reset takes the device away for a while; its turn is in a test of its own.
        if path.ends_with("hw_reset") {
            continue;
        }
        let mut statuses = BTreeSet::new();
        for prefix in ["/api", "/api/v1"] {
            for slash in ["", "/"] {
                let path = format!("{}{slash}", path.replacen("/api", prefix, 1));
                let answer = server.send(method.parse().unwrap(), &path, JSON, "").await;
                let unrouted = answer.status == 404 && answer.text().contains("no route");
                assert!(
                    !unrouted && answer.status != 405 && answer.status < 500 || answer.status == 503,
                    "{method} {path}: {} {}",
                    answer.status,
                    answer.text()
                );
                assert!(!(300..400).contains(&answer.status), "{method} {path} redirects");
                statuses.insert(answer.status);
            }
        }
        assert_eq!(statuses.len(), 1, "{method} {path}: {statuses:?}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn health_says_what_runs() {
    let server = TestServer::start().await;
    let answer = server.get("/api/health").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["service"], "realsense-api");
    assert_eq!(health["sdk_version"], "none");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(answer.header("x-request-id").is_some());
    server.shutdown().await;
}

#[tokio::test]
async fn devices_are_listed_refreshed_and_found() {
    let mut config = config();
    config.camera.sim_cameras = 2;
    let server = TestServer::with(config).await;
    for answer in [
        server.get("/api/devices/").await,
        server.get("/api/devices/?force_refresh=true").await,
        server.get("/api/devices?force_refresh=False").await,
        server.post_nothing("/api/devices/refresh").await,
    ] {
        assert_eq!(answer.status, 200);
        let list = answer.json();
        assert_eq!(list.as_array().unwrap().len(), 2);
        let device = &list[0];
        assert_eq!(device["device_id"], CAMERA);
        assert_eq!(device["serial_number"], CAMERA);
        assert_eq!(device["is_streaming"], false);
        assert_eq!(device["sensors"].as_array().unwrap().len(), 3);
        for field in [
            "firmware_version",
            "recommended_firmware_version",
            "firmware_status",
            "firmware_file_available",
            "physical_port",
            "usb_type",
            "product_id",
        ] {
            assert!(device.get(field).is_some(), "{field} is there, null or not");
        }
    }
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["device_id"], CAMERA);
    let detail = server.get("/api/devices/000").await.expect_error(404);
    assert!(detail.contains("000"), "{detail}");
    let detail = server.get("/api/devices?force_refresh=perhaps").await.expect_error(422);
    assert!(detail.contains("force_refresh"), "{detail}");
    server.shutdown().await;
}

#[tokio::test]
async fn sensors_and_options_read_and_act() {
    let server = TestServer::start().await;
    let base = format!("/api/devices/{CAMERA}/sensors");
    let sensors = server.get(&base).await.json();
    let names: Vec<_> = sensors.as_array().unwrap().iter().map(|sensor| sensor["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Stereo Module") && names.contains(&"RGB Camera") && names.contains(&"Motion Module"));
    for (index, sensor) in sensors.as_array().unwrap().iter().enumerate() {
        let id = format!("{CAMERA}-sensor-{index}");
        assert_eq!(sensor["sensor_id"], id.as_str());
        assert!(sensor["type"].is_string());
        assert_eq!(&server.get(&format!("{base}/{id}")).await.json(), sensor);
        assert_eq!(server.get(&format!("{base}/{id}/options/")).await.json(), sensor["options"]);
        for profile in sensor["supported_stream_profiles"].as_array().unwrap() {
            assert!(profile["stream_type"].is_string() && !profile["fps"].as_array().unwrap().is_empty());
            assert!(profile["resolutions"].is_array() && !profile["formats"].as_array().unwrap().is_empty());
        }
    }
    let options = format!("{base}/{CAMERA}-sensor-0/options");
    let exposure = server.get(&format!("{options}/exposure")).await.json();
    assert_eq!(exposure["option_id"], "exposure");
    let (min, max) = (exposure["min_value"].as_f64().unwrap(), exposure["max_value"].as_f64().unwrap());
    let middle = min + ((max - min) / 2.0).floor();
    let answer = server.put(&format!("{options}/exposure"), &json!({"value": middle})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"success": true})));
    let now = server.get(&format!("/api/v1/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/exposure/")).await;
    let step = exposure["step"].as_f64().unwrap_or(1.0);
    assert!((now.json()["current_value"].as_f64().unwrap() - middle).abs() <= step, "{}", now.text());

    // Out of range, unknown, not of this device, not a number.
    server.put(&format!("{options}/exposure"), &json!({"value": max * 10.0})).await.expect_error(400);
    server.put(&format!("{options}/taste"), &json!({"value": 1})).await.expect_error(404);
    server.get(&format!("{options}/taste")).await.expect_error(404);
    for sensor in ["844212070924-sensor-9", "nothing", "000-sensor-0", "844212070924-sensor-", "844212070924-sensor-+1"]
    {
        server.get(&format!("{base}/{sensor}")).await.expect_error(404);
        server.get(&format!("{base}/{sensor}/options")).await.expect_error(404);
        server.get(&format!("{base}/{sensor}/options/exposure")).await.expect_error(404);
        server.put(&format!("{base}/{sensor}/options/exposure"), &json!({"value": 1})).await.expect_error(404);
    }
    server.get("/api/devices/000/sensors").await.expect_error(404);
    let detail = server.put(&format!("{options}/exposure"), &json!({"value": "much"})).await.expect_error(422);
    assert!(detail.contains("value"), "{detail}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_read_only_option_cannot_be_set() {
    let server = TestServer::start().await;
    let sensors = server.get(&format!("/api/devices/{CAMERA}/sensors")).await.json();
    let (sensor, option) = sensors
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|sensor| sensor["options"].as_array().unwrap().iter().map(move |option| (sensor, option)))
        .find(|(_, option)| option["read_only"] == true)
        .map(|(sensor, option)| (sensor["sensor_id"].as_str().unwrap(), option["option_id"].as_str().unwrap()))
        .expect("the D435I has read-only options");
    let path = format!("/api/devices/{CAMERA}/sensors/{sensor}/options/{option}");
    server.put(&path, &json!({"value": 1})).await.expect_error(400);
    server.shutdown().await;
}

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

#[tokio::test]
async fn a_session_goes_through_its_life() {
    let server = TestServer::start().await;
    let mut body = offer(&["depth", "COLOR", "depth"]);
    body["codecs"] = json!(["video/rtx", "video/VP8", "video/AV1"]);
    body["profiles"] = json!({"color": {"width": 1280, "height": 720, "framerate": 30}});
    let answer =
        server.send(Method::POST, "/api/webrtc/offer", &[JSON[0], ("user-agent", "Test/1")], &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let offered = answer.json();
    assert_eq!(offered["type"], "offer");
    assert!(offered["sdp"].as_str().unwrap().starts_with("v=0"));
    let kinds: Vec<_> = offered["streams"].as_array().unwrap().iter().map(|s| s["stream_type"].clone()).collect();
    assert_eq!(kinds, ["depth", "color"]);
    assert_eq!(offered["streams"][1]["profile"], json!({"width": 1280, "height": 720, "framerate": 30}));
    let session = offered["session_id"].as_str().unwrap();
    let path = format!("/api/webrtc/sessions/{session}");

    let status = server.get(&path).await.json();
    assert_eq!(status["session_id"], session);
    assert_eq!(status["device_id"], CAMERA);
    assert_eq!(status["state"], "offered");
    assert_eq!((&status["connected"], &status["streaming"]), (&json!(false), &json!(false)));
    assert_eq!(status["stream_types"], json!(["depth", "color"]));
    assert_eq!(status["user_agent"], "Test/1");
    assert!(status["created_at"].as_f64().unwrap() > 1.7e9 && status["last_activity"].is_number());
    assert!(status.get("remote_address").is_some());

    // Candidates come before the answer, in every form that browsers and scripts send.
    for candidate in [
        json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "video0", "sdpMLineIndex": 0}),
        json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "", "sdpMLineIndex": 0}),
        json!({"session_id": session, "candidate": format!("a={CANDIDATE}"), "sdpMid": null, "sdpMLineIndex": null}),
        json!({"session_id": session, "candidate": CANDIDATE}),
        json!({"session_id": session, "candidate": CANDIDATE, "sdp_mid": "video0", "sdp_mline_index": 0}),
        json!({"session_id": session, "candidate": "", "sdpMid": null, "sdpMLineIndex": null}),
        json!({"session_id": session, "candidate": null}),
    ] {
        let answer = server.post("/api/webrtc/ice-candidates", &candidate).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"success": true})), "{candidate}");
    }
    let ours = server.get(&format!("{path}/ice-candidates")).await.json();
    assert!(ours[0]["candidate"].as_str().unwrap().starts_with("candidate:"));
    assert!(ours[0].get("sdpMid").is_some() && ours[0].get("sdpMLineIndex").is_some());

    let body = json!({"session_id": session, "sdp": ANSWER_SDP, "type": "answer"});
    let answered = server.post("/api/webrtc/answer", &body).await;
    assert_eq!((answered.status, answered.json()), (200, json!({"success": true})));
    assert_eq!(server.get(&path).await.json()["state"], "connecting");
    let detail = server.post("/api/webrtc/answer", &body).await.expect_error(400);
    assert!(detail.contains("answer"), "{detail}");

    server
        .media
        .emit(MediaEvent::Connected { session: SessionId::new(session), remote_address: Some("127.0.0.1:9".into()) });
    let status = eventually("connected", async || {
        let status = server.get(&format!("/api/webrtc/sessions/{session}")).await.json();
        (status["connected"] == true).then_some(status)
    })
    .await;
    assert_eq!(status["state"], "connected");
    assert_eq!(status["streaming"], false, "the fake sends nothing");
    assert_eq!(status["remote_address"], "127.0.0.1:9");
    assert!(status["stats"]["streams"].is_array());

    assert_eq!(server.get("/api/webrtc/sessions").await.json().as_array().unwrap().len(), 1);
    assert_eq!(server.delete(&path).await.json(), json!({"success": true}));
    assert_eq!(server.delete(&path).await.json(), json!({"success": false}));
    server.get(&path).await.expect_error(404);
    server.get(&format!("{path}/ice-candidates")).await.expect_error(404);
    server.post("/api/webrtc/answer", &body).await.expect_error(404);
    let late = json!({"session_id": session, "candidate": CANDIDATE, "sdpMid": "video0", "sdpMLineIndex": 0});
    server.post("/api/webrtc/ice-candidates", &late).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn an_impossible_offer_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let profile = |width: i64, height: i64, framerate: i64| {
        let mut body = offer(&["color"]);
        body["profiles"] = json!({"color": {"width": width, "height": height, "framerate": framerate}});
        body
    };
    let codecs = |names: Value| {
        let mut body = offer(&["color"]);
        body["codecs"] = names;
        body
    };
    for (body, status, word) in [
        (offer(&["thermal"]), 400, "color, depth, infrared-1, infrared-2"),
        (offer(&["gyro"]), 400, "color, depth, infrared-1, infrared-2"),
        (offer(&["color", "\u{0}"]), 400, "color, depth"),
        (offer(&[]), 400, "color, depth"),
        (offer(&["color"; 9]), 400, "8"),
        (json!({"device_id": "000", "stream_types": ["color"]}), 404, "000"),
        (codecs(json!(["video/AV1"])), 400, "video/H264"),
        (codecs(json!([])), 400, "video/H264"),
        (codecs(json!("video/H264")), 422, "codecs"),
        (profile(0, 480, 30), 400, "from 1"),
        (profile(640, 5000, 30), 400, "4096"),
        (profile(640, 480, 301), 400, "300"),
        (profile(640, 480, -1), 400, "300"),
        (profile(641, 480, 30), 400, "640x480"),
        (json!({"device_id": CAMERA, "stream_types": ["color"], "profiles": {"color": {"width": 640}}}), 422, "height"),
        (json!({"device_id": CAMERA, "stream_types": "color"}), 422, "stream_types"),
        (json!({"device_id": 844_212_070_924_u64, "stream_types": ["color"]}), 422, "device_id"),
        (json!({"device_id": CAMERA}), 422, "stream_types"),
        (json!({"stream_types": ["color"]}), 422, "device_id"),
        (json!([1, 2]), 422, "body"),
        (json!(null), 422, "body"),
        (json!("text"), 422, "body"),
    ] {
        let detail = server.post("/api/webrtc/offer", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]));
    let references = server.get("/api/webrtc/stream-references").await.json();
    assert_eq!(references, json!({"stream_references": {}, "device_stream_configs": {}}));
    server.shutdown().await;
}

#[tokio::test]
async fn bad_answers_and_candidates_are_refused_and_leave_the_session_alone() {
    let server = TestServer::start().await;
    let session = server.offer(&["color"]).await;
    for (body, status, word) in [
        (json!({"session_id": session, "sdp": ANSWER_SDP, "type": "pranswer"}), 400, "answer"),
        (json!({"session_id": session, "sdp": "hello", "type": "answer"}), 400, "v=0"),
        (json!({"session_id": session, "sdp": "", "type": "answer"}), 400, "v=0"),
        (json!({"session_id": session, "sdp": ANSWER_SDP}), 422, "type"),
        (json!({"session_id": session, "sdp": 5, "type": "answer"}), 422, "sdp"),
        (json!({"session_id": "nobody", "sdp": ANSWER_SDP, "type": "answer"}), 404, "nobody"),
    ] {
        let detail = server.post("/api/webrtc/answer", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    for (body, status, word) in [
        (json!({"session_id": session, "candidate": "hello", "sdpMid": "0", "sdpMLineIndex": 0}), 400, "candidate"),
        (json!({"session_id": session, "candidate": "candidate:1 1 UDP x", "sdpMid": "0"}), 400, "candidate"),
        (json!({"session_id": session, "candidate": 5}), 422, "candidate"),
        (json!({"session_id": session, "candidate": CANDIDATE, "sdpMLineIndex": -1}), 422, "sdpMLineIndex"),
        (json!({"candidate": CANDIDATE}), 422, "session_id"),
        (json!({"session_id": "nobody", "candidate": CANDIDATE}), 404, "nobody"),
    ] {
        let detail = server.post("/api/webrtc/ice-candidates", &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let status = server.get(&format!("/api/webrtc/sessions/{session}")).await.json();
    assert_eq!(status["state"], "offered");
    server.shutdown().await;
}

#[tokio::test]
async fn the_session_limit_is_429_and_a_place_comes_back() {
    let mut config = config();
    config.sessions.limit = 2;
    let server = TestServer::with(config).await;
    let first = server.offer(&["color"]).await;
    server.offer(&["depth"]).await;
    let before = server.get("/api/webrtc/stream-references").await.json();
    let detail = server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(429);
    assert!(detail.contains('2'), "{detail}");
    assert_eq!(server.get("/api/webrtc/stream-references").await.json(), before);
    server.delete(&format!("/api/webrtc/sessions/{first}")).await;
    server.offer(&["color"]).await;
    let closed = server.delete("/api/webrtc/sessions").await;
    assert_eq!(closed.json(), json!({"closed_sessions": 2}));
    assert_eq!(server.delete("/api/webrtc/sessions/").await.json(), json!({"closed_sessions": 0}));
    server.shutdown().await;
}

#[tokio::test]
async fn a_faulty_camera_is_503_until_it_is_well() {
    let server = TestServer::start().await;
    let fault = |name: &str| json!({"fault": name});
    let path = format!("/api/sim/devices/{CAMERA}/fault");
    assert_eq!(server.post(&path, &fault("fail_start")).await.json(), json!({"success": true}));
    server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(503);
    assert_eq!(server.get("/api/webrtc/sessions").await.json(), json!([]));
    assert_eq!(server.post(&path, &fault("clear")).await.status, 200);
    eventually("an offer is possible again", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;

    assert_eq!(server.post(&path, &fault("unplug")).await.status, 200);
    eventually("the device is gone", async || {
        let answer = server.get(&format!("/api/devices/{CAMERA}")).await;
        (answer.status == 503).then(|| answer.expect_error(503))
    })
    .await;
    server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(503);
    server.post(&format!("/api/devices/{CAMERA}/stream/start"), &depth_start(640, 480, 30)).await.expect_error(503);
    assert_eq!(server.post(&path, &fault("replug")).await.status, 200);
    eventually("the device is back", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;
    let detail = server.post(&path, &fault("explode")).await.expect_error(400);
    assert!(detail.contains("unplug"), "{detail}");
    server.post(&path, &json!({"fault": "drop", "probability": 2})).await.expect_error(400);
    server.post("/api/sim/devices/000/fault", &fault("clear")).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_reset_device_comes_back() {
    let server = TestServer::start().await;
    let answer = server.post_nothing(&format!("/api/devices/{CAMERA}/hw_reset")).await;
    assert_eq!((answer.status, answer.json()), (200, json!(true)));
    eventually("the device is back", async || {
        (server.post("/api/webrtc/offer", &offer(&["color"])).await.status == 200).then_some(())
    })
    .await;
    server.post_nothing("/api/devices/000/hw_reset").await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn ice_servers_come_from_the_configuration() {
    let mut config = config();
    config.webrtc.stun_server = "stun:stun.example.org:3478".into();
    config.webrtc.turn_servers = vec![realsense_webrtc::config::TurnServer {
        url: "turn:turn.example.org".into(),
        username: "u".into(),
        credential: "p".into(),
    }];
    let server = TestServer::with(config).await;
    assert_eq!(
        server.get("/api/v1/webrtc/ice-servers/").await.json(),
        json!([{"urls": ["stun:stun.example.org:3478"]},
            {"urls": ["turn:turn.example.org"], "username": "u", "credential": "p"}])
    );
    server.shutdown().await;
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_told_apart() {
    let server = TestServer::start().await;
    for path in ["/api/nothing", "/api/v1/nothing/", "/api/devices/1/2/3", "/api/v2/devices"] {
        let detail = server.get(path).await.expect_error(404);
        assert!(detail.contains("/docs"), "{detail}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/api/webrtc/offer", "POST"),
        (Method::GET, "/api/v1/webrtc/offer/", "POST"),
        (Method::POST, "/api/devices", "GET,HEAD"),
        (Method::PATCH, "/api/webrtc/sessions", "GET,HEAD,DELETE"),
        (Method::POST, "/", "GET,HEAD"),
    ] {
        let answer = server.send(method.clone(), path, JSON, "{}").await;
        let detail = answer.expect_error(405);
        let sorted = |list: &str| list.split(',').map(str::trim).map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(answer.header("allow").unwrap()), sorted(allowed), "{method} {path}");
        assert!(detail.contains("Allowed"), "{detail}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_json_is_415_and_what_is_too_large_413() {
    let server = TestServer::start().await;
    let body = offer(&["color"]).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = server.send(Method::POST, "/api/webrtc/offer", &[("content-type", kind)], &body).await;
        let detail = answer.expect_error(415);
        assert!(detail.contains("application/json"), "{detail}");
    }
    for text in ["{", "hello", "{\"device_id\":}", "[1,", "\u{7f}", "{'device_id': 'x'}"] {
        server.send(Method::POST, "/api/webrtc/offer", JSON, text).await.expect_error(415);
    }
    let with_charset = &[("content-type", "application/json; charset=utf-8")];
    assert_eq!(server.send(Method::POST, "/api/webrtc/offer", with_charset, &body).await.status, 200);
    let empty = server.send(Method::POST, "/api/webrtc/offer", JSON, "").await.expect_error(422);
    assert!(empty.contains("missing"), "{empty}");

    let large = |size: usize| {
        let filler = "x".repeat(size);
        json!({"device_id": filler, "stream_types": ["color"]}).to_string()
    };
    let detail = server.send(Method::POST, "/api/webrtc/offer", JSON, &large(64 * 1024)).await.expect_error(413);
    assert!(detail.contains("64 KiB"), "{detail}");
    // Just below the limit the size is not what is wrong with it.
    server.send(Method::POST, "/api/webrtc/offer", JSON, &large(63 * 1024)).await.expect_error(404);
    server.shutdown().await;
}

#[tokio::test]
async fn validation_errors_have_fastapis_shape() {
    let server = TestServer::start().await;
    let answer = server.post("/api/webrtc/offer", &json!({"stream_types": ["color"]})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [{"loc": ["body", "device_id"], "msg": "Field required", "type": "missing"}]})
    );
    let answer = server.post("/api/webrtc/offer", &json!({"device_id": CAMERA, "stream_types": ["color", 5]})).await;
    let item = &answer.json()["detail"][0];
    assert_eq!(item["loc"], json!(["body", "stream_types", 1]));
    assert_eq!(item["type"], "type_error");
    server.shutdown().await;
}

fn assert_is_contract(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 200 | 400 | 404 | 415 | 422), "{what}: {} {}", answer.status, answer.text());
    if answer.status != 200 {
        answer.expect_error(answer.status);
    }
}

/// Anything at all in a body gets a status of the contract, and the server goes on.
#[tokio::test]
async fn garbage_is_always_answered() {
    use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let key = prop_oneof![
                Just("device_id".to_owned()),
                Just("session_id".to_owned()),
                Just("stream_types".to_owned()),
                Just("configs".to_owned()),
                Just("sdp".to_owned()),
                Just("candidate".to_owned()),
                Just("profiles".to_owned()),
                Just("value".to_owned()),
                ".{0,6}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    let server = TestServer::start().await;
    let targets = [
        (Method::POST, "/api/webrtc/offer".to_owned()),
        (Method::POST, "/api/webrtc/answer".to_owned()),
        (Method::POST, "/api/webrtc/ice-candidates".to_owned()),
        (Method::POST, format!("/api/devices/{CAMERA}/stream/start")),
        (Method::PUT, format!("/api/devices/{CAMERA}/stream/depth-range")),
        (Method::PUT, format!("/api/devices/{CAMERA}/sensors/{CAMERA}-sensor-0/options/exposure")),
        (Method::POST, format!("/api/sim/devices/{CAMERA}/fault")),
    ];
    let mut runner = TestRunner::deterministic();
    let bodies = prop_oneof![any_json().prop_map(|value| value.to_string()), ".{0,60}"];
    for _ in 0..60 {
        let body = bodies.new_tree(&mut runner).unwrap().current();
        for (method, path) in &targets {
            let answer = server.send(method.clone(), path, JSON, &body).await;
            assert_is_contract(&answer, &format!("{method} {path} {body:?}"));
        }
    }
    for path in [
        "/api/devices/%00",
        "/api/devices/%ff",
        "/api/devices/%2e%2e%2f",
        "/api/devices/%F0%9F%98%80",
        "/api/webrtc/sessions/%20",
        "/api/devices/..;/",
    ] {
        let answer = server.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        answer.expect_error(answer.status);
    }
    assert_eq!(server.get("/api/health").await.status, 200);
    server.shutdown().await;
}
