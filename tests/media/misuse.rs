//! Peers that ask for too much, name too much, or are not who they say they are: what they do costs little, and nobody else.

use std::time::Duration;

use realsense_webrtc::{
    media::MediaEvent,
    model::{Codec, SessionEnd, SessionId, StreamType},
    probe::{
        receiver::{Handle, Options, Stats},
        rtcp::Rtcp,
    },
};

use crate::bench::{Bench, SMALL, SOON, config};

fn ended(wanted: &SessionId) -> impl FnMut(&MediaEvent) -> Option<SessionEnd> + '_ {
    move |event| match event {
        MediaEvent::Ended { session, reason } if session == wanted => Some(reason.clone()),
        _ => None,
    }
}

fn frames(count: u64) -> impl Fn(&Stats) -> bool {
    move |stats| stats.streams[0].frames >= count
}

/// A viewer that can send any RTCP, once it has a picture.
async fn misuser(bench: &mut Bench) -> (SessionId, Handle) {
    let options = Options { rtcp: true, ..Options::default() };
    let (session, viewer) = bench.join(&[(StreamType::Color, SMALL)], &[Codec::H264], options).await;
    viewer.wait(SOON, frames(5)).await.expect("pictures");
    (session, viewer)
}

/// Sends a packet every few milliseconds until the receiver ends or the time is up.
async fn keep_sending(viewer: &Handle, every: Duration, at_most: Duration, packet: impl Fn(u32) -> Rtcp) {
    let mut ticks = tokio::time::interval(every);
    let begun = tokio::time::Instant::now();
    for turn in 0.. {
        let at = ticks.tick().await;
        if at - begun >= at_most || !viewer.send_rtcp(packet(turn)).await {
            return;
        }
    }
}

fn packets(viewer: &Handle) -> u64 {
    viewer.stats().streams.iter().map(|stream| stream.packets + stream.repaired).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_retransmission_requests_is_bounded_and_ends() {
    let mut bench = Bench::with_color();
    let (_, witness) = bench.watch_color().await;
    let (session, viewer) = misuser(&mut bench).await;
    witness.wait(SOON, frames(5)).await.expect("pictures");
    let before = packets(&viewer);
    let storm = keep_sending(&viewer, Duration::from_millis(25), Duration::from_secs(20), |_| Rtcp::Nacks(250));
    tokio::select! {
        () = storm => panic!("the storm went on to its end"),
        reason = bench.event(SOON, ended(&session)) => {
            assert!(matches!(reason, Some(SessionEnd::PeerMisbehaved(_))), "{reason:?}");
        }
    }
    // A burst of 250, a hundred a second for three seconds, and the stream itself.
    let came = packets(&viewer) - before;
    assert!(came < 2500, "{came} packets came");
    let goes_on = witness.stats().streams[0].frames + 30;
    let stats = witness.wait(SOON, frames(goes_on)).await.expect("the witness goes on");
    assert_eq!((stats.streams[0].broken, stats.streams[0].lost), (0, 0));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_too_often_is_refused_and_counted() {
    let mut bench = Bench::with_color();
    let (session, viewer) = misuser(&mut bench).await;
    // 1360 a second: too much, and no storm.
    keep_sending(&viewer, Duration::from_millis(100), Duration::from_secs(3), |_| Rtcp::Nacks(8)).await;
    let stats = bench.stats(&session).await.expect("the session goes on");
    assert!(stats.retransmissions_refused > 1000, "{stats:?}");
    // A burst of 250, and what may be sent in the time and some more.
    assert!(stats.packets_retransmitted < 250 + 800, "{stats:?}");
    let goes_on = viewer.stats().streams[0].frames + 30;
    viewer.wait(SOON, frames(goes_on)).await.expect("its pictures go on");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_loses_a_third_gets_what_it_asks_for() {
    let mut bench = Bench::with_color();
    let options = Options { drop_share: 0.3, drop_seed: 11, ..Options::default() };
    let (session, viewer) = bench.join(&[(StreamType::Color, SMALL)], &[Codec::H264], options).await;
    let stats = viewer.wait(SOON * 2, |stats| stats.streams[0].repaired >= 100).await.expect("repaired packets");
    assert!(stats.streams[0].frames > 0, "{stats:?}");
    let stats = bench.stats(&session).await.expect("the session goes on");
    assert!(stats.retransmissions_refused * 5 <= stats.packets_retransmitted, "{stats:?}");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_sources_end_their_session_only() {
    let mut bench = Bench::with_color();
    let (_, witness) = bench.watch_color().await;
    let (session, viewer) = misuser(&mut bench).await;
    let storm = keep_sending(&viewer, Duration::from_millis(5), Duration::from_secs(20), |turn| {
        Rtcp::SenderReport(1000 + turn)
    });
    tokio::select! {
        () = storm => panic!("they were all taken"),
        reason = bench.event(SOON, ended(&session)) => {
            assert!(matches!(reason, Some(SessionEnd::PeerMisbehaved(_))), "{reason:?}");
        }
    }
    let goes_on = witness.stats().streams[0].frames + 30;
    witness.wait(SOON, frames(goes_on)).await.expect("the witness goes on");
    bench.shutdown().await;
}

/// Whoever forges packets has not the session's keys: that they are many must end nobody's session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_sources_cost_nobody_anything() {
    let mut bench = Bench::with_color();
    let (session, viewer) = misuser(&mut bench).await;
    keep_sending(&viewer, Duration::from_millis(2), Duration::from_secs(2), |turn| Rtcp::Forged(1000 + turn)).await;
    // What the viewer itself says from a source that nobody has heard of yet still counts.
    let asked = bench.stats(&session).await.expect("the session goes on").streams[0].pli_count;
    keep_sending(&viewer, Duration::from_millis(100), Duration::from_secs(1), |_| Rtcp::PictureLoss).await;
    let asked = bench.stats(&session).await.expect("the session goes on").streams[0].pli_count - asked;
    assert!(asked >= 5, "{asked} requests were heard");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_another_certificate_gets_no_picture() {
    let mut bench = Bench::start(config());
    bench.camera(StreamType::Color, realsense_webrtc::model::PixelFormat::I420, SMALL);
    for codec in [Codec::H264, Codec::VP8] {
        let options = Options { wrong_fingerprint: true, codecs: vec![codec], ..Options::default() };
        let spec = bench.spec(&[(StreamType::Color, SMALL)], &[codec]);
        let offer = bench.open(&spec).await.unwrap();
        let (receiver, answer, _) =
            realsense_webrtc::probe::receiver::Receiver::from_offer(&offer.sdp, options).unwrap();
        let viewer = receiver.spawn();
        bench.answer(&spec.session, &answer).await.unwrap();
        let reason = bench.event(SOON, ended(&spec.session)).await;
        let Some(SessionEnd::ConnectFailed(why)) = reason else { panic!("{reason:?}") };
        assert!(why.contains("certificate"), "{why}");
        assert_eq!(packets(&viewer), 0);
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_certificate_is_one_that_everybody_takes() {
    let mut bench = Bench::with_color();
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let first = bench.open(&spec).await.unwrap();
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let second = bench.open(&spec).await.unwrap();
    let named = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=fingerprint:sha-256 ")).map(str::to_owned);
    // One for the process; `dtls.rs` tests that it is on P-256.
    assert_eq!(named(&first.sdp), named(&second.sdp));
    assert!(named(&first.sdp).is_some(), "{}", first.sdp);
    bench.shutdown().await;
}
