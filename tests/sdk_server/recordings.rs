//! Recordings made and played by whole servers: viewers of the one are not disturbed, viewers of the other see it all.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    bench::{MAX_GAP, SOFTWARE, ask, config, get, join, post, receives_more, software_device, until},
    recording, sdk,
    server::{LIMIT, Server},
};

/// The recorded simulated camera, played.
const PLAYED: &str = "844212070924-rec";

/// Frames a second of the slowest stream of a viewer while `seconds` pass.
async fn rate(viewer: &realsense_webrtc::probe::viewer::Viewer, seconds: f64) -> f64 {
    let (before, began) = (viewer.frames(), Instant::now());
    // A measurement's time, not a wait for anything.
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let (after, took) = (viewer.frames(), began.elapsed().as_secs_f64());
    before.iter().zip(after).map(|(before, after)| (after - before) as f64 / took).fold(f64::INFINITY, f64::min)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_under_a_viewers_eyes_and_played() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path().to_owned()).await;
    let text = file.to_str().unwrap();
    // The software device as well: two devices of one serial number.
    let server = Server::start(&config(folder.path()), &["--recording", text, "--software-device"]);
    let devices = get(&server, "/devices/").await;
    let played = devices.as_array().unwrap().iter().find(|device| device["playback"] == true).unwrap();
    assert_eq!(played["serial_number"], SOFTWARE);
    let id = played["device_id"].as_str().unwrap();
    assert_eq!(id, format!("{SOFTWARE}-rec"));
    let viewer = join(&server, id, &["color", "depth", "infrared-1"]).await;
    let live = join(&server, SOFTWARE, &["color"]).await;
    viewer.receives(60, LIMIT).await.unwrap();
    live.receives(30, LIMIT).await.unwrap();
    let at = get(&server, &format!("/devices/{id}/stream/depth-at-pixel?x=212&y=120")).await;
    assert!((0.2..10.0).contains(&at["depth"].as_f64().unwrap()), "{at}");
    // What is played cannot be recorded, nor deleted.
    let name = file.file_name().unwrap().to_str().unwrap();
    let refused = ask(&server, Method::POST, &format!("/devices/{id}/recording/start"), Some(&json!({}))).await;
    assert_eq!(refused.status, 409, "{refused}");
    let refused = ask(&server, Method::DELETE, &format!("/recordings/{name}"), None).await;
    assert_eq!(refused.status, 409, "{refused}");
}

/// Records the software device while it is watched.
async fn record(folder: PathBuf) -> PathBuf {
    let server = software_device(&folder);
    let viewer = join(&server, SOFTWARE, &["color", "depth"]).await;
    viewer.receives(30, LIMIT).await.unwrap();
    let before = rate(&viewer, 2.0).await;
    viewer.receiver.take_longest_gap();
    let path = format!("/devices/{SOFTWARE}/recording");
    let body = json!({ "file_name": "watched", "stream_types": ["color", "depth"] });
    let began = post(&server, &format!("{path}/start"), body.clone()).await;
    assert_eq!(began["is_recording"], true, "{began}");
    let during = rate(&viewer, 2.0).await;
    let again = ask(&server, Method::POST, &format!("{path}/start"), Some(&body)).await;
    assert_eq!(again.status, 409, "{again}");
    let status = get(&server, &format!("{path}/status")).await;
    assert!(status["frames"].as_u64() > Some(60) && status["bytes"].as_u64() > Some(10_000), "{status}");
    let ended = post(&server, &format!("{path}/stop"), json!({})).await;
    let gap = viewer.receiver.take_longest_gap();
    assert!(gap < MAX_GAP, "{gap:?}");
    assert!(during > 0.75 * before, "the viewer got {before} frames a second before, {during} during the recording");
    assert_eq!((&ended["is_recording"], &ended["dropped_frames"]), (&json!(false), &json!(0)), "{ended}");
    receives_more(&viewer, 10).await;

    // Infrared, which nobody watches, besides: the viewer's session stays up while the sensor is reopened for it.
    let body = json!({ "file_name": "all", "stream_types": ["color", "depth", "infrared-1"] });
    let began = post(&server, &format!("{path}/start"), body).await;
    until(&server, &format!("{path}/status"), "two seconds of it", |now| now["seconds"].as_f64() > Some(2.0)).await;
    post(&server, &format!("{path}/stop"), json!({})).await;
    receives_more(&viewer, 10).await;
    assert_eq!(server.client.sessions().await.unwrap().len(), 1);
    let listed = get(&server, "/recordings").await;
    assert!(listed.as_array().unwrap().iter().all(|file| file["complete"] == true), "{listed}");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    // Played by the server that recorded it, closed and played again at once, beside the camera.
    let name = ended["file_name"].as_str().unwrap();
    for _ in 0..2 {
        let opened = post(&server, &format!("/recordings/{name}/open"), json!({})).await;
        let id = opened["device_id"].as_str().unwrap();
        let second = join(&server, id, &["color"]).await;
        second.receives(10, LIMIT).await.unwrap();
        second.leave(&server.client).await.unwrap();
        post(&server, &format!("/devices/{id}/playback/close"), json!({})).await;
        assert_eq!(server.client.devices().await.unwrap(), [SOFTWARE]);
    }
    receives_more(&viewer, 10).await;
    let file = folder.join(began["file_name"].as_str().unwrap());
    assert!(file.metadata().unwrap().len() > 100_000);
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playback_is_controlled() {
    let folder = tempfile::tempdir().unwrap();
    let file = {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || recording::record(sdk::sdk(), &folder, 90)).await.unwrap()
    };
    let server = Server::start(&config(folder.path()), &["--recording", file.to_str().unwrap()]);
    let status = format!("/devices/{PLAYED}/playback/status");
    let control =
        async |what: &str, body: Value| post(&server, &format!("/devices/{PLAYED}/playback/{what}"), body).await;
    let duration = get(&server, &status).await["duration"].as_f64().unwrap();
    assert!((2.0..10.0).contains(&duration), "{duration}");
    let viewer = join(&server, PLAYED, &["color", "depth"]).await;
    // More than it holds: it begins again by itself.
    viewer.receives(120, LIMIT).await.unwrap();

    assert_eq!(control("pause", Value::Null).await["is_paused"], true);
    let held = get(&server, &status).await["position"].clone();
    // Who joins now sees a picture, and a pause longer than the stall time stops nothing.
    let late = join(&server, PLAYED, &["color"]).await;
    late.receives(1, LIMIT).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let now = get(&server, &status).await;
    assert_eq!((&now["is_paused"], &now["position"]), (&json!(true), &held), "{now}");
    assert!(!server.program.log().contains("no frames for"), "a pause is no stall");

    let sought = control("seek", json!({ "position": 1.0 })).await;
    assert!((sought["position"].as_f64().unwrap() - 1.0).abs() < 0.2, "{sought}");
    let refused = ask(
        &server,
        Method::POST,
        &format!("/devices/{PLAYED}/playback/seek"),
        Some(&json!({ "position": duration + 1.0 })),
    )
    .await;
    assert_eq!(refused.status, 400, "{refused}");
    assert_eq!(control("resume", Value::Null).await["is_paused"], false);
    receives_more(&viewer, 10).await;
    receives_more(&late, 10).await;

    // Twice as fast: the position goes two seconds a second.
    control("speed", json!({ "speed": 0.5 })).await;
    control("seek", json!({ "position": 0.0 })).await;
    let slow = advances(&server, &status).await;
    control("speed", json!({ "speed": 2.0 })).await;
    control("seek", json!({ "position": 0.0 })).await;
    let fast = advances(&server, &status).await;
    assert!(fast > 2.0 * slow, "at half speed {slow} s a second, at double speed {fast}");

    assert_eq!(control("repeat", json!({ "enabled": false })).await["repeat"], false);
    let ended = until(&server, &status, "it ends", |now| now["is_paused"] == true).await;
    assert_eq!(ended["position"].as_f64(), Some(duration), "{ended}");
    assert_eq!(control("resume", Value::Null).await["is_paused"], false);
    receives_more(&viewer, 10).await;
    assert_eq!(server.client.sessions().await.unwrap().len(), 2);
}

/// Seconds of the recording that pass in one, beginning once it plays.
async fn advances(server: &Server, status: &str) -> f64 {
    let position = async || get(server, status).await["position"].as_f64().unwrap();
    let moving = Instant::now() + LIMIT;
    let first = loop {
        let now = position().await;
        if now > 0.1 {
            break now;
        }
        assert!(Instant::now() < moving, "it does not play");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(600)).await;
    (position().await - first) / began.elapsed().as_secs_f64()
}
