//! The real program with its simulated cameras, real HTTP and real WebRTC: what a viewer may rely on, from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::time::{Duration, Instant};

use gst::prelude::*;
use http::Method;
use realsense_webrtc::{
    model::Codec,
    probe::{
        client::Client,
        receiver::{AccessUnit, Options, Phase, Stats},
        viewer::Viewer,
    },
};
use serde_json::json;
use server::{DEVICE, LIMIT, SMALL, Server};

/// Longest time without a frame that a busy test machine is forgiven. The budget of 200 ms is the benchmark's business.
const MAX_GAP: Duration = Duration::from_secs(1);

/// A peer that vanished must be gone within this time.
const VANISH_LIMIT: Duration = Duration::from_secs(15);

/// A viewer of a stream that runs sees a picture long before the next regular key frame, ten seconds apart.
const MAX_FIRST_FRAME_MS: f64 = 4000.0;

fn passes(server: &Server, args: &[&str]) {
    let output = server.probe(args);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "probe {args:?}:\n{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_probe_finds_nothing_wrong() {
    let server = Server::start(SMALL, &[]);
    passes(&server, &["--streams", "color,depth", "--secs", "1"]);
    passes(&server, &["multi-client"]);
    passes(&server, &["stream-types"]);
    passes(&server, &["failure-recovery"]);
    passes(&server, &["storms"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_leave_first_are_no_errors_in_the_log() {
    let server = Server::start(SMALL, &[]);
    for _ in 0..6 {
        let viewer = server.join(&["color"], Options::default()).await;
        viewer.receives(5, LIMIT).await.unwrap();
        viewer.receiver.close().await;
        server.wait_for_sessions(0, LIMIT).await;
    }
    let log = server.program.log();
    assert!(log.contains("the peer closed the connection"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_dozen_viewers_and_a_coming_and_going() {
    let server = Server::start(SMALL, &[]);
    let output = server.probe(&["load", "--viewers", "12", "--secs", "3", "--streams", "color,depth", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["joined"], 12, "{text}");
    // 24 streams of 30 frames for three seconds. On a busy machine the camera makes fewer; what it makes reaches everybody.
    let (frames, missed) = (seen["frames"].as_u64().unwrap(), seen["missed"].as_u64().unwrap());
    assert!(frames > 24 * 60 && missed * 20 < frames, "{text}");
    // A session costs some ten threads, an encoder four to six.
    assert!((24..400).contains(&seen["server"]["threads"].as_u64().unwrap()), "{text}");

    let output = server.probe(&["churn", "--joins", "20", "--warm-up", "20", "--leave", "mixed", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    let gap = seen["longest_gap_ms"].as_f64().unwrap();
    assert!(gap < MAX_GAP.as_secs_f64() * 1e3, "{text}");
    assert_eq!(seen["sessions_left"], 1, "{text}");
    let (before, after) = (&seen["before"], &seen["after"]);
    assert!(after["threads"].as_u64() <= before["threads"].as_u64(), "{text}");
    assert!(after["fds"].as_u64() <= before["fds"].as_u64(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_viewer_gets_decodes_from_the_first_frame_on() {
    let server = Server::start("", &[]);
    for codec in [Codec::H264, Codec::VP8] {
        let (sink, mut units) = tokio::sync::mpsc::channel(256);
        let viewer = server.join(&["color"], Options { access_units: Some(sink), ..Options::default() }).await;
        // A viewer that comes while another watches must not have to wait for a picture either.
        let late = server.join(&["color"], Options { codecs: vec![codec], ..Options::default() }).await;
        viewer.receives(30, LIMIT).await.unwrap();
        late.receives(30, LIMIT).await.unwrap();
        assert!(late.summary()[0].started_with_keyframe);
        let first = late.summary()[0].first_frame_ms.unwrap();
        assert!(first < MAX_FIRST_FRAME_MS, "the late viewer waited {first} ms for a picture");
        assert_eq!(late.summary()[0].codec.as_deref(), Some(codec.name()));
        let mut got = Vec::new();
        while got.len() < 30 {
            got.push(units.recv().await.unwrap());
        }
        assert!(got[0].keyframe);
        assert_eq!(tokio::task::spawn_blocking(move || decode(&got)).await.unwrap(), (30, 640, 480));
        viewer.leave(&server.client).await.unwrap();
        late.leave(&server.client).await.unwrap();
    }
}

/// Decodes access units of H.264; gives the number of pictures and their size.
fn decode(units: &[AccessUnit]) -> (usize, i32, i32) {
    gst::init().unwrap();
    assert!(units.iter().all(|unit| unit.codec == Codec::H264));
    let text = "appsrc name=in format=time caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! \
        openh264dec ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let input = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (index, unit) in units.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(33 * index as u64));
        input.push_buffer(buffer).unwrap();
    }
    input.end_of_stream().unwrap();
    let (mut pictures, mut width, mut height) = (0, 0, 0);
    while let Ok(sample) = output.pull_sample() {
        let caps = sample.caps().unwrap().structure(0).unwrap().to_owned();
        (width, height) = (caps.get("width").unwrap(), caps.get("height").unwrap());
        pictures += 1;
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (pictures, width, height)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_or_vanishes_is_gone() {
    let server = Server::start(SMALL, &[]);
    let watching = server.join(&["color"], Options::default()).await;
    watching.receives(5, LIMIT).await.unwrap();

    let leaving = server.join(&["color"], Options::default()).await;
    leaving.receives(1, LIMIT).await.unwrap();
    leaving.receiver.close().await;
    // A good-bye is heard at once, not after the silence that a vanished peer is given.
    server.wait_for_sessions(1, Duration::from_secs(3)).await;

    let killed = server.join(&["color"], Options::default()).await;
    let cut_off = server.join(&["color", "depth"], Options::default()).await;
    for viewer in [&killed, &cut_off] {
        // Until the server knows how often they speak; before that it waits for them longer.
        let known = |stats: &Stats| {
            stats.streams.iter().all(|stream| stream.frames > 0)
                && stats.connected_at.is_some_and(|at| at.elapsed() > Duration::from_secs(8))
        };
        viewer.receiver.wait(LIMIT, known).await.unwrap();
    }
    killed.receiver.vanish().await;
    cut_off.receiver.fall_silent().await;
    watching.receiver.take_longest_gap();
    server.wait_for_sessions(1, VANISH_LIMIT).await;
    assert!(watching.receiver.take_longest_gap() < MAX_GAP);
    let references = server.client.references(DEVICE).await.unwrap();
    assert_eq!(references.into_iter().collect::<Vec<_>>(), [("color".to_owned(), 1)]);
    assert_eq!(server.client.sessions().await.unwrap()[0].session, watching.session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_nobody_answers_expires() {
    let server = Server::start("[sessions]\nanswer_timeout_s = 1\n", &[]);
    server.client.offer(DEVICE, &["color".to_owned()]).await.unwrap();
    assert_eq!(server.client.sessions().await.unwrap().len(), 1);
    server.wait_for_sessions(0, LIMIT).await;
    assert!(server.client.references(DEVICE).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_unanswered_offers_leave_a_viewer_alone() {
    const OFFERS: usize = 1000;
    const SESSION_LIMIT: usize = 30;
    let server = Server::start(&format!("[sessions]\nlimit = {SESSION_LIMIT}\n{SMALL}"), &[]);
    let viewer = server.join(&["color"], Options::default()).await;
    viewer.receives(10, LIMIT).await.unwrap();
    viewer.receiver.take_longest_gap();
    let body = json!({ "device_id": DEVICE, "stream_types": ["color"] });
    let mut refused = 0;
    for _ in 0..OFFERS {
        let reply = server.client.request(Method::POST, "/webrtc/offer", Some(&body)).await.unwrap();
        match reply.status {
            200 => {}
            429 => {
                assert!(reply.retry_after.is_some_and(|secs| secs.parse::<u64>().is_ok()));
                refused += 1;
            }
            _ => panic!("{reply}"),
        }
    }
    assert_eq!(refused, OFFERS - (SESSION_LIMIT - 1));
    let frames = viewer.frames()[0];
    viewer.receives(frames + 30, LIMIT).await.unwrap();
    let gap = viewer.receiver.take_longest_gap();
    assert!(gap < MAX_GAP, "{gap:?}");
    assert_eq!(viewer.receiver.stats().phase, Phase::Connected);
    let reply = server.client.request(Method::DELETE, "/webrtc/sessions", None).await.unwrap();
    assert_eq!(reply.body["closed_sessions"], SESSION_LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_everything_in_time() {
    let mut server = Server::start(SMALL, &[]);
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let viewer = server.join(&["color", "depth"], Options::default()).await;
        viewer.receives(5, LIMIT).await.unwrap();
        viewers.push(viewer);
    }
    // One that never answers must not hold the end up.
    server.client.offer(DEVICE, &["infrared-1".to_owned()]).await.unwrap();
    let (status, took) = server.program.terminate(Duration::from_secs(10)).expect("the server ends at SIGTERM");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packets_are_sent_again() {
    let server = Server::start(SMALL, &[]);
    let lossy = Options { drop_share: 0.05, drop_seed: 3, ..Options::default() };
    let viewer = server.join(&["color"], lossy).await;
    let enough = |stats: &Stats| stats.dropped >= 30 && stats.streams[0].frames > 150;
    let stats = viewer.receiver.wait(LIMIT, enough).await.expect("150 frames in spite of the loss");
    let stream = &stats.streams[0];
    assert!(stream.repaired > 0 && stream.nacks > 0, "{stats:?}");
    // Losing a packet and all its retransmissions is rare; without NACK every second frame or so would break.
    assert!(stream.broken * 20 <= stream.frames, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_comes_back_in_the_same_session() {
    let server = Server::start(&format!("[camera]\nstall_timeout_s = 1\n{SMALL}"), &[]);
    let viewer = server.join(&["color"], Options::default()).await;
    viewer.receives(10, LIMIT).await.unwrap();
    let fault = async |name: &str| {
        let path = format!("/sim/devices/{DEVICE}/fault");
        let reply = server.client.request(Method::POST, &path, Some(&json!({ "fault": name }))).await.unwrap();
        assert!(reply.is_ok(), "{reply}");
    };
    fault("stall").await;
    let end = Instant::now() + LIMIT;
    while viewer.receiver.take_longest_gap() < Duration::from_secs(2) {
        assert!(Instant::now() < end, "the stalled camera still delivers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.client.sessions().await.unwrap().len(), 1);
    fault("clear").await;
    let frames = viewer.frames()[0];
    viewer.receives(frames + 30, LIMIT).await.unwrap();
    assert_eq!(viewer.receiver.stats().phase, Phase::Connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_changes_its_size_under_a_viewer() {
    let server = Server::start(SMALL, &[]);
    let (sink, mut units) = tokio::sync::mpsc::channel(1024);
    let options = Options { codecs: vec![Codec::H264], access_units: Some(sink), ..Options::default() };
    let viewer = server.join(&["depth"], options).await;
    viewer.receives(10, LIMIT).await.unwrap();
    let set = async |option: &str, value: f64| {
        let path = format!("/devices/{DEVICE}/sensors/{DEVICE}-sensor-0/options/{option}");
        let reply = server.client.request(Method::PUT, &path, Some(&json!({ "value": value }))).await.unwrap();
        assert!(reply.is_ok(), "{reply}");
    };
    // Decimated; aligned to colour in its own size, colour does not run; both off again.
    let steps = [("decimation_filter", 1.0, (212, 120)), ("align_to", 1.0, (424, 240)), ("align_to", 0.0, (212, 120))];
    for (option, value, size) in steps {
        set(option, value).await;
        let shown = shows(&mut units, size);
        tokio::time::timeout(LIMIT, shown).await.unwrap_or_else(|_| panic!("{option} {value}: {size:?} in time"));
    }
    assert_eq!(viewer.receiver.stats().phase, Phase::Connected);
    assert_eq!(viewer.receiver.stats().streams[0].broken, 0);
    assert_eq!(server.client.sessions().await.unwrap()[0].session, viewer.session);
}

/// Waits until five pictures of this size decode, from a key frame on.
async fn shows(units: &mut tokio::sync::mpsc::Receiver<AccessUnit>, size: (i32, i32)) {
    let mut since_key = Vec::new();
    loop {
        let unit = units.recv().await.unwrap();
        if unit.keyframe {
            since_key.clear();
        }
        since_key.push(unit);
        let got = since_key.clone();
        if since_key.len() == 5 && since_key[0].keyframe {
            let (pictures, width, height) = tokio::task::spawn_blocking(move || decode(&got)).await.unwrap();
            if (pictures, width, height) == (5, size.0, size.1) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_changes_its_size_under_its_viewers() {
    let server = Server::start(SMALL, &[]);
    let (sink, mut units) = tokio::sync::mpsc::channel(1024);
    let options = Options { codecs: vec![Codec::H264], access_units: Some(sink), ..Options::default() };
    let viewer = server.join(&["depth"], options).await;
    let vp8 = Options { codecs: vec![Codec::VP8], ..Options::default() };
    let other = server.join(&["depth", "infrared-1", "color"], vp8).await;
    other.receives(10, LIMIT).await.unwrap();
    viewer.receives(10, LIMIT).await.unwrap();
    let start = async |width: u32, height: u32| {
        let path = format!("/devices/{DEVICE}/sensors/{DEVICE}-sensor-0/start");
        let resolution = json!({"width": width, "height": height});
        let config = json!({"stream_type": "depth", "format": "z16", "resolution": resolution, "framerate": 15});
        let reply = server.client.request(Method::POST, &path, Some(&json!({"configs": [config]}))).await.unwrap();
        assert!(reply.is_ok(), "{reply}");
    };
    for size in [(640_i32, 360_i32), (424, 240)] {
        viewer.receiver.take_longest_gap();
        other.receiver.take_longest_gap();
        start(size.0.unsigned_abs(), size.1.unsigned_abs()).await;
        let shown = tokio::time::timeout(LIMIT, shows(&mut units, size)).await;
        shown.unwrap_or_else(|_| panic!("{size:?} in time"));
        let frames = other.frames();
        other.receives(frames[1] + 10, LIMIT).await.unwrap();
        for (name, gap) in [("H264", viewer.receiver.take_longest_gap()), ("VP8", other.receiver.take_longest_gap())] {
            assert!(gap < MAX_GAP, "{name} stood still for {gap:?}");
        }
    }
    for viewer in [&viewer, &other] {
        let stats = viewer.receiver.stats();
        assert_eq!((stats.phase, stats.streams[0].broken), (Phase::Connected, 0), "{stats:?}");
    }
    assert_eq!(server.client.sessions().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cameras_stream_side_by_side() {
    let server = Server::start(SMALL, &["--sim-cameras", "2"]);
    let devices = server.client.devices().await.unwrap();
    assert_eq!(devices.len(), 2);
    assert_ne!(devices[0], devices[1]);
    let mut viewers = Vec::new();
    for device in &devices {
        let streams = ["color".to_owned(), "depth".to_owned()];
        viewers.push(Viewer::join(&server.client, device, &streams, Options::default()).await.unwrap());
    }
    for viewer in &viewers {
        viewer.receives(15, LIMIT).await.unwrap();
    }
    for device in &devices {
        assert_eq!(server.client.references(device).await.unwrap().values().sum::<u64>(), 2);
    }
    // The FastAPI wrapper's clients use another prefix for the very same.
    let wrapper = Client::new(&format!("{}/api/v1", server.url), None).unwrap();
    assert_eq!(wrapper.sessions().await.unwrap().len(), 2);
}
