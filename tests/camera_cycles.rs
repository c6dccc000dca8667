//! Opening, streaming and closing cameras of the real SDK leaves nothing behind. In a process of its own, because it counts
//! the process's threads and file descriptors. Needs the real library; see tests/cameras/sdk.rs.
#![allow(clippy::unwrap_used)]

#[path = "cameras/bench.rs"]
#[allow(dead_code, reason = "shared with the suite of camera tests, which uses all of it")]
mod bench;
#[path = "support/recording.rs"]
mod recording;
#[path = "cameras/sdk.rs"]
mod sdk;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bench::{Bench, Kind, SOON};
use realsense_webrtc::{
    camera::{
        Backend, StreamConfig,
        realsense::{RealsenseBackend, Settings},
    },
    process,
};

/// Rounds before the first measurement: caches of the SDK, of the allocator and of the simulator fill, threads that stay come
/// up.
const WARM_UP: usize = 10;
/// Rounds of opening and closing one device.
const ROUNDS: usize = 100;
/// Rounds of starting and dropping the whole backend, the SDK's context with it.
const BACKENDS: usize = 30;
/// Resident memory that 100 rounds may add once freed memory was given back: what the allocator cannot give back of its arenas
/// varies by that much. One leaked set of frames is 1 MB. The SDK itself keeps 36 KB of every software device until the
/// process ends: the extrinsics of its 190 profiles.
const RSS_BOUND_KB: i64 = 8192;

#[derive(Debug, Clone, Copy)]
struct Usage {
    threads: usize,
    files: usize,
    rss_kb: i64,
}

fn usage() -> Usage {
    process::trim_memory();
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let rss_kb = rss.trim().trim_end_matches(" kB").parse().unwrap();
    Usage { threads: count("/proc/self/task"), files: count("/proc/self/fd"), rss_kb }
}

/// What is in use once nothing is on its way out any more.
fn settled() -> Usage {
    let end = Instant::now() + SOON;
    let (mut last, mut same) = (usage(), 0);
    while same < 10 {
        assert!(Instant::now() < end, "the process does not come to rest: {last:?}");
        std::thread::sleep(Duration::from_millis(20));
        let now = usage();
        same = if (now.threads, now.files) == (last.threads, last.files) { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// Runs rounds and checks that they leave nothing behind; gives what they added.
fn rounds(what: &str, count: usize, mut round: impl FnMut()) {
    (0..WARM_UP).for_each(|_| round());
    let before = settled();
    let began = Instant::now();
    (0..count).for_each(|_| round());
    let took = began.elapsed();
    let end = Instant::now() + SOON;
    let after = loop {
        let now = usage();
        if (now.threads, now.files) == (before.threads, before.files) {
            break now;
        }
        assert!(Instant::now() < end, "{what}: something stayed: {before:?}, then {now:?}: {}", open_files());
        std::thread::sleep(Duration::from_millis(20));
    };
    println!("{what}: {before:?}, after {count} more {after:?}, {took:?}");
    assert!(after.rss_kb < before.rss_kb + RSS_BOUND_KB, "{what}: memory grows: {before:?}, then {after:?}");
}

/// What the descriptors are, for a failing test's message.
fn open_files() -> String {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let names = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    names.map(|name| name.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Opens the device, starts every sensor, sees a frame of every stream, stops and closes.
fn open_and_close(bench: &mut Bench, streams: &[Vec<StreamConfig>; 3]) {
    bench.open();
    for (sensor, configs) in streams.iter().enumerate() {
        bench.camera().start(sensor, configs).expect("it starts");
    }
    for config in streams.iter().flatten() {
        bench.frame_of(config.stream);
    }
    // The motion sensor still runs: closing stops it.
    (0..2).for_each(|sensor| bench.camera().stop(sensor));
    bench.camera = None;
}

fn played(file: &Path) -> Bench {
    let settings = Settings { recordings: vec![file.to_owned()], repeat: true, ..Settings::default() };
    Bench::of(Arc::new(RealsenseBackend::start(sdk::sdk(), settings).expect("the SDK starts")))
}

#[test]
fn a_hundred_cycles_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording::record(sdk::sdk(), folder.path(), 30);
    let streams = recording::recorded();

    let mut live = Bench::new(Kind::SoftwareDevice);
    live.camera = None;
    rounds("software device", ROUNDS, || open_and_close(&mut live, &streams));
    drop(live);

    let mut recorded = played(&file);
    recorded.camera = None;
    rounds("recording", ROUNDS, || open_and_close(&mut recorded, &streams));
    drop(recorded);

    let backend = RealsenseBackend::start(sdk::sdk(), Settings::default()).expect("the SDK starts");
    rounds("opened and closed", ROUNDS, || {
        let device = backend.open_recording(&file).expect("it opens");
        backend.close_recording(&device).expect("it is closed");
    });
    drop(backend);

    rounds("backend", BACKENDS, || {
        let settings =
            Settings { software_device: true, recordings: vec![file.clone()], repeat: true, ..Settings::default() };
        let backend = Arc::new(RealsenseBackend::start(sdk::sdk(), settings).expect("the SDK starts"));
        let mut bench = Bench::of(backend);
        open_and_close(&mut bench, &streams);
    });
}
