//! The REST contract over a real socket: every route, every status, both prefixes, bad input. The cameras are
//! simulated, the media side is scripted.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod bundle;
mod debug;
mod depth;
mod devices;
mod hang;
mod logs;
mod metrics;
mod openapi;
mod pipelines;
mod playback;
mod recording_files;
mod recordings;
mod relay;
mod sensors;
mod sessions;
mod streams;
mod troubles;
mod vendor;

use std::collections::BTreeSet;

use common::{CAMERA, JSON, TestServer};
use serde_json::{Value, json};

/// Every route of the contract, as the OpenAPI document names it.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api"),
    ("GET", "/api/health"),
    ("GET", "/api/devices"),
    ("POST", "/api/devices/refresh"),
    ("GET", "/api/devices/{device_id}"),
    ("POST", "/api/devices/{device_id}/hw_reset"),
    ("POST", "/api/devices/{device_id}/reset"),
    ("GET", "/api/devices/{device_id}/status"),
    ("POST", "/api/devices/{device_id}/firmware/update_from_file"),
    ("POST", "/api/devices/{device_id}/hwm"),
    ("POST", "/api/system/enable-metadata"),
    ("GET", "/api/devices/{device_id}/sensors"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}/options"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}/options/{option_id}"),
    ("PUT", "/api/devices/{device_id}/sensors/{sensor_id}/options/{option_id}"),
    ("POST", "/api/devices/{device_id}/sensors/{sensor_id}/start"),
    ("POST", "/api/devices/{device_id}/sensors/{sensor_id}/stop"),
    ("GET", "/api/devices/{device_id}/sensors/{sensor_id}/status"),
    ("POST", "/api/devices/{device_id}/stream/start"),
    ("POST", "/api/devices/{device_id}/stream/stop"),
    ("GET", "/api/devices/{device_id}/stream/status"),
    ("GET", "/api/devices/{device_id}/stream/depth-at-pixel"),
    ("GET", "/api/devices/{device_id}/stream/depth-range"),
    ("PUT", "/api/devices/{device_id}/stream/depth-range"),
    ("GET", "/api/devices/{device_id}/stream/calibration"),
    ("POST", "/api/devices/{device_id}/recording/start"),
    ("POST", "/api/devices/{device_id}/recording/stop"),
    ("GET", "/api/devices/{device_id}/recording/status"),
    ("GET", "/api/devices/{device_id}/playback/status"),
    ("POST", "/api/devices/{device_id}/playback/pause"),
    ("POST", "/api/devices/{device_id}/playback/resume"),
    ("POST", "/api/devices/{device_id}/playback/seek"),
    ("POST", "/api/devices/{device_id}/playback/speed"),
    ("POST", "/api/devices/{device_id}/playback/repeat"),
    ("POST", "/api/devices/{device_id}/playback/close"),
    ("GET", "/api/devices/{device_id}/preset"),
    ("POST", "/api/devices/{device_id}/preset"),
    ("GET", "/api/recordings"),
    ("GET", "/api/recordings/{name}"),
    ("DELETE", "/api/recordings/{name}"),
    ("POST", "/api/recordings/{name}/open"),
    ("POST", "/api/devices/{device_id}/point_cloud/activate"),
    ("POST", "/api/devices/{device_id}/point_cloud/deactivate"),
    ("GET", "/api/devices/{device_id}/point_cloud/status"),
    ("GET", "/api/webrtc/pointcloud-data/{device_id}"),
    ("POST", "/api/webrtc/offer"),
    ("POST", "/api/webrtc/answer"),
    ("POST", "/api/webrtc/ice-candidates"),
    ("GET", "/api/webrtc/sessions"),
    ("DELETE", "/api/webrtc/sessions"),
    ("GET", "/api/webrtc/sessions/{session_id}"),
    ("DELETE", "/api/webrtc/sessions/{session_id}"),
    ("PATCH", "/api/webrtc/sessions/{session_id}"),
    ("GET", "/api/webrtc/sessions/{session_id}/ice-candidates"),
    ("GET", "/api/webrtc/ice-servers"),
    ("GET", "/api/webrtc/stream-references"),
    ("GET", "/api/pipelines"),
    ("POST", "/api/pipelines/{name}/reload"),
    ("GET", "/api/metrics"),
    ("GET", "/api/debug/logs"),
    ("GET", "/api/debug/log-levels"),
    ("PUT", "/api/debug/log-levels"),
    ("GET", "/api/debug/bundle"),
    ("GET", "/api/debug/graph/{file}"),
    ("GET", "/api/debug/elements/{device_id}/{stream_type}/{codec}/{element}"),
    ("PATCH", "/api/debug/elements/{device_id}/{stream_type}/{codec}/{element}"),
    ("POST", "/api/sim/devices/{device_id}/fault"),
];

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
        let content_type = match (*method, *path) {
            ("GET", "/api/recordings/{name}") => "application/octet-stream",
            ("GET", "/api/metrics") => "text/plain",
            ("GET", "/api/debug/logs") => "text/plain",
            ("GET", "/api/debug/bundle") => "application/x-tar",
            _ => "application/json",
        };
        let schema = &operation["responses"]["200"]["content"][content_type]["schema"];
        // What this server does not do says so.
        let not_done = operation["responses"]["501"].is_object();
        assert!(schema.is_object() != not_done, "{method} {path} says what it answers");
        if *method == "PUT"
            || ["offer", "answer", "start", "fault", "seek", "speed", "repeat"].iter().any(|end| path.ends_with(end))
        {
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
            .replace("{session_id}", "nobody")
            .replace("{name}", "nobody.bag")
            .replace("{file}", &format!("{CAMERA}.json"))
            .replace("{stream_type}", "color")
            .replace("{codec}", "h264")
            .replace("{element}", "encoder");
        // A reset takes the device away for a while; its turn is in a test of its own.
        if path.ends_with("hw_reset") || path.ends_with("/reset") {
            continue;
        }
        let mut statuses = BTreeSet::new();
        for prefix in ["/api", "/api/v1"] {
            for slash in ["", "/"] {
                let path = format!("{}{slash}", path.replacen("/api", prefix, 1));
                let answer = server.send(method.parse().unwrap(), &path, JSON, "").await;
                let unrouted = answer.status == 404 && answer.text().contains("no route");
                assert!(
                    !unrouted && answer.status != 405 && answer.status < 500 || matches!(answer.status, 501 | 503),
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
