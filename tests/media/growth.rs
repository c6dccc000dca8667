//! More m-lines for a session that is watched already, by a new offer.

use std::collections::BTreeMap;

use realsense_webrtc::{
    error::Error,
    media::{LocalOffer, MediaEvent, NewLine, SessionSpec},
    model::{Codec, PixelFormat, SessionId, StreamType},
    probe::receiver::{Options, Receiver},
};

use crate::bench::{Bench, SMALL, SOON, config};

impl Bench {
    async fn grow(&mut self, session: &SessionId, streams: &[StreamType]) -> Result<LocalOffer, Error> {
        let line = |stream: &StreamType| NewLine { stream: *stream, profile: SMALL, largest: SMALL };
        self.media.grow_session(session.clone(), streams.iter().map(line).collect());
        let offer = self.event(SOON, |event| match event {
            MediaEvent::Offer { session: id, result } if id == session => Some(result.clone()),
            _ => None,
        });
        offer.await.expect("an offer in time")
    }
}

/// The SSRC of each stream's retransmissions.
fn repairs(sdp: &str) -> BTreeMap<u32, u32> {
    let groups = sdp.lines().filter_map(|line| line.strip_prefix("a=ssrc-group:FID "));
    groups
        .map(|pair| pair.split_once(' ').unwrap())
        .map(|(of, repair)| (of.parse().unwrap(), repair.parse().unwrap()))
        .collect()
}

/// The codecs of an m-line, in their order, and what stands in its `a=msid`.
fn lines(sdp: &str) -> Vec<(String, Option<String>)> {
    let parts = sdp.split("\r\nm=").skip(1);
    let msid = |part: &str| {
        part.lines().find_map(|line| line.strip_prefix("a=msid:")).map(|id| id.split_once(' ').unwrap().1.to_owned())
    };
    parts.map(|part| (part.split(' ').next().unwrap().to_owned(), msid(part))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_gets_more_lines_goes_on_and_all_of_them_are_repaired() {
    goes_on_repaired(Codec::H264).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_for_a_peer_that_took_another_codec_than_the_first() {
    goes_on_repaired(Codec::VP8).await;
}

async fn goes_on_repaired(codec: Codec) {
    let mut bench = Bench::start(config());
    for (stream, format) in [
        (StreamType::Color, PixelFormat::I420),
        (StreamType::Depth, PixelFormat::Z16),
        (StreamType::Infrared(1), PixelFormat::Y8),
    ] {
        bench.camera(stream, format, SMALL);
    }
    // A spare line that has carried nothing, and a line of data behind it.
    let color = [(StreamType::Color, SMALL)];
    let spec = SessionSpec { spare: 1, ..bench.spec(&color, &[Codec::H264, Codec::VP8]) };
    let first = bench.open(&spec).await.expect("an offer");
    // Every twentieth packet is lost, those that are sent again included.
    let options = Options { drop_share: 0.05, codecs: vec![codec], ..Options::default() };
    let (receiver, answer, _) = Receiver::from_offer(&first.sdp, options).expect("an answer");
    let viewer = receiver.spawn();
    bench.answer(&spec.session, &answer).await.expect("it is taken");
    bench.connected(&spec.session).await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures");

    let second = bench.grow(&spec.session, &[StreamType::Infrared(1)]).await.expect("an offer");
    let line = |name: &str| ("video".to_owned(), Some(name.to_owned()));
    assert_eq!(lines(&second.sdp), [line("color"), line("spare-1"), line("infrared-1")]);
    let (before, now) = (repairs(&first.sdp), repairs(&second.sdp));
    assert_eq!((before.len(), now.len()), (2, 3), "{}", second.sdp);
    assert!(before.iter().all(|(ssrc, repair)| now.get(ssrc) == Some(repair)), "{before:?} {now:?}");

    // An answer that takes back what was settled is refused, and a good one is still taken.
    let answer = viewer.accept(&second.sdp).await.expect("it lives").expect("an answer");
    let stolen = answer.lines().map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(_) => format!("a=fingerprint:sha-256 {}\r\n", ["AB"; 32].join(":")),
        None => format!("{line}\r\n"),
    });
    let refused = bench.answer(&spec.session, &stolen.collect::<String>()).await.expect_err("another peer");
    assert!(refused.public().contains("fingerprint"), "{refused}");
    let dark = answer.replacen("a=recvonly", "a=inactive", 1);
    let refused = bench.answer(&spec.session, &dark).await.expect_err("a line less");
    assert!(refused.public().contains("m-line 0"), "{refused}");
    let codecs = bench.answer(&spec.session, &answer).await.expect("it is taken");
    assert_eq!(codecs, [Some(codec); 3]);
    let carried = [StreamType::Color, StreamType::Depth, StreamType::Infrared(1)];
    bench.media.switch_session(spec.session.clone(), carried.map(|stream| Some((stream, SMALL))).to_vec());

    let before: Vec<_> = viewer.stats().streams.iter().map(|stream| stream.frames).collect();
    let after = viewer.wait(SOON, |stats| {
        stats.streams.len() == 3
            && stats
                .streams
                .iter()
                .zip(&before)
                .all(|(stream, before)| stream.frames >= before + 60 && stream.repaired >= 3)
    });
    let after = after.await.unwrap_or_else(|stats| panic!("each line is repaired: {stats:?}"));
    for stream in &after.streams {
        // What is lost twice is rare.
        assert!(stream.broken * 10 < stream.frames, "{stream:?}");
    }
    assert!(bench.stats(&spec.session).await.is_some_and(|stats| stats.streams.len() == 3));
    viewer.close().await;
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_data_stands_between_the_first_lines_and_later_ones() {
    let mut bench = Bench::with_color();
    bench.camera(StreamType::Depth, PixelFormat::Z16, SMALL);
    let spec = SessionSpec { data_channel: true, ..bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]) };
    let first = bench.open(&spec).await.expect("an offer");
    let (receiver, answer, _) = Receiver::from_offer(&first.sdp, Options::default()).expect("an answer");
    let viewer = receiver.spawn();
    bench.answer(&spec.session, &answer).await.expect("it is taken");
    bench.connected(&spec.session).await;
    for (streams, expected) in [(&[StreamType::Depth][..], 3), (&[StreamType::Infrared(1), StreamType::Infrared(2)], 5)]
    {
        let offer = bench.grow(&spec.session, streams).await.expect("an offer");
        let kinds: Vec<_> = lines(&offer.sdp).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!((kinds.len(), kinds[1].as_str()), (expected, "application"));
        let answer = viewer.accept(&offer.sdp).await.expect("it lives").expect("an answer");
        let codecs = bench.answer(&spec.session, &answer).await.expect("it is taken");
        assert_eq!(codecs.len(), expected - 1, "one for each line of streams");
    }
    let carried = [Some((StreamType::Color, SMALL)), Some((StreamType::Depth, SMALL)), None, None];
    bench.media.switch_session(spec.session.clone(), carried.to_vec());
    let pictures = viewer.wait(SOON, |stats| stats.streams[0].frames >= 20 && stats.streams[2].frames >= 20);
    pictures.await.unwrap_or_else(|stats| panic!("both have pictures: {stats:?}"));
    viewer.close().await;
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_the_peer_refused_stays_dark_and_the_others_go_on() {
    let mut bench = Bench::with_color();
    bench.camera(StreamType::Depth, PixelFormat::Z16, SMALL);
    let spec = bench.spec(&[(StreamType::Color, SMALL), (StreamType::Depth, SMALL)], &[Codec::H264]);
    let first = bench.open(&spec).await.expect("an offer");
    let (receiver, answer, _) = Receiver::from_offer(&first.sdp, Options::default()).expect("an answer");
    let viewer = receiver.spawn();
    let (head, last) = answer.rsplit_once("a=recvonly").expect("two lines");
    let codecs = bench.answer(&spec.session, &format!("{head}a=inactive{last}")).await.expect("it is taken");
    assert_eq!(codecs, [Some(Codec::H264), None]);
    bench.connected(&spec.session).await;

    let second = bench.grow(&spec.session, &[StreamType::Depth]).await.expect("an offer");
    let parts: Vec<_> = second.sdp.split("\r\nm=").skip(1).collect();
    assert!(parts[1].contains("a=inactive") && !parts[1].contains("a=sendonly"), "{}", second.sdp);
    let answer = viewer.accept(&second.sdp).await.expect("it lives").expect("an answer");
    let wanted = answer.replace("a=inactive", "a=recvonly");
    let refused = bench.answer(&spec.session, &wanted).await.expect_err("it is not offered");
    assert!(refused.public().contains("m-line 1"), "{refused}");
    let codecs = bench.answer(&spec.session, &answer).await.expect("it is taken");
    assert_eq!(codecs, [Some(Codec::H264), None, Some(Codec::H264)]);
    let carried = [Some((StreamType::Color, SMALL)), None, Some((StreamType::Depth, SMALL))];
    bench.media.switch_session(spec.session.clone(), carried.to_vec());
    let pictures = viewer.wait(SOON, |stats| stats.streams[0].frames >= 20 && stats.streams[2].frames >= 20);
    pictures.await.unwrap_or_else(|stats| panic!("both have pictures: {stats:?}"));
    let streams = bench.stats(&spec.session).await.expect("statistics").streams;
    assert_eq!(streams.iter().filter(|stream| stream.stream_type == "depth").count(), 1, "{streams:?}");
    viewer.close().await;
    bench.shutdown().await;
}
