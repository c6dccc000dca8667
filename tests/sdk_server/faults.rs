//! What may happen to a camera while people watch: their sessions stay up and go on by themselves.

use std::time::{Duration, Instant};

use http::Method;
use realsense_webrtc::probe::{receiver::Phase, viewer::Viewer};
use serde_json::Value;

use crate::{
    bench::{SOFTWARE, ask, fault, freezes, get, join, post, receives_more, session, software_device, until},
    server::{LIMIT, Server},
};

/// Longer than the stall time, shorter than a session takes for a vanished peer.
const FROZEN: Duration = Duration::from_millis(1500);
/// What a session's viewers read of what runs.
const REFERENCES: &str = "/webrtc/stream-references";

fn running(references: &Value) -> usize {
    references["device_stream_configs"][SOFTWARE]["configs"].as_array().map_or(0, Vec::len)
}

/// Checks that the same sessions are there and get frames again, with nobody doing anything.
async fn goes_on(server: &Server, viewers: &[Viewer]) {
    for viewer in viewers {
        receives_more(viewer, 20).await;
        assert_eq!(viewer.receiver.stats().phase, Phase::Connected);
    }
    let mut listed: Vec<_> = server.client.sessions().await.unwrap().into_iter().map(|s| s.session).collect();
    let mut joined: Vec<_> = viewers.iter().map(|viewer| viewer.session.clone()).collect();
    listed.sort();
    joined.sort();
    assert_eq!(listed, joined);
    until(server, &format!("/webrtc/sessions/{}", viewers[0].session), "media flows", |now| {
        now["connected"] == true && now["streaming"] == true
    })
    .await;
}

async fn two_viewers(server: &Server) -> Vec<Viewer> {
    let viewers = vec![join(server, SOFTWARE, &["color", "depth"]).await, join(server, SOFTWARE, &["depth"]).await];
    for viewer in &viewers {
        viewer.receives(10, LIMIT).await.unwrap();
    }
    viewers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unplugged_and_plugged_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let viewers = two_viewers(&server).await;
    for _ in 0..3 {
        fault(&server, "unplug").await;
        until(&server, "/devices/", "it is off the list", |list| list.as_array().is_some_and(Vec::is_empty)).await;
        for viewer in &viewers {
            freezes(viewer, FROZEN).await;
        }
        // The sessions stay, are said to get nothing, and keep their references for when it comes back.
        assert!(session(&server, &viewers[0]).await.0);
        until(&server, &format!("/webrtc/sessions/{}", viewers[0].session), "no media flows", |now| {
            now["connected"] == true && now["streaming"] == false
        })
        .await;
        let references = get(&server, REFERENCES).await;
        assert_eq!(references["stream_references"][SOFTWARE]["depth"], 2, "{references}");
        assert_eq!(running(&references), 0, "{references}");
        let refused = ask(&server, Method::GET, &format!("/devices/{SOFTWARE}"), None).await;
        assert_eq!(refused.status, 503, "{refused}");
        assert!(refused.detail().contains("unplugged") && refused.retry_after.is_some(), "{refused}");

        fault(&server, "replug").await;
        goes_on(&server, &viewers).await;
        assert_eq!(running(&get(&server, REFERENCES).await), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_stop_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let viewers = two_viewers(&server).await;
    fault(&server, "stall").await;
    for viewer in &viewers {
        freezes(viewer, FROZEN).await;
    }
    assert!(server.program.says("no frames for", LIMIT).is_some(), "the log tells of it");
    fault(&server, "clear").await;
    goes_on(&server, &viewers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_that_does_not_start_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let viewers = vec![join(&server, SOFTWARE, &["color"]).await];
    viewers[0].receives(10, LIMIT).await.unwrap();
    fault(&server, "fail_start").await;
    let body = serde_json::json!({ "device_id": SOFTWARE, "stream_types": ["depth"] });
    let refused = ask(&server, Method::POST, "/webrtc/offer", Some(&body)).await;
    assert_eq!(refused.status, 503, "{refused}");
    fault(&server, "clear").await;
    goes_on(&server, &viewers).await;
    // Whoever asks again gets it.
    let end = Instant::now() + LIMIT;
    while !ask(&server, Method::POST, "/webrtc/offer", Some(&body)).await.is_ok() {
        assert!(Instant::now() < end, "depth never starts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let viewers = two_viewers(&server).await;
    post(&server, &format!("/devices/{SOFTWARE}/hw_reset"), Value::Null).await;
    until(&server, REFERENCES, "it stops", |now| running(now) == 0).await;
    goes_on(&server, &viewers).await;
}
