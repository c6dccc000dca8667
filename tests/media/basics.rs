//! Frames flow: offer, answer, pictures, codecs, key frames.

use std::time::Duration;

use realsense_webrtc::{
    model::{Codec, PixelFormat, StreamType},
    probe::receiver::Options,
};

use crate::bench::{Bench, SMALL, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_gets_pictures_that_begin_with_a_key_frame() {
    let mut bench = Bench::with_color();
    let (session, viewer) = bench.watch_color().await;
    let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= 30).await.expect("thirty frames");
    let stream = &stats.streams[0];
    assert_eq!(stream.codec, Some(Codec::H264));
    assert!(stream.started_with_keyframe, "{stream:?}");
    assert_eq!((stream.broken, stream.missed), (0, 0), "{stream:?}");
    let ours = bench.stats(&session).await.expect("the session is known");
    assert!(ours.streaming && ours.streams[0].frames_sent >= 30, "{ours:?}");
    println!("{ours:?}");
    bench.shutdown().await;
}
