//! The probe's receiver against a WebRTC sender that lives in the same test: what it counts is what was sent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/sender.rs"]
mod sender;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use realsense_webrtc::{
    model::Codec,
    probe::receiver::{AccessUnit, Handle, Options, Phase, Receiver},
};
use sender::{PACKETS, Sender};

/// Longest a step may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
fn connect(streams: usize, options: Options) -> (Sender, Handle) {
    let sender = Sender::start(streams);
    let (receiver, answer, candidates) = Receiver::from_offer(&sender.offer, options).unwrap();
    assert!(candidates[0].starts_with("candidate:"), "{candidates:?}");
    let handle = receiver.spawn();
    sender.answer(answer);
    (sender, handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_the_frames_of_every_stream() {
    let (frames, mut units) = tokio::sync::mpsc::channel::<AccessUnit>(1000);
    let (_sender, handle) = connect(2, Options { access_units: Some(frames), ..Options::default() });
    let stats = handle
        .wait(LIMIT, |stats| stats.streams.iter().all(|stream| stream.frames >= 100))
        .await
        .expect("100 frames of both streams");
    assert_eq!(stats.phase, Phase::Connected);
    for stream in &stats.streams {
        assert_eq!(stream.codec, Some(Codec::H264));
        assert!(stream.started_with_keyframe);
        assert_eq!((stream.keyframes, stream.lost, stream.broken, stream.missed), (1, 0, 0, 0));
        assert!(stream.packets >= stream.frames * PACKETS);
        assert!(stream.first_packet_at <= stream.first_frame_at && stats.connected_at <= stream.first_packet_at);
    }
    let first = units.recv().await.expect("an access unit");
    assert!(first.keyframe);
    assert_eq!(first.data, [0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 0, 2, 3]);
    assert_ne!(stats.streams[0].mid, stats.streams[1].mid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_repaired_by_nack() {
    let (_sender, handle) = connect(1, Options { drop_share: 0.1, drop_seed: 7, ..Options::default() });
    let done = |stats: &realsense_webrtc::probe::receiver::Stats| {
        stats.dropped >= 40 && stats.streams[0].repaired >= 40 && stats.streams[0].nacks > 0
    };
    let stats = handle.wait(LIMIT, done).await.expect("40 packets dropped and repaired");
    let stream = &stats.streams[0];
    // A packet whose retransmissions are dropped too, time after time, may stay lost: one in thousands.
    assert!(stream.lost * 20 <= stats.dropped, "{stats:?}");
    assert!(stream.frames > 50 && stream.broken <= stream.frames / 50, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_frame_comes_on_request() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    handle.request_keyframe(0).await;
    handle.wait(LIMIT, |stats| stats.streams[0].keyframes == 2).await.expect("the key frame asked for");
    assert_eq!(sender.counts.plis.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_says_goodbye_and_vanish_does_not() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    assert_eq!(handle.close().await.phase, Phase::Closed);
    let end = Instant::now() + LIMIT;
    while sender.counts.closed.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < end, "the sender never heard the good-bye");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    let stats = handle.vanish().await;
    let gone = Instant::now();
    assert!(stats.streams[0].frames >= 10 && !stats.closed_by_server);
    let sent = sender.counts.frames.load(Ordering::SeqCst);
    while sender.counts.frames.load(Ordering::SeqCst) < sent + 100 {
        assert!(gone.elapsed() < LIMIT, "the sender stopped");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sender.counts.closed.load(Ordering::SeqCst), 0);
    assert!(sender.counts.last_received.lock().unwrap().is_some_and(|last| last <= gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sender_is_a_growing_gap() {
    let (sender, handle) = connect(1, Options::default());
    handle.wait(LIMIT, |stats| stats.streams[0].frames >= 10).await.expect("frames");
    handle.take_longest_gap();
    drop(sender);
    let end = Instant::now() + LIMIT;
    loop {
        let gap = handle.take_longest_gap();
        if gap > Duration::from_millis(300) {
            break;
        }
        assert!(Instant::now() < end, "no gap seen: {gap:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
