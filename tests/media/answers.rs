//! Answers, good and bad, and what the server does when it has nothing to offer.

use realsense_webrtc::{
    error::Kind,
    model::{Codec, IceCandidate, PixelFormat, Profile, SessionId, StreamType},
    probe::receiver::{Options, Receiver},
};

use crate::bench::{Bench, SMALL, SOON, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_garbage_answers_and_takes_the_good_one() {
    let mut bench = Bench::with_color();
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264, Codec::VP8]);
    let offer = bench.open(&spec).await.unwrap();
    let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let garbage = [
        String::new(),
        "not SDP at all".into(),
        "v=0\r\n".into(),
        offer.sdp.clone(),
        answer.replace("m=video", "m=audio"),
        answer.replace("a=fingerprint:sha-256", "a=fingerprint:sha-999"),
        answer.replace("a=ice-pwd:", "a=x-pwd:"),
        format!("{answer}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"),
        answer.replace("H264", "H265").replace("VP8", "VP9"),
        answer.chars().take(answer.len() / 3).collect(),
    ];
    for text in garbage {
        let refused = bench.answer(&spec.session, &text).await.expect_err(&text);
        assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
        assert!(refused.public().len() > 30, "a sentence that helps: {refused}");
    }
    let viewer = receiver.spawn();
    bench.answer(&spec.session, &answer).await.expect("the good answer");
    let again = bench.answer(&spec.session, &answer).await.expect_err("a second answer");
    assert!(again.public().contains("already"), "{again}");
    for candidate in
        ["garbage", "", "candidate:1 1 udp 1 999.1.1.1 5 typ host", "candidate:2 1 UDP 1 127.0.0.1 9 typ host"]
    {
        let candidate =
            IceCandidate { candidate: candidate.into(), sdp_mid: Some(String::new()), sdp_mline_index: Some(7) };
        bench.media.add_candidate(spec.session.clone(), candidate);
    }
    bench.connected(&spec.session).await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures after all");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_session_is_not_found_and_a_closed_one_stays_closed() {
    let mut bench = Bench::with_color();
    let nobody = SessionId::new("nobody");
    assert_eq!(bench.answer(&nobody, "v=0").await.expect_err("unknown").kind(), Kind::NotFound);
    bench.media.close_session(nobody.clone());
    assert_eq!(bench.stats(&nobody).await, None);
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    let (_, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    bench.media.close_session(spec.session.clone());
    assert_eq!(bench.answer(&spec.session, &answer).await.expect_err("closed").kind(), Kind::NotFound);
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_m_line_leaves_the_other_stream() {
    let mut bench = Bench::with_color();
    bench.camera(StreamType::Infrared(1), PixelFormat::Y8, SMALL);
    let both = [(StreamType::Color, SMALL), (StreamType::Infrared(1), SMALL)];
    for (refused, left) in [(1, 0), (0, 1)] {
        let spec = bench.spec(&both, &[Codec::H264]);
        let offer = bench.open(&spec).await.unwrap();
        let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
        let (at, _) = answer.match_indices("m=video ").nth(refused).expect("two m-lines");
        let without = format!("{}{}", &answer[..at], answer[at..].replacen("a=recvonly", "a=inactive", 1));
        assert_ne!(without, answer, "the receiver's m-lines are recvonly");
        let viewer = receiver.spawn();
        let chosen = bench.answer(&spec.session, &without).await.unwrap();
        assert_eq!((chosen[left], chosen[refused]), (Some(Codec::H264), None));
        let stats = viewer.wait(SOON, |stats| stats.streams[left].frames >= 10).await.expect("the other stream flows");
        assert_eq!(stats.streams[refused].frames, 0, "m-line {refused} was refused");
        viewer.close().await;
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_address_takes_the_place_of_the_own_ones() {
    let mut config = config();
    config.webrtc.announce_address = "203.0.113.9".into();
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    let in_sdp: Vec<_> = offer.sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(in_sdp.len(), offer.candidates.len());
    let ipv4 = |line: &&str| !line.split(' ').nth(4).is_some_and(|address| address.contains(':'));
    let ipv4: Vec<_> = in_sdp.into_iter().filter(ipv4).collect();
    assert!(!ipv4.is_empty() && ipv4.iter().all(|line| line.contains(" 203.0.113.9 ")), "{ipv4:?}");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_port_range_is_said_in_words() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = config();
    config.webrtc.min_port = free;
    config.webrtc.max_port = free;
    config.webrtc.gather_timeout_ms = 300;
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let mut open = Vec::new();
    let mut refused = None;
    for _ in 0..3 {
        let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
        match bench.open(&spec).await {
            Ok(_) => open.push(spec.session),
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.expect("one port does not serve three sessions");
    assert!(matches!(refused.kind(), Kind::Unavailable { .. }), "{refused:?}");
    assert!(refused.public().contains("port"), "{refused}");
    open.into_iter().for_each(|session| bench.media.close_session(session));
    // The sessions close on threads of their own; then the port serves again.
    let end = tokio::time::Instant::now() + SOON;
    while let Err(error) = bench.open(&bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264])).await {
        assert!(tokio::time::Instant::now() < end, "a port that was given back serves again: {error}");
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_stun_server_delays_an_offer_no_longer_than_the_bound() {
    let mut config = config();
    config.webrtc.stun_server = "stun:127.0.0.1:9".into();
    config.webrtc.gather_timeout_ms = 300;
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let (_, viewer) = bench.watch_color().await;
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let asked = std::time::Instant::now();
    bench.open(&spec).await.expect("an offer with host candidates");
    assert!(asked.elapsed() < std::time::Duration::from_secs(2), "{:?}", asked.elapsed());
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 5).await.expect("pictures");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_waits_for_no_server_has_the_candidates_of_this_machine() {
    let mut config = config();
    config.webrtc.gather_timeout_ms = 0;
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    for _ in 0..5 {
        let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
        let offer = bench.open(&spec).await.expect("an offer");
        assert!(offer.sdp.contains("a=candidate:"), "{}", offer.sdp);
        bench.media.close_session(spec.session);
    }
    bench.shutdown().await;
}

/// The parts of an SDP: the session's and each m-line's.
fn parts(sdp: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            parts.push(String::new());
        }
        let last = parts.len() - 1;
        parts[last] += &format!("{line}\r\n");
    }
    parts
}

/// A part without the lines that begin so.
fn without(part: &str, begins: &[&str]) -> String {
    part.lines()
        .filter(|line| !begins.iter().any(|begin| line.starts_with(begin)))
        .map(|line| format!("{line}\r\n"))
        .collect()
}

const TRANSPORT: [&str; 8] = [
    "a=ice-ufrag:",
    "a=ice-pwd:",
    "a=ice-options:",
    "a=fingerprint:",
    "a=setup:",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=candidate:",
];

/// Opens a session of colour and infrared, answers it as `change` makes of the receiver's answer (session, first and second
/// m-line), and gives the pictures of both once the second has ten.
async fn second_stream_flows(change: impl Fn(&str, &str, &str) -> String, taken: &[StreamType]) -> [u64; 2] {
    let mut bench = Bench::with_color();
    bench.camera(StreamType::Infrared(1), PixelFormat::Y8, SMALL);
    let both = [(StreamType::Color, SMALL), (StreamType::Infrared(1), SMALL)];
    let spec = bench.spec(&both, &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let parts = parts(&answer);
    let [session, first, second] = parts.as_slice() else { panic!("two m-lines: {answer}") };
    let changed = change(session, first, second);
    assert_ne!(changed, answer);
    let viewer = receiver.spawn();
    let chosen = bench.answer(&spec.session, &changed).await.unwrap();
    let carried = spec.streams.iter().zip(&chosen).filter(|(_, codec)| codec.is_some()).map(|((stream, _), _)| *stream);
    assert_eq!(carried.collect::<Vec<_>>(), taken, "{changed}");
    bench.connected(&spec.session).await;
    let stats = viewer.wait(SOON, |stats| stats.streams[1].frames >= 10).await.expect("the second stream flows");
    let frames = [stats.streams[0].frames, stats.streams[1].frames];
    bench.shutdown().await;
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_stream_that_is_paused_leaves_the_others_their_transport() {
    let paused = |session: &str, first: &str, second: &str| {
        let first = first.replace("a=recvonly", "a=inactive");
        format!("{session}{first}{}", without(second, &TRANSPORT))
    };
    let [color, infrared] = second_stream_flows(paused, &[StreamType::Infrared(1)]).await;
    assert!(color == 0 && infrared >= 10, "{color} {infrared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_stream_that_is_refused_leaves_the_others_their_transport() {
    let refused = |session: &str, first: &str, second: &str| {
        let session = session.replace("BUNDLE video0 video1", "BUNDLE video1");
        let first = without(&first.replace("m=video 9 ", "m=video 0 "), &TRANSPORT);
        assert!(session.contains("BUNDLE video1\r\n") && first.starts_with("m=video 0 "), "{session}{first}");
        format!("{session}{first}{second}")
    };
    let [color, infrared] = second_stream_flows(refused, &[StreamType::Infrared(1)]).await;
    assert!(color == 0 && infrared >= 10, "{color} {infrared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transport_may_stand_on_the_first_m_line_of_the_group_only() {
    let bundled = |session: &str, first: &str, second: &str| format!("{session}{first}{}", without(second, &TRANSPORT));
    let [color, _] = second_stream_flows(bundled, &[StreamType::Color, StreamType::Infrared(1)]).await;
    assert!(color > 0);
    let turned = |session: &str, first: &str, second: &str| {
        let session = session.replace("BUNDLE video0 video1", "BUNDLE video1 video0");
        format!("{session}{}{second}", without(first, &TRANSPORT))
    };
    let [color, _] = second_stream_flows(turned, &[StreamType::Color, StreamType::Infrared(1)]).await;
    assert!(color > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_m_line_of_an_offer_has_a_port_and_tells_what_its_h264_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/color.h264.gst")).unwrap();
    let high = text.replace("profile=constrained-baseline", "profile=high");
    std::fs::write(folder.path().join("color.h264.gst"), high).unwrap();
    let mut config = config();
    config.pipelines.dir = folder.path().into();
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    bench.camera(StreamType::Infrared(1), PixelFormat::Y8, SMALL);
    let both = [(StreamType::Color, SMALL), (StreamType::Infrared(1), SMALL)];
    let mut spec = bench.spec(&both, &[Codec::H264]);
    spec.largest = vec![SMALL, Profile { width: 1920, height: 1080, framerate: 30 }];
    let offer = bench.open(&spec).await.unwrap();
    let sections = parts(&offer.sdp);
    assert!(sections[1..].iter().all(|part| part.starts_with("m=video 9 ")), "{}", offer.sdp);
    assert!(!offer.sdp.contains("bundle-only"), "{}", offer.sdp);
    // High, as the file asks for; constrained baseline, and as large as the camera can make it.
    for (section, id) in sections[1..].iter().zip(["64001f", "42e028"]) {
        assert!(section.contains(&format!("profile-level-id={id}\r\n")), "{id} in {section}");
    }
    let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let viewer = receiver.spawn();
    bench.answer(&spec.session, &answer).await.unwrap();
    let flows =
        |stats: &realsense_webrtc::probe::receiver::Stats| stats.streams.iter().all(|stream| stream.frames >= 5);
    viewer.wait(SOON, flows).await.expect("both streams");
    bench.shutdown().await;
}
