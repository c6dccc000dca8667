//! Metrics: who may read them, in which format, and what they count of sessions, requests and cameras.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use crate::{
    common::{self, CAMERA, TestServer, config, eventually},
    offer,
};

/// The value of a sample, by its name and labels as they are written.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

async fn scrape(server: &TestServer) -> String {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[tokio::test]
async fn both_paths_answer_in_the_format_that_is_asked_for() {
    let server = TestServer::start().await;
    for path in ["/metrics", "/metrics/", "/api/metrics", "/api/v1/metrics/"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"), "{path}");
        assert!(answer.text().contains("# TYPE realsense_webrtc_frames_received_total counter\n"), "{path}");
        let prometheus = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
        let answer = server.send(Method::GET, path, &prometheus, "").await;
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert!(answer.text().ends_with("# EOF\n"), "{path}");
    }
    server.get("/metrics").await;
    let refused = server.send(Method::POST, "/metrics", common::JSON, "").await;
    assert_eq!(refused.status, 405);
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_with_a_token_shows_its_metrics_to_whoever_has_it() {
    let mut config = config();
    config.server.token = "s3cret".into();
    let server = TestServer::with(config).await;
    for path in ["/metrics", "/api/metrics"] {
        server.get(path).await.expect_error(401);
        server.send(Method::GET, path, &[("authorization", "Bearer wrong")], "").await.expect_error(403);
        let answer = server.send(Method::GET, path, &[("authorization", "Bearer s3cret")], "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("s3cret"));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn sessions_offers_and_their_ends_are_counted() {
    let mut config = config();
    config.sessions.limit = 2;
    let server = TestServer::with(config).await;
    let first = server.offer(&["color"]).await;
    server.offer(&["color", "depth"]).await;
    server.post("/api/webrtc/offer", &offer(&["color"])).await.expect_error(429);
    server
        .post("/api/webrtc/offer", &json!({"device_id": "nobody", "stream_types": ["color"]}))
        .await
        .expect_error(404);
    let text = scrape(&server).await;
    assert_eq!(value(&text, "realsense_webrtc_sessions{state=\"offered\"}"), Some(2.0), "{text}");
    assert_eq!(value(&text, "realsense_webrtc_sessions_opened_total"), Some(2.0));
    assert_eq!(value(&text, "realsense_webrtc_offers_refused_total{reason=\"limit\"}"), Some(1.0));
    assert_eq!(value(&text, "realsense_webrtc_offers_refused_total{reason=\"not_found\"}"), Some(1.0));

    let session = realsense_webrtc::model::SessionId::new(&first);
    let connected =
        || realsense_webrtc::media::MediaEvent::Connected { session: session.clone(), remote_address: None };
    server.media.emit(connected());
    // A peer that was silent for a while is announced again.
    server.media.emit(connected());
    let text = eventually("a connected session", async || {
        let text = scrape(&server).await;
        value(&text, "realsense_webrtc_sessions{state=\"connected\"}").filter(|count| *count == 1.0).map(|_| text)
    });
    let text = text.await;
    assert_eq!(value(&text, "realsense_webrtc_sessions_connected_total"), Some(1.0), "once for each session");
    assert_eq!(value(&text, "realsense_webrtc_session_connect_seconds_count"), Some(1.0));
    assert!(!text.contains(&first), "never a session's id");

    server.delete(&format!("/api/webrtc/sessions/{first}")).await;
    server.delete("/api/webrtc/sessions").await;
    let text = scrape(&server).await;
    assert_eq!(
        value(&text, "realsense_webrtc_sessions_ended_total{reason=\"closed_by_request\"}"),
        Some(2.0),
        "{text}"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn cameras_and_their_frames_are_counted() {
    let server = TestServer::start().await;
    let before = scrape(&server).await;
    assert_eq!(value(&before, &format!("realsense_webrtc_device_up{{device=\"{CAMERA}\"}}")), Some(1.0), "{before}");
    server.offer(&["color"]).await;
    let frames = format!("realsense_webrtc_frames_received_total{{device=\"{CAMERA}\",stream=\"color\"}}");
    let text = eventually("frames", async || {
        let text = scrape(&server).await;
        value(&text, &frames).filter(|count| *count >= 3.0).map(|_| text)
    });
    let text = text.await;
    let starts = format!("realsense_webrtc_sensor_starts_total{{device=\"{CAMERA}\",result=\"ok\"}}");
    assert!(value(&text, &starts).unwrap() >= 1.0, "{text}");
    let took = format!("realsense_webrtc_sensor_start_seconds_count{{device=\"{CAMERA}\"}}");
    assert_eq!(value(&text, &took), value(&text, &starts));

    server.post(&format!("/api/sim/devices/{CAMERA}/fault"), &json!({"fault": "unplug"})).await;
    let text = eventually("an unplugged camera", async || {
        let text = scrape(&server).await;
        value(&text, &format!("realsense_webrtc_device_up{{device=\"{CAMERA}\"}}"))
            .filter(|up| *up == 0.0)
            .map(|_| text)
    });
    let unplugs = format!("realsense_webrtc_device_unplugs_total{{device=\"{CAMERA}\"}}");
    assert_eq!(value(&text.await, &unplugs), Some(1.0));
    server.post(&format!("/api/sim/devices/{CAMERA}/fault"), &json!({"fault": "replug"})).await;
    let text = eventually("the camera again", async || {
        let text = scrape(&server).await;
        value(&text, &format!("realsense_webrtc_device_up{{device=\"{CAMERA}\"}}"))
            .filter(|up| *up == 1.0)
            .map(|_| text)
    });
    assert!(value(&text.await, &frames).unwrap() >= 3.0, "counters go on where they were");
    server.shutdown().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let server = TestServer::start().await;
    for n in 0..5 {
        server.get(&format!("/api/devices/nobody-{n}")).await.expect_error(404);
        server.get(&format!("/nothing/{n}")).await;
        server.send(format!("WORD{n}").parse().unwrap(), "/api/devices", &[], "").await;
    }
    server.get(&format!("/api/v1/devices/{CAMERA}/")).await;
    let text = scrape(&server).await;
    let requests = |method: &str, route: &str, status: &str| {
        let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
        value(&text, &format!("realsense_webrtc_http_requests_total{labels}"))
    };
    assert_eq!(requests("GET", "/api/devices/{device_id}", "4xx"), Some(5.0), "{text}");
    assert_eq!(requests("GET", "/api/devices/{device_id}", "2xx"), Some(1.0));
    assert_eq!(requests("GET", "other", "4xx"), Some(5.0));
    assert!(!text.contains("nobody-") && !text.contains("/nothing/") && !text.contains("WORD"), "{text}");
    server.shutdown().await;
}

#[tokio::test]
async fn the_process_and_the_build_are_described() {
    let server = TestServer::start().await;
    let text = scrape(&server).await;
    for name in ["process_threads", "process_open_fds", "process_max_fds", "process_resident_memory_bytes"] {
        assert!(value(&text, name).is_some_and(|value| value > 1.0), "{name}: {text}");
    }
    assert!(value(&text, "process_cpu_seconds_total").is_some());
    let build = text.lines().find(|line| line.starts_with("realsense_webrtc_build_info{")).unwrap();
    assert!(build.contains(env!("CARGO_PKG_VERSION")) && build.contains("gstreamer=\"1."), "{build}");
    assert!(build.contains("sdk=\"none\""), "{build}");
    // As Prometheus' own linter asks: every family described once, and no sample twice.
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len());
    let samples: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')).collect();
    let distinct: BTreeSet<_> = samples.iter().map(|(sample, _)| sample).collect();
    assert_eq!(distinct.len(), samples.len());
    server.shutdown().await;
}
