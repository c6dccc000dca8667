//! The real program's log: what GStreamer says is in it under the stream and the session it is about, thresholds change while
//! video runs, and a flood costs lines, not pictures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::{
    io::Read,
    time::{Duration, Instant},
};

use http::Method;
use realsense_webrtc::probe::receiver::Options;
use serde_json::{Value, json};
use server::{DEVICE, LIMIT, SMALL, Server};

/// Longest time without a frame that a busy test machine is forgiven while it logs all that GStreamer can say.
const MAX_GAP_MS: f64 = 2000.0;

fn log(server: &Server, query: &str) -> String {
    let (head, body) = server.get(&format!("/api/debug/logs?lines=10000&{query}"), "*/*");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    String::from_utf8(body).unwrap()
}

async fn set_levels(server: &Server, change: Value) -> Value {
    let reply = server.client.request(Method::PUT, "/debug/log-levels", Some(&change)).await.unwrap();
    assert!(reply.is_ok(), "{}", reply.detail());
    reply.body
}

/// Waits until the log under this query holds these words.
async fn logged(server: &Server, query: &str, words: &str) -> String {
    let began = Instant::now();
    loop {
        let text = log(server, query);
        if let Some(line) = text.lines().find(|line| line.contains(words)) {
            return line.to_owned();
        }
        assert!(began.elapsed() < LIMIT, "no '{words}' under {query}:\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_element_says_is_under_its_stream_and_its_session() {
    let server = Server::start(SMALL, &[]);
    let before = set_levels(&server, json!({"gst": "*:1,x264enc:5,webrtcbin:5"})).await;
    assert_eq!((&before["filter"], &before["default_gst"]), (&json!("info"), &json!("*:1")));
    let viewer = server.join(&["color"], Options::default()).await;
    viewer.receives(10, LIMIT).await.unwrap();

    // Although the filter says info: GStreamer's messages have thresholds of their own.
    let stream = format!("device={DEVICE}&stream=color");
    let line = logged(&server, &format!("{stream}&source=gstreamer"), "category=x264enc").await;
    assert!(line.contains("DEBUG") && line.contains("element=encoder"), "{line}");
    assert!(line.contains(&format!("stream={DEVICE}/color")) && line.contains("at=gstx264enc.c:"), "{line}");
    assert!(log(&server, &stream).contains("Encoder started"), "the server's own lines are there, too");
    let session = format!("session={}", viewer.session);
    let line = logged(&server, &format!("{session}&source=gstreamer"), "category=webrtcbin").await;
    assert!(line.contains("element=webrtcbin"), "{line}");
    assert!(!log(&server, &session).contains("category=x264enc"));
    assert!(server.program.says("category=x264enc", LIMIT).is_some(), "standard error has it, too");

    // Taken back, nothing more comes; what came stays.
    set_levels(&server, json!({"gst": "*:1"})).await;
    let second = server.join(&["color"], Options::default()).await;
    second.receives(10, LIMIT).await.unwrap();
    assert_eq!(log(&server, &format!("session={}&source=gstreamer", second.session)), "");
    assert!(log(&server, &format!("session={}", second.session)).contains("connected"));
    viewer.leave(&server.client).await.unwrap();
    logged(&server, &session, "session ended").await;

    // The bundle of the real program, with the plugins that it uses.
    let (head, body) = server.get("/api/debug/bundle", "*/*");
    assert!(head.contains("application/x-tar"), "{head}");
    let mut archive = tar::Archive::new(body.as_slice());
    let texts: Vec<(String, String)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        })
        .collect();
    let file = |end: &str| texts.iter().find(|(name, _)| name.ends_with(end)).map(|(_, text)| text.as_str()).unwrap();
    let versions: Value = serde_json::from_str(file("versions.json")).unwrap();
    assert!(versions["gstreamer_plugins"]["x264"].is_string(), "{versions}");
    assert!(file("process.txt").contains("log-writer"), "{}", file("process.txt"));
    assert!(file(&format!("logs/stream-{DEVICE}-color.txt")).contains("category=x264enc"));
    second.leave(&server.client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_costs_lines_and_not_the_video() {
    let server = Server::start(SMALL, &[]);
    let viewer = server.join(&["color"], Options::default()).await;
    viewer.receives(10, LIMIT).await.unwrap();
    set_levels(&server, json!({"filter": "trace", "gst": "*:9", "for_s": 600})).await;
    let seen = viewer.frames()[0];
    viewer.receives(seen + 90, LIMIT).await.unwrap();
    // Sessions come and go in it: whatever GStreamer holds while it logs, nobody waits for anybody.
    for _ in 0..3 {
        let pair =
            tokio::join!(server.join(&["color"], Options::default()), server.join(&["color"], Options::default()));
        for other in [pair.0, pair.1] {
            other.receives(5, LIMIT).await.unwrap();
            other.leave(&server.client).await.unwrap();
        }
    }
    server.wait_for_sessions(1, LIMIT).await;
    let gap = viewer.summary()[0].longest_gap_ms;
    assert!(gap < MAX_GAP_MS, "{gap} ms without a frame");
    logged(&server, "level=warn&source=server", "GStreamer logs more than is let through").await;
    let text = log(&server, "source=gstreamer");
    assert!(text.lines().count() <= 2200, "{} lines are kept", text.lines().count());
    // Back, and everything is quiet again.
    set_levels(&server, json!({"filter": "info", "gst": "*:1"})).await;
    viewer.leave(&server.client).await.unwrap();
}
