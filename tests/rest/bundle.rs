//! The bundle: one archive with every part, and no secret in it.

use std::{collections::BTreeMap, io::Read};

use http::Method;
use realsense_webrtc::{config::TurnServer, model::SessionId};
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

use super::common::{Answer, CAMERA, JSON, TestServer, config};

/// The files by their path below the archive's one folder.
fn unpack(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    let disposition = answer.header("content-disposition").unwrap();
    let name = disposition.strip_prefix("attachment; filename=\"").unwrap().strip_suffix(".tar\"").unwrap();
    let stamp = name.strip_prefix("realsense-webrtc-bundle-").unwrap();
    assert!(stamp.len() == 16 && stamp.ends_with('Z') && stamp.as_bytes()[8] == b'T', "{stamp}");
    let mut archive = tar::Archive::new(answer.body.as_ref());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        (path.strip_prefix(&format!("{name}/")).unwrap_or_else(|| panic!("{path} in {name}")).to_owned(), text)
    });
    entries.collect()
}

#[tokio::test]
async fn a_bundle_has_every_part_and_each_can_be_read() {
    let server = TestServer::start().await;
    let keep = tracing_subscriber::registry().with(server.handle.logs().layer());
    let _keep = tracing::subscriber::set_default(keep);
    let session = server.offer(&["color", "infrared-1"]).await;
    let short = SessionId::new(&session).short().to_owned();
    tracing::info!(stream = format!("{CAMERA}/infrared-1"), "encoder started");
    tracing::error!(target: "gstreamer", element = "encoder", "no memory");
    let files = unpack(&server.get("/api/debug/bundle").await);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let stream_log = format!("logs/stream-{CAMERA}-infrared-1.txt");
    let (session_log, session_graph) = (format!("logs/session-{short}.txt"), format!("graph/session-{short}.json"));
    let device_graph = format!("graph/{CAMERA}.json");
    for name in [
        "README.txt",
        "versions.json",
        "config.toml",
        "health.json",
        "devices.json",
        "sessions.json",
        "stream-references.json",
        "pipelines.json",
        "log-levels.json",
        "process.txt",
        "logs/server.txt",
        "logs/gstreamer.txt",
        &stream_log,
        &session_log,
        &session_graph,
        &device_graph,
    ] {
        assert!(files.get(name).is_some_and(|text| !text.is_empty()), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("missing")), "{names:?}");
    let json = |name: &str| -> Value { serde_json::from_str(&files[name]).unwrap() };
    for name in names.iter().filter(|name| name.ends_with(".json")) {
        assert!(!json(name).is_null(), "{name}");
    }
    assert_eq!(json("versions.json")["program"], env!("CARGO_PKG_VERSION"));
    assert!(json("versions.json")["gstreamer"].as_str().unwrap().starts_with("GStreamer 1."));
    assert_eq!(json("health.json")["status"], "ok");
    assert_eq!(json("devices.json")[0]["device_id"], CAMERA);
    assert_eq!(json("sessions.json")[0]["session_id"], session.as_str());
    assert_eq!(json("stream-references.json")["stream_references"][CAMERA]["color"], 1);
    assert_eq!(json(&device_graph)["device_id"], CAMERA);
    assert!(files["logs/server.txt"].contains("session created") && files[&session_log].contains("session created"));
    assert!(files[&stream_log].contains("encoder started") && !files[&session_log].contains("encoder started"));
    assert!(files["logs/gstreamer.txt"].contains("no memory"));
    assert!(files["process.txt"].contains("threads by name"));
    for name in ["versions.json", "config.toml", "process.txt", "logs/server.txt", "pipelines.json"] {
        assert!(files["README.txt"].contains(name), "the README says what {name} is");
    }
    // The configuration reads as one.
    let config: toml::Table = files["config.toml"].parse().unwrap();
    assert_eq!(config["camera"]["linger_s"].as_float(), Some(0.1));
    server.shutdown().await;
}

#[tokio::test]
async fn no_secret_is_in_a_bundle() {
    let mut config = config();
    config.server.token = "open/sesame token".into();
    config.server.admin_token = "adm1n-t0ken".into();
    config.relay.token = "re1ay-t0ken".into();
    config.webrtc.turn_servers = vec![TurnServer {
        url: "turn:turn.example:3478".into(),
        username: "robot-one".into(),
        credential: "cr:ed@ntial".into(),
    }];
    let server = TestServer::with(config).await;
    let keep = tracing_subscriber::registry().with(server.handle.logs().layer());
    let _keep = tracing::subscriber::set_default(keep);
    tracing::info!("adding turn server turn://robot-one:cr%3Aed%40ntial@turn.example:3478");
    tracing::info!(credential = "cr:ed@ntial", url = "/api/health?token=open%2Fsesame%20token", "refused");
    let token = [("authorization", "Bearer open/sesame token")];
    let headers = [JSON[0], token[0], ("user-agent", "Page/1 token=adm1n-t0ken")];
    let offer = serde_json::json!({"device_id": CAMERA, "stream_types": ["color"]}).to_string();
    assert_eq!(server.send(Method::POST, "/api/webrtc/offer", &headers, &offer).await.status, 200);
    server.get("/api/debug/bundle").await.expect_error(401);
    let answer = server.send(Method::GET, "/api/debug/bundle", &token, "").await;
    let whole = answer.text();
    for secret in ["sesame", "adm1n", "re1ay", "cr:ed", "cr%3Aed", "ntial@"] {
        let at = whole.find(secret).map(|at| &whole[at.saturating_sub(200)..at + 20]);
        assert_eq!(at, None, "{secret}");
    }
    let files = unpack(&answer);
    let config: toml::Table = files["config.toml"].parse().unwrap();
    for key in ["token", "admin_token"] {
        assert_eq!(config["server"][key].as_str(), Some("(set)"));
    }
    assert_eq!(config["relay"]["token"].as_str(), Some("(set)"));
    let turn = &config["webrtc"]["turn_servers"][0];
    assert_eq!((turn["credential"].as_str(), turn["username"].as_str()), (Some("(set)"), Some("(set)")));
    assert_eq!(turn["url"].as_str(), Some("turn:turn.example:3478"));
    assert!(files["logs/server.txt"].contains("adding turn server"));
    server.shutdown().await;
}
