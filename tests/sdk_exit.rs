//! The real program with the real SDK ends at SIGTERM as it should, every time: while sensors run, while a recording plays,
//! while one is written, and while it starts. The SDK's threads and its exit handlers are the reason to try it fifty times.
//! Needs the real library; see tests/cameras/sdk.rs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/recording.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod recording;
#[path = "cameras/sdk.rs"]
mod sdk;
#[path = "support/server.rs"]
mod server;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use http::Method;
use realsense_webrtc::{
    camera::{
        Backend,
        realsense::{RealsenseBackend, Settings},
    },
    model::StreamType,
};
use serde_json::{Value, json};
use server::{LIMIT, Program, Server};

/// The serial number of the SDK's software device.
const SOFTWARE: &str = "954212070924";
/// The recorded simulated camera, played.
const PLAYED: &str = "844212070924-rec";
/// How long the end may take: what `systemctl stop` and `docker stop` wait is twice that.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How many times.
const TIMES: usize = 50;
/// At once: more than there are cores, so that they disturb each other.
const AT_ONCE: usize = 3;

/// The configuration that names the library, with these further lines of `[realsense]`.
fn config(folder: &Path) -> String {
    let library = sdk::library();
    format!(
        "[realsense]\nlibrary = {:?}\n[recording]\ndir = {:?}\nmin_free_mb = 1\n",
        library.display().to_string(),
        folder.display().to_string()
    )
}

/// Starts every sensor by REST and waits until depth comes.
async fn start_all(server: &Server, device: &str) {
    let mut configs = Vec::new();
    for (sensor, streams) in recording::recorded().iter().enumerate() {
        for config in streams {
            configs.push(json!({
                "sensor_id": format!("{device}-sensor-{sensor}"),
                "stream_type": config.stream.to_string(),
                "format": config.format.to_string(),
                "resolution": { "width": config.profile.width, "height": config.profile.height },
                "framerate": config.profile.framerate,
            }));
        }
    }
    let started = post(server, &format!("/devices/{device}/stream/start"), json!({ "configs": configs })).await;
    assert_eq!(started["active_streams"].as_array().unwrap().len(), 6, "{started}");
    let path = format!("/devices/{device}/stream/depth-at-pixel?x=212&y=120");
    let end = Instant::now() + LIMIT;
    while !server.client.request(Method::GET, &path, None).await.unwrap().is_ok() {
        assert!(Instant::now() < end, "no depth frame comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn post(server: &Server, path: &str, body: Value) -> Value {
    let reply = server.client.request(Method::POST, path, Some(&body)).await.unwrap();
    assert!(reply.is_ok(), "POST {path}: {reply}");
    reply.body
}

/// Ends it and checks how.
fn ends_well(program: &mut Program, what: &str) {
    let Some((status, took)) = program.terminate(END_LIMIT) else {
        panic!("{what}: still there {END_LIMIT:?} after SIGTERM");
    };
    assert!(status.success(), "{what}: {status}");
    assert!(took < END_LIMIT, "{what}: {took:?}");
    let log = program.log();
    for words in ["panicked", "shutdown took longer", "left behind"] {
        let last: Vec<_> = log.lines().rev().take(30).collect();
        assert!(!log.contains(words), "{what}: '{words}' in its log, which ended, newest first:\n{}", last.join("\n"));
    }
}

#[test]
fn fifty_times_out_of_fifty() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording::record(sdk::sdk(), folder.path(), 30);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= TIMES {
                        return;
                    }
                    runtime.block_on(once(number, &file, folder.path()));
                }
            });
        }
    });
}

/// One start and end; what is streamed changes from number to number.
async fn once(number: usize, file: &Path, folder: &Path) {
    let file = file.to_str().unwrap();
    let (args, devices): (&[&str], &[&str]) = match number % 3 {
        0 => (&["--software-device"], &[SOFTWARE]),
        1 => (&["--recording", file], &[PLAYED]),
        _ => (&["--software-device", "--recording", file], &[SOFTWARE, PLAYED]),
    };
    let mut server = Server::start(&config(folder), args);
    for device in devices {
        start_all(&server, device).await;
    }
    ends_well(&mut server.program, &format!("number {number}, {args:?}"));
}

#[test]
fn while_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording::record(sdk::sdk(), folder.path(), 5);
    let args = ["--software-device", "--recording", file.to_str().unwrap()];
    for moment in ["starting", "librealsense loaded", "recording opened", "camera present", "ready"] {
        let mut program = Program::start(&config(folder.path()), &args);
        let said = program.says(moment, LIMIT);
        assert!(said.is_some(), "it says '{moment}' when it starts:\n{}", program.log());
        ends_well(&mut program, &format!("at '{moment}'"));
    }
}

#[tokio::test]
async fn while_it_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&config(folder.path()), &["--software-device"]);
    start_all(&server, SOFTWARE).await;
    let path = format!("/devices/{SOFTWARE}/recording");
    let began = post(&server, &format!("{path}/start"), json!({ "file_name": "cut" })).await;
    let end = Instant::now() + LIMIT;
    loop {
        let status = server.client.request(Method::GET, &format!("{path}/status"), None).await.unwrap().body;
        if status["frames"].as_u64().unwrap() > 100 {
            break;
        }
        assert!(Instant::now() < end, "it records: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ends_well(&mut server.program, "while it records");
    let file = folder.path().join(began["file_name"].as_str().unwrap());
    tokio::task::spawn_blocking(move || plays(file)).await.unwrap();
}

/// Plays a recording until every stream came.
fn plays(file: PathBuf) {
    let settings = Settings { recordings: vec![file.clone()], repeat: true, ..Settings::default() };
    let backend = RealsenseBackend::start(sdk::sdk(), settings).unwrap();
    let device =
        backend.devices().first().unwrap_or_else(|| panic!("{} is complete", file.display())).device_id.clone();
    let (sink, frames) = mpsc::channel();
    let mut camera = backend.open(&device, Arc::new(move |frame| drop(sink.send(frame)))).unwrap();
    for (sensor, streams) in recording::recorded().iter().enumerate() {
        camera.start(sensor, streams).unwrap();
    }
    let mut missing = StreamType::VIDEO.to_vec();
    let end = Instant::now() + LIMIT;
    while !missing.is_empty() {
        assert!(Instant::now() < end, "{missing:?} not in {}", file.display());
        let frame = frames.recv_timeout(LIMIT).unwrap();
        missing.retain(|stream| *stream != frame.stream);
    }
}
