//! Answers, good and bad, and what the server does when it has nothing to offer.

use realsense_webrtc::{
    error::Kind,
    model::{Codec, IceCandidate, PixelFormat, SessionId, StreamType},
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
    let spec = bench.spec(&both, &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let at = answer.rfind("m=video ").expect("two m-lines");
    let refused = format!("{}{}", &answer[..at], answer[at..].replacen("a=recvonly", "a=inactive", 1));
    assert_ne!(refused, answer, "the receiver's m-lines are recvonly");
    let viewer = receiver.spawn();
    assert_eq!(bench.answer(&spec.session, &refused).await.unwrap(), [(StreamType::Color, Codec::H264)]);
    let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("the other stream flows");
    assert_eq!(stats.streams[1].frames, 0);
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
    let mut works = false;
    for _ in 0..50 {
        let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
        works = bench.open(&spec).await.is_ok();
        if works {
            break;
        }
    }
    assert!(works, "a port that was given back serves again");
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
