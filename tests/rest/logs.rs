//! The log over REST: which lines, which are refused, and the thresholds.

use http::Method;
use realsense_webrtc::model::SessionId;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::common::{CAMERA, JSON, TestServer, config};

/// Keeps what is logged in this thread, which is the server's and the test's, while the guard lives.
fn keep(server: &TestServer) -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(server.handle.logs().layer()))
}

#[tokio::test]
async fn lines_are_given_by_session_stream_level_and_source() {
    let server = TestServer::start().await;
    let _keep = keep(&server);
    let session = server.offer(&["color"]).await;
    let short = SessionId::new(&session).short().to_owned();
    tracing::warn!(session = short, "a bad candidate");
    tracing::info!(stream = format!("{CAMERA}/color"), "encoder started");
    tracing::debug!(device = CAMERA, stream = "infrared-1", "a detail");
    tracing::debug!(target: "gstreamer", stream = format!("{CAMERA}/color"), element = "encoder", "key frame");

    let answer = server.get("/api/debug/logs").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = answer.text();
    let order = ["session created", "a bad candidate", "encoder started", "a detail", "key frame"];
    let places: Vec<_> =
        order.iter().map(|words| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"))).collect();
    assert!(places.is_sorted(), "oldest first: {text}");
    let line = text.lines().find(|line| line.contains("a bad candidate")).unwrap();
    assert!(line.starts_with("20") && line.contains("Z  WARN a bad candidate session="), "{line}");

    let get = async |query: &str| server.get(&format!("/api/debug/logs?{query}")).await.text();
    for (query, there, not_there) in [
        (format!("session={session}"), "a bad candidate", "encoder started"),
        (format!("session={}", &session[..4]), "session created", "encoder started"),
        (format!("session={session}&level=warn"), "a bad candidate", "session created"),
        ("stream=color".into(), "key frame", "a detail"),
        ("stream=infrared".into(), "a detail", "key frame"),
        (format!("device={CAMERA}&stream=color&source=server"), "encoder started", "key frame"),
        (format!("device={CAMERA}"), "a detail", "a bad candidate"),
        ("source=GStreamer".into(), "key frame", "encoder started"),
        ("level=INFO".into(), "encoder started", "a detail"),
        ("lines=1&source=gstreamer".into(), "key frame", "a detail"),
        ("lines=1&level=warn".into(), "a bad candidate", "encoder started"),
    ] {
        let text = get(&query).await;
        assert!(text.contains(there) && !text.contains(not_there), "{query}: {text}");
    }
    // A session that has ended leaves its lines behind.
    server.delete(&format!("/api/webrtc/sessions/{session}")).await;
    let text = get(&format!("session={session}")).await;
    assert!(text.contains("session created") && text.contains("session ended"), "{text}");
    server.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let server = TestServer::start().await;
    for (query, words) in [
        ("lines=0", "from 1 to 10000"),
        ("lines=10001", "from 1 to 10000"),
        ("lines=many", "'many'"),
        ("level=loud", "error, warn, info, debug, trace"),
        ("source=kernel", "server, gstreamer"),
        ("stream=sound", "color, depth"),
    ] {
        let detail = server.get(&format!("/api/debug/logs?{query}")).await.expect_error(400);
        assert!(detail.contains(words), "{query}: {detail}");
    }
    let detail = server.get("/api/debug/logs?session=nobody").await.expect_error(404);
    assert!(detail.contains("nobody") && detail.contains("/api/webrtc/sessions"), "{detail}");
    server.get("/api/debug/logs?device=nobody").await.expect_error(404);
    // What is there and has said nothing is no error.
    let session = server.offer(&["color"]).await;
    for query in [format!("session={session}"), format!("device={CAMERA}"), "source=gstreamer&lines=10000".into()] {
        let answer = server.get(&format!("/api/debug/logs?{query}")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{query}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let mut config = config();
    config.server.token = "opensesame".into();
    let server = TestServer::with(config).await;
    let _keep = keep(&server);
    tracing::info!("GET /api/health?token=opensesame and opensesame and token=guessed");
    server.get("/api/debug/logs").await.expect_error(401);
    let answer = server.send(Method::GET, "/api/debug/logs", &[("authorization", "Bearer opensesame")], "").await;
    assert!(answer.text().contains("GET /api/health?token=(secret) and (secret)"), "{}", answer.text());
    assert!(!answer.text().contains("opensesame") && !answer.text().contains("guessed"));
    server.shutdown().await;
}

#[tokio::test]
async fn thresholds_are_read_and_changed() {
    let server = TestServer::start().await;
    let path = "/api/debug/log-levels";
    let start = json!({
        "filter": "info", "gst": "*:1", "default_filter": "info", "default_gst": "*:1", "reverts_in_s": null
    });
    assert_eq!(server.get(path).await.json(), start);
    let change = json!({"filter": "info,realsense_webrtc::media=debug", "gst": "*:2, x264enc:LOG", "for_s": 600});
    let answer = server.put(path, &change).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now = answer.json();
    assert_eq!((&now["filter"], &now["gst"]), (&change["filter"], &json!("*:2,x264enc:6")));
    assert_eq!((&now["default_filter"], &now["reverts_in_s"]), (&json!("info"), &json!(600)));

    let refused: &[(Value, &str)] = &[
        (json!({"filter": "inof"}), "'inof'"),
        (json!({"filter": "info,hyper=loud"}), "'hyper=loud'"),
        (json!({"filter": ""}), "empty"),
        (json!({"gst": "*:2,x264enc"}), "'x264enc'"),
        (json!({"gst": "x264enc:10"}), "'x264enc:10'"),
        (json!({"filter": "info", "for_s": 0}), "1 to 86400"),
        (json!({"filter": "info", "for_s": 86401}), "1 to 86400"),
        (json!({"for_s": 5}), "'filter', 'gst'"),
        (json!({}), "'filter', 'gst'"),
    ];
    for (body, words) in refused {
        let detail = server.put(path, body).await.expect_error(400);
        assert!(detail.contains(words), "{body}: {detail}");
    }
    for body in [json!({"filter": 1}), json!({"gst": ["*:2"]}), json!({"filter": "info", "for_s": -1}), json!([1])] {
        server.put(path, &body).await.expect_error(422);
    }
    server.send(Method::PUT, path, JSON, "{").await.expect_error(415);
    server.send(Method::PUT, path, &[], "{}").await.expect_error(415);
    server.post(path, &json!({})).await.expect_error(405);
    // What was refused changed nothing.
    assert_eq!(server.get(path).await.json()["filter"], change["filter"]);
    // A change without a time stays.
    let answer = server.put(path, &json!({"gst": "*:3"})).await.json();
    assert_eq!((&answer["filter"], &answer["gst"]), (&change["filter"], &json!("*:3")));
    assert_eq!(answer["reverts_in_s"], Value::Null);
    server.shutdown().await;
}

#[tokio::test]
async fn thresholds_go_back_by_themselves() {
    let server = TestServer::start().await;
    let answer = server.put("/api/debug/log-levels", &json!({"filter": "debug", "for_s": 1})).await;
    assert_eq!(answer.json()["reverts_in_s"], 1);
    let back = super::common::eventually("the filter goes back", async || {
        let now = server.get("/api/debug/log-levels").await.json();
        (now["filter"] == "info").then_some(now)
    });
    assert_eq!(back.await["reverts_in_s"], Value::Null);
    server.shutdown().await;
}
