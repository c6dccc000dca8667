//! How sessions end, and that one never hurts another.

use std::time::{Duration, Instant};

use realsense_webrtc::{
    media::MediaEvent,
    model::{Codec, SessionEnd, SessionId, StreamType},
    probe::receiver::{Options, Receiver},
};

use crate::bench::{Bench, SMALL, SOON, config, frame};

fn ended(wanted: &SessionId) -> impl FnMut(&MediaEvent) -> Option<SessionEnd> + '_ {
    move |event| match event {
        MediaEvent::Ended { session, reason } if session == wanted => Some(reason.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_bye_ends_the_session_at_once() {
    let mut bench = Bench::with_color();
    let (session, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    viewer.close().await;
    let said = Instant::now();
    assert_eq!(bench.event(SOON, ended(&session)).await, Some(SessionEnd::PeerClosed));
    assert!(said.elapsed() < Duration::from_secs(4), "faster than silence would have told: {:?}", said.elapsed());
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vanished_and_silent_peers_are_noticed_and_hurt_nobody() {
    let mut bench = Bench::with_color();
    // Until the server knows how often they speak; before that it waits for them longer.
    let known = |stats: &realsense_webrtc::probe::receiver::Stats| {
        stats.streams[0].frames >= 5 && stats.connected_at.is_some_and(|at| at.elapsed() > Duration::from_secs(8))
    };
    let (_, witness) = bench.watch_color().await;
    // The others come late: what was before they were connected is no silence of theirs.
    witness.wait(SOON, known).await.expect("pictures");
    let (killed, first) = bench.watch_color().await;
    let (silent, second) = bench.watch_color().await;
    for viewer in [&first, &second] {
        viewer.wait(SOON, known).await.expect("pictures");
    }
    witness.take_longest_gap();
    let gone = Instant::now();
    first.vanish().await;
    second.fall_silent().await;
    for session in [&killed, &silent] {
        let disconnected = bench.event(SOON, |event| match event {
            MediaEvent::Disconnected { session: id } if id == session => Some(()),
            _ => None,
        });
        assert_eq!(disconnected.await, Some(()), "said to be silent first");
        let reason = bench.event(SOON, ended(session)).await;
        assert!(matches!(reason, Some(SessionEnd::PeerSilent(_))), "{reason:?}");
        assert!(gone.elapsed() < Duration::from_secs(15), "{:?}", gone.elapsed());
    }
    let stats = witness.stats();
    assert_eq!(stats.streams[0].broken, 0);
    assert!(witness.take_longest_gap() < Duration::from_secs(2));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activity_is_reported_at_most_once_a_second() {
    let mut bench = Bench::with_color();
    let (session, _viewer) = bench.watch_color().await;
    let mut active = async |limit| {
        let seen = bench.event(limit, |event| match event {
            MediaEvent::Activity { session: id } if *id == session => Some(Instant::now()),
            _ => None,
        });
        seen.await.expect("activity")
    };
    let first = active(SOON).await;
    let second = active(SOON).await;
    let third = active(SOON).await;
    assert!(third - first >= Duration::from_millis(1500), "{:?} {:?}", second - first, third - second);
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_never_answer_or_never_connect_hurt_nobody() {
    let mut bench = Bench::with_color();
    let (_, witness) = bench.watch_color().await;
    witness.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures");
    let mut idle = Vec::new();
    for number in 0..8 {
        let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
        let offer = bench.open(&spec).await.unwrap();
        if number % 2 == 0 {
            // An answer whose receiver never runs: nothing ever connects.
            let (_, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
            bench.answer(&spec.session, &answer).await.unwrap();
        }
        idle.push(spec.session);
    }
    let before = witness.stats().streams[0].frames;
    let stats = witness.wait(SOON, |stats| stats.streams[0].frames >= before + 30).await.expect("goes on");
    assert_eq!(stats.streams[0].broken, 0);
    idle.into_iter().for_each(|session| bench.media.close_session(session));
    let before = witness.stats().streams[0].frames;
    witness.wait(SOON, |stats| stats.streams[0].frames >= before + 30).await.expect("goes on after they left");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_wrong_size_are_dropped_and_the_rest_flows() {
    let mut bench = Bench::start(config());
    bench.media.stream_running(bench.key(StreamType::Color), SMALL);
    let format = realsense_webrtc::model::PixelFormat::I420;
    let _camera = bench.frames(60, move |number| {
        let mut made = frame(StreamType::Color, format, SMALL, number);
        match number % 4 {
            1 => made.data = std::sync::Arc::new(vec![0u8; 17]),
            2 => (made.width, made.height) = (u32::MAX, 3),
            3 => made.data = std::sync::Arc::new(Vec::<u8>::new()),
            _ => {}
        }
        made
    });
    let (_, viewer) = bench.watch_color().await;
    let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= 20).await.expect("the good frames");
    assert_eq!(stats.streams[0].broken, 0);
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_with_live_sessions_is_quick() {
    let mut bench = Bench::with_color();
    let (_, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    bench.open(&spec).await.unwrap();
    let asked = Instant::now();
    bench.shutdown().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    viewer.wait(SOON, |stats| stats.closed_by_server).await.expect("the viewer is told");
}
