//! What these tests share: the program with the SDK's software device, small pictures, and words to ask it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use gst::prelude::*;
use http::Method;
use realsense_webrtc::{
    model::Codec,
    probe::{
        client::Reply,
        receiver::{AccessUnit, Options},
        viewer::Viewer,
    },
};
use serde_json::{Value, json};

use crate::{
    sdk,
    server::{LIMIT, Server},
};

/// The serial number of the SDK's software device.
pub(crate) const SOFTWARE: &str = "954212070924";
/// Longest time without a frame that a busy test machine is forgiven. The budget of 200 ms is the benchmark's business.
pub(crate) const MAX_GAP: Duration = Duration::from_secs(1);

/// A configuration that names the library: small pictures, recordings into `folder`, a stall told after a second. Ends
/// within `[realsense]`. Cameras that are plugged in are none of these tests' business.
pub(crate) fn config(folder: &Path) -> String {
    let size = "width = 424\nheight = 240\nframerate = 30\nbitrate_kbps = 500\n";
    format!(
        "[camera]\nstall_timeout_s = 1\nlinger_s = 0.5\n\
         [recording]\ndir = {:?}\nmin_free_mb = 1\n\
         [streams.color]\n{size}[streams.depth]\n{size}[streams.infrared]\n{size}\
         [realsense]\nenabled = false\nlibrary = {:?}\n",
        folder.display().to_string(),
        sdk::library().display().to_string(),
    )
}

/// A server with the software device.
pub(crate) fn software_device(folder: &Path) -> Server {
    Server::start(&config(folder), &["--software-device"])
}

pub(crate) async fn join(server: &Server, device: &str, streams: &[&str]) -> Viewer {
    join_with(server, device, streams, Options::default()).await
}

pub(crate) async fn join_with(server: &Server, device: &str, streams: &[&str], options: Options) -> Viewer {
    let streams: Vec<_> = streams.iter().map(|name| (*name).to_owned()).collect();
    Viewer::join(&server.client, device, &streams, options).await.expect("a session")
}

/// A request whose answer may be a refusal.
pub(crate) async fn ask(server: &Server, method: Method, path: &str, body: Option<&Value>) -> Reply {
    server.client.request(method, path, body).await.expect("an answer")
}

pub(crate) async fn get(server: &Server, path: &str) -> Value {
    let reply = ask(server, Method::GET, path, None).await;
    assert!(reply.is_ok(), "GET {path}: {reply}");
    reply.body
}

pub(crate) async fn post(server: &Server, path: &str, body: Value) -> Value {
    let reply = ask(server, Method::POST, path, Some(&body)).await;
    assert!(reply.is_ok(), "POST {path}: {reply}");
    reply.body
}

pub(crate) async fn fault(server: &Server, name: &str) {
    post(server, &format!("/sim/devices/{SOFTWARE}/fault"), json!({ "fault": name })).await;
}

/// Asks again and again until `holds`, within a bound; gives what was answered last.
pub(crate) async fn until(server: &Server, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + LIMIT;
    loop {
        let now = get(server, path).await;
        if holds(&now) {
            return now;
        }
        assert!(Instant::now() < end, "not in time: {what}; GET {path} says {now}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Waits for this many frames more of every stream.
pub(crate) async fn receives_more(viewer: &Viewer, frames: u64) {
    let most = viewer.frames().into_iter().max().unwrap_or(0);
    viewer.receives(most + frames, LIMIT).await.expect("more frames");
}

/// Waits until no frame has come for this long.
pub(crate) async fn freezes(viewer: &Viewer, silence: Duration) {
    let end = Instant::now() + LIMIT;
    let still = |now| viewer.receiver.stats().streams.iter().all(|stream| stream.gap(now) > silence);
    while !still(Instant::now()) {
        assert!(Instant::now() < end, "frames keep coming: {:?}", viewer.frames());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Whether a session is connected, as the server sees it, and whether media flows.
pub(crate) async fn session(server: &Server, viewer: &Viewer) -> (bool, bool) {
    let session = server.client.session(&viewer.session).await.expect("an answer").expect("the session is there");
    (session.connected, session.streaming)
}

/// The mean luma, 0 to 255, of the last picture of H.264 access units that begin with a key frame.
pub(crate) fn luma(units: &[AccessUnit]) -> f64 {
    gst::init().unwrap();
    assert!(units[0].keyframe && units.iter().all(|unit| unit.codec == Codec::H264));
    let text = "appsrc name=in format=time caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! \
        openh264dec ! videoconvert ! video/x-raw,format=GRAY8 ! appsink name=out sync=false";
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
    let mut mean = None;
    while let Ok(sample) = output.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        mean = Some(map.iter().map(|byte| f64::from(*byte)).sum::<f64>() / map.len() as f64);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    mean.expect("a picture")
}
