//! Recordings over REST, written by a fake recorder into a folder of each test's own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use realsense_webrtc::{camera::SimFault, config::Config, model::DeviceId, model::StreamType};
use serde_json::{Value, json};

use super::common::{
    CAMERA, TestServer, config, eventually,
    fakes::{FakeFactory, frames_of},
};

pub(super) struct Bench {
    pub(super) server: TestServer,
    pub(super) factory: Arc<FakeFactory>,
    pub(super) dir: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let factory = FakeFactory::new();
        let mut config = config();
        // A folder that is not there yet, and a disk that may be nearly full.
        config.recording.dir = dir.path().join("made/for/recordings");
        config.recording.min_free_mb = 0;
        change(&mut config);
        let server = TestServer::with_recorder(config, factory.clone()).await;
        Self { server, factory, dir }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("made/for/recordings").join(name)
    }

    pub(super) async fn start(&self, body: Value) -> Value {
        let answer = self.server.post(&url("start"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub(super) async fn stop(&self) -> Value {
        let answer = self.server.post_nothing(&url("stop")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub(super) async fn status(&self) -> Value {
        self.server.get(&url("status")).await.json()
    }

    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || Some(self.status().await).filter(&wanted)).await
    }

    pub(super) async fn frames(&self, at_least: u64) {
        self.until("frames are written", |status| status["frames"].as_u64().unwrap() >= at_least).await;
    }

    /// Waits until a file that is being written has two frames of each of these streams.
    pub(super) async fn has_of_each(&self, partial: &str, streams: &[&str]) {
        let file = self.file(partial);
        eventually("frames of every stream are written", async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let of = |stream: &str| text.lines().filter(|line| line.contains(&format!("{stream} "))).count();
            streams.iter().all(|stream| of(stream) >= 2).then_some(())
        })
        .await;
    }

    pub(super) async fn references(&self) -> Value {
        self.server.get("/api/webrtc/stream-references").await.json()["stream_references"].clone()
    }

    pub(super) async fn released(&self) {
        eventually("the streams are released", async || (self.references().await == json!({})).then_some(())).await;
    }
}

pub(super) fn url(what: &str) -> String {
    format!("/api/devices/{CAMERA}/recording/{what}")
}

pub(super) fn is_over(status: &Value) -> bool {
    status["is_recording"] == false
}

/// Within a stream the camera's counter only rises: no frame came twice or in another order. A simulated camera on a busy
/// machine leaves numbers out.
pub(super) fn assert_in_order(frames: &[(String, u64)], stream: &str) {
    let numbers: Vec<_> = frames.iter().filter(|(of, _)| of == stream).map(|(_, number)| *number).collect();
    assert!(numbers.len() > 1, "{stream}: {numbers:?}");
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]), "{stream}: {numbers:?}");
}

#[tokio::test]
async fn a_recording_from_start_to_delete() {
    let bench = Bench::new(|_| {}).await;
    let server = &bench.server;
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["can_record"], true);
    let status = bench.status().await;
    assert_eq!((&status["is_recording"], &status["file_name"]), (&json!(false), &Value::Null));
    assert_eq!(server.get("/api/recordings").await.json(), json!([]));

    let started = bench.start(json!({"file_name": "walk", "stream_types": ["depth", "color", "accel"]})).await;
    assert_eq!(started["is_recording"], true);
    assert_eq!((&started["file_name"], &started["format"]), (&json!("walk.bag"), &json!("bag")));
    assert_eq!(started["streams"], json!(["depth", "color", "accel"]));
    assert_eq!(bench.references().await, json!({CAMERA: {"color": 1, "depth": 1, "accel": 1}}));
    // The answer to what streams does not change with the recording of motion.
    let streaming = server.get(&format!("/api/devices/{CAMERA}/stream/status")).await.json();
    assert_eq!((&streaming["is_streaming"], &streaming["stopping"]), (&json!(true), &json!(false)));

    bench.has_of_each("walk.partial.bag", &["color", "depth", "accel"]).await;
    let status = bench.status().await;
    assert_eq!((&status["end_reason"], &status["detail"]), (&Value::Null, &Value::Null));
    assert!(status["seconds"].as_f64().unwrap() > 0.0 && status["bytes"].as_u64().unwrap() > 0, "{status}");
    let listed = server.get("/api/recordings").await.json();
    assert_eq!((&listed[0]["name"], &listed[0]["complete"]), (&json!("walk.partial.bag"), &json!(false)));
    for name in ["walk.bag", "walk.partial.bag"] {
        assert!(server.delete(&format!("/api/recordings/{name}")).await.expect_error(409).contains("being written"));
        server.get(&format!("/api/recordings/{name}")).await.expect_error(409);
    }

    let stopped = bench.stop().await;
    assert_eq!((&stopped["is_recording"], &stopped["end_reason"]), (&json!(false), &json!("stopped")));
    assert_eq!(stopped["dropped_frames"], 0);
    assert!(stopped["detail"].as_str().unwrap().contains("stopped"), "{stopped}");
    assert_eq!(bench.stop().await, stopped, "a second stop changes nothing");
    let frames = frames_of(&bench.file("walk.bag"));
    assert_eq!(frames.len() as u64, stopped["frames"].as_u64().unwrap());
    ["color", "depth", "accel"].iter().for_each(|stream| assert_in_order(&frames, stream));
    bench.released().await;

    let listed = server.get("/api/recordings").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["name"], &listed[0]["complete"]), (&json!("walk.bag"), &json!(true)));
    assert_eq!(listed[0]["bytes"], stopped["bytes"]);
    assert!(listed[0]["modified"].as_f64().unwrap() > 1.7e9);
    let fetched = server.get("/api/recordings/walk.bag").await;
    assert_eq!(fetched.status, 200);
    assert_eq!(fetched.body, std::fs::read(bench.file("walk.bag")).unwrap());
    assert_eq!(fetched.header("content-disposition"), Some("attachment; filename=\"walk.bag\""));
    assert_eq!(fetched.header("content-type"), Some("application/octet-stream"));
    let part = server.send(http::Method::GET, "/api/recordings/walk.bag", &[("range", "bytes=0-4")], "").await;
    assert_eq!((part.status, part.text().as_str()), (206, "begin"));
    server
        .send(http::Method::GET, "/api/recordings/walk.bag", &[("range", "bytes=99999999-")], "")
        .await
        .expect_error(416);
    assert_eq!(server.delete("/api/recordings/walk.bag").await.json(), json!({"success": true}));
    assert!(!bench.file("walk.bag").exists());
    server.get("/api/recordings/walk.bag").await.expect_error(404);
    server.delete("/api/recordings/walk.bag").await.expect_error(404);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn what_runs_is_recorded_and_goes_on_untouched() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.server.offer(&["color", "infrared-2"]).await;
    eventually("motion runs beside video", async || {
        let device = DeviceId::new(CAMERA);
        bench.server.handle.latest_frame(&device, StreamType::Gyro)
    })
    .await;
    let running =
        async || bench.server.get("/api/webrtc/stream-references").await.json()["device_stream_configs"].clone();
    let status = async || bench.server.get(&format!("/api/devices/{CAMERA}/stream/status")).await.json();
    let (before, streams) = (running().await, status().await["active_streams"].clone());
    let started = bench.start(json!({})).await;
    assert_eq!(started["streams"], json!(["color", "infrared-2", "gyro", "accel"]));
    assert_eq!(running().await, before, "nothing was started anew");
    assert_eq!(status().await["active_streams"], streams);

    // The device is described with what a player must know.
    let device = bench.factory.devices().pop().unwrap();
    let sensors: Vec<_> = device.sensors.iter().map(|sensor| (sensor.name.as_str(), sensor.streams.len())).collect();
    assert_eq!(sensors, [("Stereo Module", 1), ("RGB Camera", 1), ("Motion Module", 2)]);
    assert_eq!(device.info.serial_number, CAMERA);
    let (infrared, color) = (&device.sensors[0].streams[0], &device.sensors[1].streams[0]);
    assert_eq!(infrared.intrinsics.unwrap().width, 640);
    assert!(infrared.to_first.is_none() && color.to_first.is_some() && color.intrinsics.is_some());
    assert!(device.sensors[1].options.iter().any(|option| option.option_id == "exposure"));
    assert_eq!(device.sensors[0].depth_units, None, "no depth is recorded");

    // The last viewer leaves; the recording holds its streams.
    bench.server.delete(&format!("/api/webrtc/sessions/{session}")).await;
    let name = started["file_name"].as_str().unwrap().replace(".bag", "");
    bench.has_of_each(&format!("{name}.partial.bag"), &["color", "infrared-2", "gyro", "accel"]).await;
    assert_eq!(running().await[CAMERA]["started_at"], before[CAMERA]["started_at"]);
    let stopped = bench.stop().await;
    assert_in_order(&frames_of(&bench.file(stopped["file_name"].as_str().unwrap())), "color");
    bench.released().await;
    eventually("everything stops", async || (status().await["is_streaming"] == false).then_some(())).await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn with_nothing_running_colour_and_depth_are_recorded() {
    let bench = Bench::new(|config| config.camera.motion = false).await;
    // No body at all will do.
    let started = bench.server.post_nothing(&url("start")).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let started = started.json();
    assert_eq!(started["streams"], json!(["color", "depth"]));
    let name = started["file_name"].as_str().unwrap();
    assert!(name.starts_with(&format!("{CAMERA}-20")) && name.ends_with(".bag"), "{name}");
    bench.frames(10).await;
    assert_eq!(bench.factory.devices()[0].sensors[0].depth_units, Some(0.001));
    bench.stop().await;
    // A name that nobody chose finds a free one, also within the second.
    let again = bench.start(json!({})).await;
    assert_ne!(again["file_name"], started["file_name"]);
    bench.frames(1).await;
    bench.stop().await;
    assert_eq!(bench.server.get("/api/recordings").await.json().as_array().unwrap().len(), 2);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_slow_disk_costs_the_recording_frames_and_nobody_else() {
    let bench = Bench::new(|_| {}).await;
    bench.server.offer(&["color"]).await;
    bench.start(json!({"file_name": "slow", "stream_types": ["color", "depth", "gyro", "accel"]})).await;
    bench.frames(1).await;
    bench.factory.stick(true);
    let device = DeviceId::new(CAMERA);
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let stuck = eventually("frames are dropped", async || {
        let frame = bench.server.handle.latest_frame(&device, StreamType::Color)?;
        assert!(frame.captured_at.elapsed() < Duration::from_secs(2), "the video stands");
        seen.borrow_mut().insert(frame.number);
        Some(bench.status().await).filter(|status| status["dropped_frames"].as_u64().unwrap() > 100)
    })
    .await;
    assert_eq!(stuck["is_recording"], true);
    let seen = seen.into_inner();
    assert!(seen.len() > 10, "the video goes on: {seen:?}");
    bench.factory.stick(false);
    let stopped = bench.stop().await;
    assert_eq!(stopped["end_reason"], "stopped");
    let frames = frames_of(&bench.file("slow.bag"));
    assert_eq!(frames.len() as u64, stopped["frames"].as_u64().unwrap(), "what waited was written");
    assert!(stopped["dropped_frames"].as_u64() >= stuck["dropped_frames"].as_u64());
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_recording_ends_at_its_limits_with_a_whole_file() {
    let bench = Bench::new(|config| {
        config.recording.max_mb = 1;
        config.recording.max_seconds = 3600;
    })
    .await;
    bench.factory.pad(100_000);
    bench.start(json!({"file_name": "large"})).await;
    let ended = bench.until("the size limit", is_over).await;
    assert_eq!(ended["end_reason"], "size_limit");
    assert!(ended["detail"].as_str().unwrap().contains("recording.max_mb"), "{ended}");
    let bytes = ended["bytes"].as_u64().unwrap();
    assert!((1_000_000..1_300_000).contains(&bytes), "{bytes}");
    assert!(!frames_of(&bench.file("large.bag")).is_empty());
    bench.released().await;

    bench.factory.pad(0);
    bench.start(json!({"file_name": "long", "max_seconds": 0.3})).await;
    let ended = bench.until("the time limit", is_over).await;
    assert_eq!((&ended["end_reason"], &ended["file_name"]), (&json!("time_limit"), &json!("long.bag")));
    assert!(ended["seconds"].as_f64().unwrap() >= 0.3, "{ended}");
    frames_of(&bench.file("long.bag"));
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_recording_with_its_words() {
    let bench = Bench::new(|_| {}).await;
    bench.factory.fail_create(Some("The library will not have it."));
    let refused = bench.server.post(&url("start"), &json!({"file_name": "a"})).await;
    assert!(refused.expect_error(503).contains("will not have it"));
    assert_eq!(bench.references().await, json!({}), "a refusal changes nothing");
    assert_eq!(bench.status().await["file_name"], Value::Null);
    bench.factory.fail_create(None);

    bench.start(json!({"file_name": "a"})).await;
    bench.frames(3).await;
    bench.factory.fail_write(Some("Input/output error."));
    let ended = bench.until("the write error", is_over).await;
    assert_eq!(ended["end_reason"], "write_error");
    assert!(ended["detail"].as_str().unwrap().contains("Input/output error."), "{ended}");
    frames_of(&bench.file("a.bag"));
    bench.released().await;
    bench.factory.fail_write(None);

    bench.start(json!({"file_name": "b"})).await;
    bench.frames(3).await;
    bench.factory.fail_finish(Some("No index."));
    let ended = bench.stop().await;
    assert_eq!((&ended["end_reason"], &ended["file_name"]), (&json!("write_error"), &json!("b.partial.bag")));
    assert!(ended["detail"].as_str().unwrap().contains("not complete: No index."), "{ended}");
    assert!(!bench.file("b.bag").exists());
    bench.factory.fail_finish(None);
    // What is left of it can be seen, fetched and deleted.
    let listed = bench.server.get("/api/recordings").await.json();
    let left = listed.as_array().unwrap().iter().find(|file| file["name"] == "b.partial.bag").unwrap();
    assert_eq!(left["complete"], false);
    assert!(bench.server.post(&url("start"), &json!({"file_name": "b"})).await.expect_error(409).contains("b.bag"));
    assert_eq!(bench.server.delete("/api/recordings/b.partial.bag").await.status, 200);
    bench.start(json!({"file_name": "b"})).await;
    bench.stop().await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_disk_without_space_is_not_begun_on() {
    let bench = Bench::new(|config| config.recording.min_free_mb = 1_000_000_000).await;
    let detail = bench.server.post(&url("start"), &json!({})).await.expect_error(503);
    assert!(detail.contains("recording.min_free_mb") && detail.contains("recording.dir"), "{detail}");
    bench.released().await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new(|config| config.recording.dir = "/proc/recordings".into()).await;
    let detail = bench.server.post(&url("start"), &json!({})).await.expect_error(503);
    assert!(detail.contains("/proc/recordings") && detail.contains("recording.dir"), "{detail}");
    assert_eq!(bench.server.get("/api/recordings").await.json(), json!([]));
    bench.server.shutdown().await;
}

#[tokio::test]
async fn an_unplugged_device_leaves_a_whole_file() {
    let bench = Bench::new(|_| {}).await;
    bench.start(json!({"file_name": "cut", "stream_types": ["color"]})).await;
    bench.frames(5).await;
    let device = DeviceId::new(CAMERA);
    bench.server.handle.inject_fault(&device, SimFault::Unplug).await.unwrap();
    // The status answers though the device is away: it says why the recording ended.
    let ended = bench.until("the recording ends", is_over).await;
    assert_eq!((&ended["end_reason"], &ended["file_name"]), (&json!("device_gone"), &json!("cut.bag")));
    assert!(!frames_of(&bench.file("cut.bag")).is_empty());
    bench.released().await;
    assert!(bench.server.post(&url("start"), &json!({})).await.expect_error(503).contains("unplugged"));
    bench.server.handle.inject_fault(&device, SimFault::Replug).await.unwrap();
    eventually("it records again", async || {
        let answer = bench.server.post(&url("start"), &json!({"file_name": "next"})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    bench.frames(1).await;
    assert_eq!(bench.stop().await["end_reason"], "stopped");
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_closes_the_file() {
    let Bench { server, factory, dir } = Bench::new(|_| {}).await;
    let started = server.post(&url("start"), &json!({"file_name": "end"})).await;
    assert_eq!(started.status, 200, "{}", started.text());
    eventually("frames are written", async || {
        (server.get(&url("status")).await.json()["frames"].as_u64().unwrap() > 3).then_some(())
    })
    .await;
    server.shutdown().await;
    assert!(frames_of(&dir.path().join("made/for/recordings/end.bag")).len() > 3);
    drop(factory);
}

#[tokio::test]
async fn a_refused_start_says_why_and_changes_nothing() {
    let bench = Bench::new(|_| {}).await;
    let server = &bench.server;
    for name in
        ["", ".", "..", "../x", "/etc/passwd", "a/b", "a b", ".hidden", "x.db3", "x.partial.bag", &"x".repeat(200)]
    {
        let detail = server.post(&url("start"), &json!({"file_name": name})).await.expect_error(400);
        assert!(detail.contains("name") || detail.contains(".bag"), "{name}: {detail}");
    }
    for (body, status, word) in [
        (json!({"stream_types": ["thermal"]}), 400, "color, depth"),
        (json!({"stream_types": []}), 400, "empty"),
        (json!({"stream_types": "color"}), 422, "stream_types"),
        (json!({"max_seconds": 0}), 400, "max_seconds"),
        (json!({"file_name": 7}), 422, "file_name"),
        (json!("x"), 422, "body"),
    ] {
        let detail = server.post(&url("start"), &body).await.expect_error(status);
        assert!(detail.contains(word), "{body}: {detail}");
    }
    for what in ["start", "stop"] {
        server.post_nothing(&format!("/api/devices/nobody/recording/{what}")).await.expect_error(404);
    }
    server.get("/api/devices/nobody/recording/status").await.expect_error(404);
    assert_eq!(bench.references().await, json!({}));
    assert!(!bench.file("").exists(), "the folder is made with the first recording");

    bench.start(json!({"file_name": "one"})).await;
    let detail = server.post(&url("start"), &json!({"file_name": "two"})).await.expect_error(409);
    assert!(detail.contains("one.bag"), "{detail}");
    bench.frames(1).await;
    bench.stop().await;
    let detail = server.post(&url("start"), &json!({"file_name": "one"})).await.expect_error(409);
    assert!(detail.contains("one.bag"), "{detail}");
    bench.released().await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn a_camera_that_does_not_start_is_not_recorded() {
    let bench = Bench::new(|_| {}).await;
    let device = DeviceId::new(CAMERA);
    bench.server.handle.inject_fault(&device, SimFault::FailStart).await.unwrap();
    bench.server.post(&url("start"), &json!({})).await.expect_error(503);
    bench.released().await;
    assert_eq!(bench.status().await["is_recording"], false);
    bench.server.handle.inject_fault(&device, SimFault::Clear).await.unwrap();
    bench.start(json!({})).await;
    bench.stop().await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn without_librealsense_the_way_to_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.recording.dir = dir.path().to_owned();
    std::fs::write(dir.path().join("old.bag"), "x").unwrap();
    let server = TestServer::with(config).await;
    assert_eq!(server.get(&format!("/api/devices/{CAMERA}")).await.json()["can_record"], false);
    let detail = server.post_nothing(&url("start")).await.expect_error(503);
    assert!(detail.contains("librealsense") && detail.contains("scripts/get_librealsense.sh"), "{detail}");
    // What was recorded elsewhere is served all the same.
    assert_eq!(server.get("/api/recordings/old.bag").await.text(), "x");
    server.shutdown().await;
}
