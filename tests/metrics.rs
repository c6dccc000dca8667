//! The metrics of the running program with real viewers: the documentation lists exactly what is there, the dashboard and the
//! alerts ask for nothing else, and sessions that come and go leave no series behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use realsense_webrtc::probe::receiver::Options;
use serde_json::Value;
use server::{LIMIT, SMALL, Server};

/// Reads `/metrics` as Prometheus does.
fn scrape(server: &Server) -> String {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let (head, body) = server.get("/metrics", accept);
    let body = String::from_utf8(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    body
}

/// Asks until the answer suits.
async fn scrape_when(server: &Server, suits: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let text = scrape(server);
        if suits(&text) {
            return text;
        }
        assert!(began.elapsed() < LIMIT, "{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The value of the first sample that begins so.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(sample)).unwrap_or_else(|| panic!("{sample}:\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// The names of all families with their types, as the documentation writes them.
fn families(text: &str) -> BTreeSet<(String, String)> {
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    described
        .map(|(name, kind)| (format!("{name}{}", if kind == "counter" { "_total" } else { "" }), kind.to_owned()))
        .collect()
}

/// The names of all samples.
fn samples(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// Samples without their values; what requests leave behind is another matter.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_http_requests_total"));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// Names of metrics in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("realsense_webrtc_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// Everything in a dashboard that is asked of the data source.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        found.push(text.clone());
                    }
                    value => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

fn document() -> &'static str {
    include_str!("../docs/reference/metrics.md")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documentation_dashboard_and_alerts_name_what_is_there() {
    let server = Server::start(SMALL, &[]);
    let viewer = server.join(&["color", "depth"], Options::default()).await;
    viewer.receives(60, LIMIT).await.unwrap();
    let reported = |text: &str| {
        text.lines().any(|line| line.starts_with("realsense_webrtc_round_trip_seconds_count") && !line.ends_with(" 0"))
    };
    let text = scrape_when(&server, reported).await;

    let rows = document().lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let documented: BTreeSet<_> = rows
        .filter(|(name, _)| name.starts_with("realsense_webrtc_") || name.starts_with("process_"))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .collect();
    assert_eq!(documented, families(&text), "docs/reference/metrics.md and /metrics");

    let dashboard: Value = serde_json::from_str(include_str!("../docs/grafana/realsense-webrtc.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    let wanted: BTreeSet<_> = asked.iter().flat_map(|text| names(text)).collect();
    assert!(wanted.len() > 30, "{wanted:?}");
    // Samples, not only descriptions: each of them has a value while somebody watches.
    let there = samples(&text);
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "the dashboard asks for {missing:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");

    let (_, alerts) = document().split_once("\n## Alerts").unwrap();
    let alerts = names(alerts);
    assert!(alerts.len() >= 4 && alerts.is_subset(&there), "{:?}", alerts.difference(&there));

    let watched = "device=\"844212070924\",stream=\"color\",codec=\"h264\"}";
    assert!(value(&text, &format!("realsense_webrtc_frames_encoded_total{{{watched}")) >= 50.0);
    assert!(value(&text, &format!("realsense_webrtc_encode_seconds_count{{{watched}")) >= 50.0);
    assert!(value(&text, &format!("realsense_webrtc_rtp_packets_sent_total{{{watched}")) >= 50.0);
    assert_eq!(value(&text, &format!("realsense_webrtc_encoder_sessions{{{watched}")), 1.0);
    assert_eq!(value(&text, "realsense_webrtc_sessions{state=\"connected\"}"), 1.0);
    assert_eq!(value(&text, "realsense_webrtc_encoder_failures_total"), 0.0);
    viewer.leave(&server.client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sessions_leave_no_series_behind() {
    let server = Server::start(SMALL, &[]);
    let first = server.join(&["color"], Options::default()).await;
    first.receives(5, LIMIT).await.unwrap();
    let before = scrape(&server);
    for round in 0..10 {
        let mut viewers = Vec::new();
        for _ in 0..5 {
            viewers.push(server.join(&["color"], Options::default()).await);
        }
        for (at, viewer) in viewers.into_iter().enumerate() {
            viewer.receives(1, LIMIT).await.unwrap();
            match at {
                0 => drop(viewer.receiver.close().await),
                // It takes half a minute to be missed, once is enough.
                1 if round == 0 => drop(viewer.receiver.vanish().await),
                _ => assert!(viewer.leave(&server.client).await.unwrap()),
            }
        }
    }
    server.wait_for_sessions(1, LIMIT * 2).await;
    let after = scrape(&server);
    let (old, new) = (series(&before), series(&after));
    assert_eq!(old, new, "{:?}", new.symmetric_difference(&old).collect::<Vec<_>>());
    assert_eq!(value(&after, "realsense_webrtc_sessions_connected_total"), 51.0);
    for (reason, count) in [("closed_by_request", 39.0), ("closed_by_peer", 10.0), ("peer_silent", 1.0)] {
        let sample = format!("realsense_webrtc_sessions_ended_total{{reason=\"{reason}\"}}");
        assert_eq!(value(&after, &sample), count, "{reason}");
    }
    let sum = |text: &str, name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    let opened = value(&after, "realsense_webrtc_sessions_opened_total");
    let ended = sum(&after, "realsense_webrtc_sessions_ended_total{");
    let alive = sum(&after, "realsense_webrtc_sessions{");
    assert_eq!(opened, ended + alive, "no session is lost");
    // Monotonic over the end of sessions.
    for name in ["rtp_packets_sent", "rtp_sent_bytes", "frames_sent", "frames_withheld", "key_frames_requested"] {
        let name = format!("realsense_webrtc_{name}_total{{");
        assert!(sum(&after, &name) >= sum(&before, &name), "{name}");
    }
    let word =
        |line: &str| line.split(['"', ',', '{', '}']).any(|part| part.len() == 36 && part.matches('-').count() == 4);
    assert!(!after.lines().any(word), "no session's id is a label");
    first.leave(&server.client).await.unwrap();
}
