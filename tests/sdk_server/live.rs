//! The software device live: four streams, sensors that do not disturb each other, options, refusals.

use std::time::{Duration, Instant};

use http::Method;
use realsense_webrtc::probe::receiver::{AccessUnit, Options};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    bench::{MAX_GAP, SOFTWARE, ask, get, join, join_with, luma, post, receives_more, software_device, until},
    server::LIMIT,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_streams_are_live() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let health = get(&server, "/health").await;
    assert_eq!(health["status"], "ok");
    assert!(health["sdk_version"].as_str().unwrap().starts_with("2."), "{health}");
    let devices = get(&server, "/devices/").await;
    assert_eq!(devices.as_array().unwrap().len(), 1, "no simulated camera beside it: {devices}");
    assert_eq!((&devices[0]["device_id"], &devices[0]["product_id"]), (&json!(SOFTWARE), &json!("0B3A")));

    let viewer = join(&server, SOFTWARE, &["color", "depth", "infrared-1", "infrared-2"]).await;
    viewer.receives(60, LIMIT).await.unwrap();
    for stream in viewer.summary() {
        assert!(stream.started_with_keyframe && stream.broken == 0, "{stream:?}");
        assert!((12.0..35.0).contains(&stream.fps), "{stream:?}");
    }
    // The middle of the simulated room, measured through the SDK.
    let at = get(&server, &format!("/devices/{SOFTWARE}/stream/depth-at-pixel?x=212&y=120")).await;
    assert!((0.2..10.0).contains(&at["depth"].as_f64().unwrap()), "{at}");
    let calibration = get(&server, &format!("/devices/{SOFTWARE}/stream/calibration")).await;
    assert!((calibration["depth_units"].as_f64().unwrap() - 0.001).abs() < 1e-9, "{calibration}");
    viewer.leave(&server.client).await.unwrap();
    // The last one out stops the sensors.
    until(&server, "/webrtc/stream-references", "nothing runs", |now| {
        now["device_stream_configs"].get(SOFTWARE).is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_that_starts_interrupts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let depth = join(&server, SOFTWARE, &["depth"]).await;
    depth.receives(30, LIMIT).await.unwrap();
    depth.receiver.take_longest_gap();
    let color = join(&server, SOFTWARE, &["color"]).await;
    color.receives(30, LIMIT).await.unwrap();
    receives_more(&depth, 5).await;
    let gap = depth.receiver.take_longest_gap();
    assert!(gap < MAX_GAP, "{gap:?}");
    let log = server.program.log();
    assert!(!log.contains("sensor stopped"), "depth went on without being reopened:\n{log}");

    // Infrared is the same sensor: it is reopened with both, and the viewer of depth stays in its session.
    let infrared = join(&server, SOFTWARE, &["infrared-1"]).await;
    infrared.receives(10, LIMIT).await.unwrap();
    receives_more(&depth, 10).await;
    let gap = depth.receiver.take_longest_gap();
    assert!(gap < 2 * MAX_GAP, "{gap:?}");
    assert_eq!(server.program.log().matches("sensor stopped").count(), 1);
    assert_eq!(server.client.sessions().await.unwrap().len(), 3);
    let references = server.client.references(SOFTWARE).await.unwrap();
    let expected = ["color", "depth", "infrared-1"].map(|name| (name.to_owned(), 1));
    assert_eq!(references, expected.into());
}

/// The mean luma of a picture that was made from now on.
async fn next_luma(viewer: &realsense_webrtc::probe::viewer::Viewer, units: &mut mpsc::Receiver<AccessUnit>) -> f64 {
    while units.try_recv().is_ok() {}
    viewer.receiver.request_keyframe(0).await;
    let mut got: Vec<AccessUnit> = Vec::new();
    let collect = async {
        while got.len() < 3 {
            let unit = units.recv().await.expect("the receiver lives");
            if !got.is_empty() || unit.keyframe {
                got.push(unit);
            }
        }
    };
    tokio::time::timeout(LIMIT, collect).await.expect("a key frame when asked for one");
    tokio::task::spawn_blocking(move || luma(&got)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_act_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let (sink, mut units) = mpsc::channel(256);
    let options = Options { access_units: Some(sink), ..Options::default() };
    let viewer = join_with(&server, SOFTWARE, &["color"], options).await;
    viewer.receives(5, LIMIT).await.unwrap();
    let sensors = get(&server, &format!("/devices/{SOFTWARE}/sensors/")).await;
    let color = sensors.as_array().unwrap().iter().find(|sensor| sensor["name"] == "RGB Camera").unwrap();
    let exposure =
        color["options"].as_array().unwrap().iter().find(|option| option["option_id"] == "exposure").unwrap();
    assert!(exposure["min_value"].as_f64() < exposure["max_value"].as_f64(), "{exposure}");
    let path = format!("/devices/{SOFTWARE}/sensors/{SOFTWARE}-sensor-1/options");

    let before = next_luma(&viewer, &mut units).await;
    let set = ask(&server, Method::PUT, &format!("{path}/exposure"), Some(&json!({ "value": 10 }))).await;
    assert!(set.is_ok(), "{set}");
    assert_eq!(get(&server, &format!("{path}/exposure")).await["current_value"], 10.0);
    // As in the real thing, exposure by hand turns the automatic off.
    assert_eq!(get(&server, &format!("{path}/enable_auto_exposure")).await["current_value"], 0.0);
    let end = Instant::now() + LIMIT;
    loop {
        let now = next_luma(&viewer, &mut units).await;
        if now < before / 2.0 {
            break;
        }
        assert!(Instant::now() < end, "a short exposure makes the picture dark: {before} then {now}");
    }
    for (option, value, status) in [("exposure", 1e9, 400), ("lazer-power", 1.0, 404)] {
        let reply = ask(&server, Method::PUT, &format!("{path}/{option}"), Some(&json!({ "value": value }))).await;
        assert_eq!(reply.status, status, "{reply}");
    }
    let stereo = format!("/devices/{SOFTWARE}/sensors/{SOFTWARE}-sensor-0/options/depth_units");
    let reply = ask(&server, Method::PUT, &stereo, Some(&json!({ "value": 0.01 }))).await;
    assert_eq!(reply.status, 400, "read-only: {reply}");
    assert_eq!(get(&server, &format!("{path}/exposure")).await["current_value"], 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_cannot_stream_is_refused_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let server = software_device(folder.path());
    let viewer = join(&server, SOFTWARE, &["color"]).await;
    viewer.receives(5, LIMIT).await.unwrap();
    let start = |sensor: usize, stream: &str, format: &str, width: u32| {
        json!({ "configs": [{ "sensor_id": format!("{SOFTWARE}-sensor-{sensor}"), "stream_type": stream, "format": format,
            "resolution": { "width": width, "height": 480 }, "framerate": 30 }] })
    };
    let path = format!("/devices/{SOFTWARE}/stream/start");
    for (body, words) in [
        (start(0, "depth", "z16", 642), "640x480 at 30 fps"),
        (start(1, "color", "y8", 640), "offered as bgr8, rgb8, yuyv"),
        (start(1, "depth", "z16", 640), "depth"),
    ] {
        let reply = ask(&server, Method::POST, &path, Some(&body)).await;
        assert_eq!(reply.status, 400, "{body}: {reply}");
        assert!(reply.detail().contains(words), "{body}: {reply}");
    }
    // What runs otherwise is not changed under its viewer.
    let reply = ask(&server, Method::POST, &path, Some(&start(1, "color", "yuyv", 640))).await;
    assert_eq!(reply.status, 409, "{reply}");
    receives_more(&viewer, 10).await;
    assert!(viewer.receiver.take_longest_gap() < Duration::from_secs(2));
    // A good one is taken.
    post(&server, &path, start(0, "depth", "z16", 640)).await;
    let references = server.client.references(SOFTWARE).await.unwrap();
    assert_eq!(references.get("depth"), Some(&1), "{references:?}");
}
