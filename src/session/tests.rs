//! The actor with a fake media side and the simulated camera; tokio's clock is paused where time matters.

mod bench;
mod changes;
mod starts;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::bench::{Bench, NoMotion};
use super::{Machine, api::*};
use crate::{
    camera::{Attached, Backend, BackendEvents, Camera, FrameSink, SimFault, StreamConfig, manager, sim::SimBackend},
    config::Config,
    error::{Error, Kind},
    media::{
        MediaEvent,
        fake::{Call, FakeMedia},
    },
    model::{
        Codec, DeviceId, Extrinsics, IceCandidate, Intrinsics, OptionInfo, PixelFormat, Profile, SensorInfo,
        SessionEnd, SessionId, SessionState, StreamType,
    },
};

const VGA: Profile = Profile { width: 640, height: 480, framerate: 30 };

fn candidate(text: &str) -> IceCandidate {
    IceCandidate { candidate: text.into(), sdp_mid: None, sdp_mline_index: None }
}

const HOST: &str = "candidate:1 1 udp 1677729535 192.0.2.1 46154 typ host";

#[tokio::test]
async fn a_session_lives_from_offer_to_delete() {
    let bench = Bench::new(|_| {}).await;
    let offer = bench.offer(&[StreamType::Color, StreamType::Depth]).await.unwrap();
    assert!(offer.sdp.starts_with("v=0"));
    assert_eq!(offer.streams.iter().map(|stream| stream.profile).collect::<Vec<_>>(), [VGA, VGA]);
    let id = offer.session;
    assert_eq!(bench.handle.session(id.clone()).await.unwrap().state, SessionState::Offered);
    assert_eq!(bench.handle.local_candidates(id.clone()).await.unwrap().len(), 1);

    bench.handle.add_candidate(id.clone(), candidate(HOST)).await.unwrap();
    assert!(!bench.media.calls().iter().any(|call| matches!(call, Call::Candidate(..))), "kept until the answer");
    let refused = bench.handle.answer(id.clone(), "garbage".into()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    bench.handle.answer(id.clone(), "v=0".into()).await.unwrap();
    assert!(bench.media.calls().contains(&Call::Candidate(id.clone(), HOST.into())));
    assert_eq!(bench.handle.answer(id.clone(), "v=0".into()).await.unwrap_err().kind(), Kind::Invalid, "second answer");
    let bad = bench.handle.add_candidate(id.clone(), candidate("nonsense")).await.unwrap_err();
    assert_eq!(bad.kind(), Kind::Invalid);
    let calls = bench.media.calls().len();
    for unknown in [HOST.replace("host", "alien"), HOST.replace(" 1 udp", " 2 udp"), HOST.replace("udp", "quic")] {
        bench.handle.add_candidate(id.clone(), candidate(&unknown)).await.expect("ignored, not refused");
    }
    assert_eq!(bench.media.calls().len(), calls, "nothing comes of them");
    let largest = bench.media.specs()[0].largest.clone();
    let full_hd = Profile { width: 1920, height: 1080, framerate: 30 };
    // Depth, which runs at up to 90 pictures a second, may be aligned to colour.
    assert_eq!(largest, [full_hd, Profile { framerate: 90, ..full_hd }]);

    bench.media.emit(MediaEvent::Connected { session: id.clone(), remote_address: Some("192.0.2.9:5".into()) });
    let status = bench.handle.session(id.clone()).await.unwrap();
    assert_eq!((status.state, status.remote_address.as_deref()), (SessionState::Connected, Some("192.0.2.9:5")));
    assert!(bench.handle.close(id.clone()).await.unwrap());
    assert!(!bench.handle.close(id.clone()).await.unwrap());
    assert_eq!(bench.handle.answer(id.clone(), "v=0".into()).await.unwrap_err().kind(), Kind::NotFound);
    assert!(bench.media.open_sessions().is_empty());
}

#[tokio::test]
async fn references_follow_the_sessions_and_streams_stop_after_the_linger() {
    let bench = Bench::new(|config| config.camera.linger_s = 0.2).await;
    let a = bench.connect(&[StreamType::Color]).await;
    let b = bench.connect(&[StreamType::Depth]).await;
    let c = bench.connect(&[StreamType::Color, StreamType::Infrared(1)]).await;
    assert_eq!((bench.count(StreamType::Color).await, bench.count(StreamType::Depth).await), (2, 1));
    bench.handle.close(a).await.unwrap();
    assert_eq!(bench.count(StreamType::Color).await, 1);
    bench.handle.close(c).await.unwrap();
    let only_depth = |now: &Snapshot| {
        let mut video = now.running.values().flatten().filter(|config| config.stream.is_video());
        video.all(|config| config.stream == StreamType::Depth)
    };
    bench.until(only_depth).await;
    bench.handle.close(b).await.unwrap();
    bench.until(|now| now.running.is_empty()).await;
    let video = |call: &&Call| matches!(call, Call::Stopped(key) if key.stream.is_video());
    let stopped = bench.media.calls().iter().filter(video).count();
    assert_eq!(stopped, 3);
}

#[tokio::test]
async fn a_refused_offer_changes_nothing() {
    let bench = Bench::new(|config| config.sessions.limit = 2).await;
    let kept = bench.connect(&[StreamType::Color]).await;
    let before = bench.handle.references().await.unwrap();

    let mut unknown = bench.request(&[StreamType::Color]);
    unknown.device = DeviceId::new("nobody");
    assert_eq!(bench.handle.offer(unknown).await.unwrap_err().kind(), Kind::NotFound);
    let mut odd = bench.request(&[StreamType::Color, StreamType::Depth]);
    odd.profiles.insert(StreamType::Depth, Profile { width: 641, ..VGA });
    let error = bench.handle.offer(odd).await.unwrap_err();
    assert!(error.public().contains("nearest"), "{error}");
    bench.media.refuse_offers(Some(Error::unavailable("no ports left")));
    assert!(bench.offer(&[StreamType::Color]).await.is_err());
    bench.media.refuse_offers(None);
    assert_eq!(bench.handle.references().await.unwrap(), before);

    let other = bench.offer(&[StreamType::Color]).await.unwrap().session;
    let error = bench.offer(&[StreamType::Color]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Limit { .. }), "{error}");
    bench.handle.close(other).await.unwrap();
    assert_eq!(bench.handle.references().await.unwrap(), before);
    assert_eq!(bench.handle.sessions().await.unwrap().iter().map(|s| s.session.clone()).collect::<Vec<_>>(), [kept]);
}

#[tokio::test]
async fn a_camera_that_fails_to_start_gives_503_and_lets_go() {
    let bench = Bench::new(|_| {}).await;
    bench.handle.inject_fault(&bench.device, SimFault::FailStart).await.unwrap();
    let error = bench.offer(&[StreamType::Color, StreamType::Depth]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error}");
    assert!(bench.handle.references().await.unwrap().references.is_empty());
    assert!(bench.handle.sessions().await.unwrap().is_empty());
    bench.handle.inject_fault(&bench.device, SimFault::Clear).await.unwrap();
    bench.offer(&[StreamType::Color]).await.unwrap();
}

#[tokio::test]
async fn unplugging_keeps_sessions_and_replugging_resumes_their_streams() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect(&[StreamType::Color]).await;
    bench.handle.inject_fault(&bench.device, SimFault::Unplug).await.unwrap();
    bench.until(|now| now.running.is_empty() && now.devices.values().all(|usable| !usable)).await;
    assert_eq!(bench.handle.session(session).await.unwrap().state, SessionState::Connected);
    assert!(matches!(bench.offer(&[StreamType::Color]).await.unwrap_err().kind(), Kind::Unavailable { .. }));
    assert!(matches!(bench.handle.device(&bench.device).await.unwrap_err().kind(), Kind::Unavailable { .. }));
    bench.handle.inject_fault(&bench.device, SimFault::Replug).await.unwrap();
    bench.until(|now| !now.running.is_empty()).await;
    let color = |call: &&Call| matches!(call, Call::Running(key, _) if key.stream == StreamType::Color);
    assert_eq!(bench.media.calls().iter().filter(color).count(), 2);
}

#[tokio::test]
async fn explicit_start_and_stop_hold_one_reference_of_their_own() {
    let bench = Bench::new(|_| {}).await;
    let color = StreamConfig { stream: StreamType::Color, format: PixelFormat::Rgb8, profile: VGA };
    let start = |config| StartRequest { device: bench.device.clone(), sensor: None, configs: vec![(1, config)] };
    let status = bench.handle.start(start(color)).await.unwrap().status;
    assert_eq!((status.is_streaming, status.active_streams), (true, vec![StreamType::Color]));
    bench.handle.start(start(color)).await.unwrap();
    assert_eq!(bench.count(StreamType::Color).await, 1, "starting twice is one reference");
    let other = StreamConfig { profile: Profile { framerate: 15, ..VGA }, ..color };
    let error = bench.handle.start(start(other)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.public().contains("640x480 at 30 fps"), "{error}");
    let viewer = bench.connect(&[StreamType::Color]).await;
    assert_eq!(bench.count(StreamType::Color).await, 2);
    let stopped = bench.handle.stop(bench.device.clone()).await.unwrap();
    assert_eq!((stopped.status.is_streaming, stopped.status.stopping), (false, true));
    assert_eq!(stopped.held_by, BTreeMap::from([(StreamType::Color, 1)]), "the viewer keeps it");
    assert_eq!(bench.count(StreamType::Color).await, 1);
    bench.handle.close(viewer).await.unwrap();
    bench.handle.start(start(color)).await.unwrap();
    let stopped = bench.handle.stop(bench.device.clone()).await.unwrap();
    assert!(!stopped.status.is_streaming && !stopped.status.stopping, "an explicit stop does not linger");
    assert!(stopped.held_by.is_empty());
}

#[tokio::test]
async fn a_later_viewer_gets_what_runs_and_is_told_so() {
    let bench = Bench::new(|_| {}).await;
    bench.connect(&[StreamType::Depth]).await;
    let mut request = bench.request(&[StreamType::Depth, StreamType::Infrared(1)]);
    let hd = Profile { width: 1280, height: 720, framerate: 30 };
    request.profiles = BTreeMap::from([(StreamType::Depth, hd), (StreamType::Infrared(1), hd)]);
    let offer = bench.handle.offer(request).await.unwrap();
    for stream in offer.streams {
        assert_eq!(stream.profile, VGA);
        assert!(stream.note.unwrap().contains("640x480"));
    }
}

#[tokio::test]
async fn motion_runs_beside_video_and_is_nobodys_reference() {
    let bench = Bench::new(|config| config.camera.linger_s = 0.0).await;
    let session = bench.connect(&[StreamType::Color]).await;
    let moving = |now: &Snapshot| now.running.values().flatten().any(|config| config.stream == StreamType::Gyro);
    bench.until(moving).await;
    let references = bench.handle.references().await.unwrap().references;
    assert_eq!(references[&bench.device], BTreeMap::from([(StreamType::Color, 1)]));
    let status = bench.handle.status(bench.device.clone()).await.unwrap();
    assert_eq!(status.active_streams, [StreamType::Color]);
    bench.handle.close(session).await.unwrap();
    bench.until(|now| now.running.is_empty()).await;
}

#[tokio::test]
async fn a_motion_module_that_does_not_start_is_left_alone() {
    let bench = Bench::with_backend(Arc::new(NoMotion(SimBackend::new(1))), |_| {}).await;
    bench.connect(&[StreamType::Color]).await;
    let revision = bench.handle.snapshot().borrow().revision;
    // Each request is a turn of the actor's loop; a retry in every turn would show as applies without end.
    for _ in 0..50 {
        bench.handle.references().await.unwrap();
    }
    bench.handle.device(&bench.device).await.unwrap();
    assert!(bench.handle.sensors(&bench.device).await.is_ok(), "the device's queue is not flooded");
    let snapshot = bench.handle.snapshot().borrow().clone();
    assert!(snapshot.revision <= revision + 3, "{} -> {}", revision, snapshot.revision);
    assert!(snapshot.running[&bench.device].iter().all(|config| config.stream == StreamType::Color));
}

#[tokio::test]
async fn the_actor_ends_when_the_media_side_is_dead() {
    let bench = Bench::new(|_| {}).await;
    bench.media.emit(MediaEvent::Failed);
    let mut snapshot = bench.handle.snapshot();
    let ended = async { while snapshot.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the actor ends");
    assert!(matches!(bench.offer(&[StreamType::Color]).await.unwrap_err().kind(), Kind::Unavailable { .. }));
}

#[tokio::test]
async fn media_events_end_sessions() {
    let bench = Bench::new(|_| {}).await;
    for reason in [
        SessionEnd::PeerClosed,
        SessionEnd::PeerSilent(Duration::from_secs(5)),
        SessionEnd::ConnectFailed("ICE".into()),
        SessionEnd::PipelineError("x".into()),
    ] {
        let session = bench.connect(&[StreamType::Color]).await;
        bench.media.emit(MediaEvent::Ended { session: session.clone(), reason });
        bench.until(|now| now.session_states.is_empty()).await;
        assert!(bench.media.calls().contains(&Call::Close(session)));
        assert_eq!(bench.count(StreamType::Color).await, 0);
    }
    // Late events of a dead session do nothing.
    bench.media.emit(MediaEvent::Connected { session: SessionId::new("dead"), remote_address: None });
    bench.media.emit(MediaEvent::Answered { session: SessionId::new("dead"), result: Ok(vec![]) });
    assert!(bench.handle.sessions().await.unwrap().is_empty());
}

#[tokio::test]
async fn unanswered_and_silent_sessions_expire() {
    let bench = Bench::new(|config| config.camera.linger_s = 0.0).await;
    bench.connect(&[StreamType::Color]).await;
    let never_answered = bench.offer(&[StreamType::Color]).await.unwrap().session;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    // The paused clock runs to the next timer by itself, so this bound lies beyond every other.
    let day = Duration::from_secs(86_400);
    bench.until_within(day, |now| now.session_states.len() == 1).await;
    assert_eq!(bench.handle.session(never_answered).await.unwrap_err().kind(), Kind::NotFound);
    tokio::time::advance(Duration::from_secs(1800)).await;
    bench.until_within(day, |now| now.session_states.is_empty()).await;
}

#[tokio::test]
async fn a_requester_that_goes_away_leaves_no_session() {
    let bench = Bench::new(|_| {}).await;
    bench.media.hold_offers(true);
    let request = bench.request(&[StreamType::Color]);
    let handle = bench.handle.clone();
    let asking = tokio::spawn(async move { handle.offer(request).await });
    bench.until(|now| !now.session_states.is_empty()).await;
    while bench.media.open_sessions().is_empty() {
        tokio::task::yield_now().await;
    }
    asking.abort();
    let _ = asking.await;
    let session = bench.media.open_sessions()[0].clone();
    let offer = crate::media::LocalOffer { sdp: "v=0".into(), candidates: vec![] };
    bench.media.emit(MediaEvent::Offer { session, result: Ok(offer) });
    bench.until(|now| now.session_states.is_empty()).await;
}

#[tokio::test]
async fn shutdown_answers_everyone() {
    let bench = Bench::new(|_| {}).await;
    let session = bench.connect(&[StreamType::Color]).await;
    bench.media.hold_offers(true);
    let (handle, request) = (bench.handle.clone(), bench.request(&[StreamType::Color]));
    let parked = tokio::spawn(async move { handle.offer(request).await });
    bench.until(|now| now.session_states.len() == 2).await;
    bench.handle.shutdown().await;
    assert!(matches!(parked.await.unwrap().unwrap_err().kind(), Kind::Unavailable { .. }));
    assert!(bench.media.calls().contains(&Call::Close(session)));
    assert_eq!(bench.media.calls().last(), Some(&Call::Shutdown));
    assert!(matches!(bench.offer(&[StreamType::Color]).await.unwrap_err().kind(), Kind::Unavailable { .. }));
}

#[tokio::test]
async fn the_codecs_asked_for_reach_the_media_side() {
    let bench = Bench::new(|_| {}).await;
    let mut request = bench.request(&[StreamType::Color]);
    request.codecs = Some(vec![Codec::VP8]);
    bench.handle.offer(request).await.unwrap();
    let opened = bench.media.calls().into_iter().find_map(|call| match call {
        Call::Open(_, streams, codecs) => Some((streams, codecs)),
        _ => None,
    });
    assert_eq!(opened, Some((vec![StreamType::Color], vec![Codec::VP8])));
}

#[tokio::test]
async fn a_media_side_that_is_busy_is_told_before_anything_changes() {
    let bench = Bench::new(|_| {}).await;
    let offer = bench.offer(&[StreamType::Color]).await.unwrap();
    bench.media.be_busy(Some(Error::unavailable("It is too busy.")));
    let before = bench.media.calls().len();
    let unavailable = |error: Error| matches!(error.kind(), Kind::Unavailable { .. });
    assert!(unavailable(bench.offer(&[StreamType::Depth]).await.unwrap_err()));
    assert!(unavailable(bench.handle.answer(offer.session.clone(), "v=0".into()).await.unwrap_err()));
    assert!(unavailable(bench.handle.set_depth_range(bench.device.clone(), 0.5, 2.0).await.unwrap_err()));
    assert_eq!(bench.handle.depth_range(&bench.device), (0.3, 6.0), "what was refused is not told as done");
    let candidate = IceCandidate {
        candidate: "candidate:1 1 UDP 2122252543 127.0.0.1 50000 typ host".into(),
        sdp_mid: None,
        sdp_mline_index: Some(0),
    };
    assert!(unavailable(bench.handle.add_candidate(offer.session.clone(), candidate).await.unwrap_err()));
    assert!(!bench.handle.references().await.unwrap().references[&bench.device].contains_key(&StreamType::Depth));
    assert_eq!(bench.media.calls().len(), before, "nothing was asked of it");
    // The session is as it was.
    bench.media.be_busy(None);
    bench.handle.answer(offer.session, "v=0".into()).await.unwrap();
}

#[tokio::test]
async fn a_machine_without_room_refuses_offers_until_there_is_some() {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use crate::core::wishes::machine_room::{Free, Limits, Room};

    let left = Arc::new(AtomicU64::new(0));
    let read = left.clone();
    let room = Room { limits: Limits { fds: Some(256), threads: None }, session_fds: 9 };
    let machine = Machine::new(room, move || Free { fds: Some(read.load(Relaxed)), ..Free::default() });
    let bench = Bench::with_machine(Arc::new(SimBackend::new(1)), machine, |config| config.camera.motion = false).await;
    let error = bench.offer(&[StreamType::Color]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
    assert!(error.public().contains("file descriptors") && error.public().contains("LimitNOFILE"), "{error}");
    assert!(bench.handle.sessions().await.unwrap().is_empty());
    // Room for two and their stream: offers that are being made have yet to take theirs.
    left.store(64 + 64 + 8 + 2 * 9, Relaxed);
    bench.media.hold_offers(true);
    let one = tokio::spawn({
        let (handle, request) = (bench.handle.clone(), bench.request(&[StreamType::Color]));
        async move { handle.offer(request).await }
    });
    let two = tokio::spawn({
        let (handle, request) = (bench.handle.clone(), bench.request(&[StreamType::Color]));
        async move { handle.offer(request).await }
    });
    bench.until(|snapshot| snapshot.session_states.len() == 2).await;
    assert!(bench.offer(&[StreamType::Color]).await.is_err(), "the third finds no room");
    one.abort();
    two.abort();
}

#[tokio::test]
async fn a_flood_of_events_shuts_no_command_out() {
    let bench = Bench::new(|_| {}).await;
    let waiting = || bench.handle.metrics().events.waiting.get();
    for _ in 0..50_000 {
        bench.media.emit(MediaEvent::Activity { session: SessionId::new("nobody") });
    }
    for _ in 0..10 {
        bench.handle.references().await.unwrap();
    }
    assert!(waiting() > 10_000, "commands are not kept until every event is done: {}", waiting());
}

#[tokio::test]
async fn more_events_than_can_be_right_end_the_actor() {
    let bench = Bench::new(|_| {}).await;
    for _ in 0..=super::events::MAX_WAITING {
        bench.media.emit(MediaEvent::Activity { session: SessionId::new("nobody") });
    }
    assert!(bench.handle.metrics().events.lost.get() > 0);
    let mut snapshot = bench.handle.snapshot();
    let ended = async { while snapshot.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the actor ends");
}
