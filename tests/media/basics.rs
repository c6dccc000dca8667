//! Frames flow: offer, answer, pictures, codecs, key frames, formats, loss.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_video::VideoFrameExt;
use realsense_webrtc::{
    camera::Frame,
    model::{Codec, PixelFormat, Profile, StreamType},
    probe::receiver::{AccessUnit, Options},
};
use tokio::sync::mpsc;

use crate::bench::{Bench, SMALL, SOON, config, frame};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_gets_pictures_that_begin_with_a_key_frame() {
    let mut bench = Bench::with_color();
    let spec = bench.spec(&[(StreamType::Color, SMALL)], &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    assert!(!offer.candidates.is_empty() && offer.sdp.contains(&offer.candidates[0].candidate));
    assert_eq!(offer.candidates[0].sdp_mid.as_deref(), Some("video0"));
    let (receiver, answer, _) =
        realsense_webrtc::probe::receiver::Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let viewer = receiver.spawn();
    assert_eq!(bench.answer(&spec.session, &answer).await.unwrap(), [Some(Codec::H264)]);
    let remote = bench.connected(&spec.session).await;
    assert_eq!(remote, Some(viewer.local_addr().to_string()));
    let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= 30).await.expect("thirty frames");
    let stream = &stats.streams[0];
    assert_eq!(stream.codec, Some(Codec::H264));
    assert!(stream.started_with_keyframe, "{stream:?}");
    assert_eq!((stream.broken, stream.lost), (0, 0), "{stream:?}");
    let asked = Instant::now();
    let ours = bench.stats(&spec.session).await.expect("the session is known");
    assert!(asked.elapsed() < Duration::from_secs(2));
    // A frame is counted once it is handed over; the receiver may have the last one a moment earlier.
    assert!(ours.streaming && ours.streams[0].frames_sent >= 29, "{ours:?}");
    assert!(ours.streams[0].packets_sent >= stream.packets && ours.streams[0].bytes_sent > 0);
    assert_eq!(ours.streams[0].codec, Some(Codec::H264));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_joiner_sees_a_picture_at_once() {
    let mut bench = Bench::with_color();
    let (_, first) = bench.watch_color().await;
    first.wait(SOON, |stats| stats.streams[0].frames >= 60).await.expect("the first viewer watches");
    let (_, second) = bench.watch_color().await;
    let stats = second.wait(SOON, |stats| stats.streams[0].frames >= 1).await.expect("a picture");
    let stream = &stats.streams[0];
    assert!(stream.started_with_keyframe);
    let waited = stream.first_keyframe_at.unwrap() - stats.connected_at.unwrap();
    assert!(waited < Duration::from_secs(1), "the first picture came after {waited:?}");
    let stats = first.stats();
    assert_eq!((stats.streams[0].broken, stats.streams[0].lost), (0, 0));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_codecs_of_one_stream_run_side_by_side() {
    let mut bench = Bench::with_color();
    let only = |codec| Options { codecs: vec![codec], ..Options::default() };
    let color = [(StreamType::Color, SMALL)];
    let (_, h264) = bench.join(&color, &Codec::ALL, only(Codec::H264)).await;
    let (session, vp8) = bench.join(&color, &Codec::ALL, only(Codec::VP8)).await;
    for (viewer, codec) in [(&h264, Codec::H264), (&vp8, Codec::VP8)] {
        let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= 30).await.expect("pictures");
        assert_eq!(stats.streams[0].codec, Some(codec));
        assert!(stats.streams[0].started_with_keyframe);
    }
    assert_eq!(bench.stats(&session).await.unwrap().streams[0].codec, Some(Codec::VP8));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picture_loss_indications_reach_the_encoder() {
    let mut bench = Bench::with_color();
    let (session, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures");
    // Unasked, the next key frame would come after ten seconds.
    let quickly = Duration::from_secs(3);
    for wanted in 2..=4 {
        viewer.request_keyframe(0).await;
        viewer.wait(quickly, |stats| stats.streams[0].keyframes >= wanted).await.expect("a key frame after a PLI");
    }
    for _ in 0..20 {
        viewer.request_keyframe(0).await;
    }
    let frames = viewer.stats().streams[0].frames;
    let stats = viewer.wait(SOON, |stats| stats.streams[0].frames >= frames + 15).await.expect("pictures");
    assert!(stats.streams[0].keyframes <= 8, "a burst is served by few key frames: {:?}", stats.streams[0]);
    let stats = bench.stats(&session).await.unwrap();
    assert!(stats.streams[0].pli_count >= 2);
    assert!(stats.streams[0].key_frames_refused >= 1, "some of the burst is put off: {stats:?}");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_repaired_by_retransmission_in_either_codec() {
    let mut bench = Bench::with_color();
    for codec in Codec::ALL {
        // VP8 stands second in the offer, where webrtcbin itself offers no retransmission.
        let options = Options { codecs: vec![codec], ..Options::default() };
        let options = Options { drop_share: 0.03, drop_seed: 7, ..options };
        let (session, viewer) = bench.join(&[(StreamType::Color, SMALL)], &Codec::ALL, options).await;
        let enough = |stats: &realsense_webrtc::probe::receiver::Stats| stats.streams[0].repaired >= 5;
        let stats = viewer.wait(SOON, enough).await.unwrap_or_else(|stats| panic!("{codec}: {stats:?}"));
        assert!(stats.dropped >= 5, "{stats:?}");
        assert!(bench.stats(&session).await.unwrap().streams[0].nack_count > 0);
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_streams_share_one_session_in_request_order() {
    let mut bench = Bench::start(config());
    let slow = Profile { framerate: 15, ..SMALL };
    let left = StreamType::Infrared(1);
    let right = StreamType::Infrared(2);
    bench.camera(StreamType::Color, PixelFormat::Yuyv, slow);
    bench.camera(StreamType::Depth, PixelFormat::Z16, slow);
    bench.camera(left, PixelFormat::Y8, slow);
    bench.camera(right, PixelFormat::Y8, slow);
    let order = [right, StreamType::Depth, StreamType::Color, left];
    let spec = bench.spec(&order.map(|stream| (stream, slow)), &[Codec::H264]);
    let offer = bench.open(&spec).await.unwrap();
    let named: Vec<_> = offer.sdp.lines().filter_map(|line| line.strip_prefix("a=msid:")).collect();
    let expected = order.map(|stream| format!("{} {stream}", spec.session));
    assert_eq!(named, expected);
    let (receiver, answer, _) =
        realsense_webrtc::probe::receiver::Receiver::from_offer(&offer.sdp, Options::default()).unwrap();
    let viewer = receiver.spawn();
    assert_eq!(bench.answer(&spec.session, &answer).await.unwrap(), order.map(|_| Some(Codec::H264)));
    let flowing = |stats: &realsense_webrtc::probe::receiver::Stats| stats.streams.iter().all(|s| s.frames >= 10);
    viewer.wait(SOON, flowing).await.unwrap_or_else(|stats| panic!("{stats:?}"));
    bench.shutdown().await;
}

/// Rows of pixels that are no multiple of four bytes: a wrong stride would shear the edge between dark and bright.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tightly_packed_odd_rows_arrive_straight() {
    let odd = Profile { width: 318, height: 182, framerate: 15 };
    for (stream, format) in [
        (StreamType::Infrared(1), PixelFormat::Y8),
        (StreamType::Color, PixelFormat::Rgb8),
        (StreamType::Color, PixelFormat::Bgr8),
        (StreamType::Color, PixelFormat::I420),
        (StreamType::Color, PixelFormat::Yuyv),
    ] {
        let mut bench = Bench::start(config());
        bench.media.stream_running(bench.key(stream), odd);
        let _camera = bench.frames(odd.framerate, move |number| half_bright(stream, format, odd, number));
        let (units, mut received) = mpsc::channel(64);
        let options = Options { access_units: Some(units), ..Options::default() };
        let (_, _viewer) = bench.join(&[(stream, odd)], &[Codec::H264], options).await;
        let mut collected = Vec::new();
        while collected.len() < 8 {
            let unit = tokio::time::timeout(SOON, received.recv()).await.expect("pictures in time").unwrap();
            collected.push(unit);
        }
        let (luma, stride, size) = tokio::task::spawn_blocking(move || decode(&collected)).await.unwrap();
        assert_eq!(size, (318, 182), "{format}");
        for row in [10, 90, 170] {
            let (dark, bright) = (luma[row * stride + 100], luma[row * stride + 220]);
            assert!(dark < 90 && bright > 160, "{format} row {row}: {dark} {bright}");
        }
        bench.shutdown().await;
    }
}

pub(crate) fn half_bright(stream: StreamType, format: PixelFormat, profile: Profile, number: u64) -> Frame {
    let (width, height) = (profile.width as usize, profile.height as usize);
    let level = |at: usize| if at % width < width / 2 { 40 } else { 210 };
    let mut data: Vec<u8> = match format {
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => (0..width * height).flat_map(|at| [level(at); 3]).collect(),
        PixelFormat::Yuyv => (0..width * height).flat_map(|at| [level(at), 128]).collect(),
        _ => (0..width * height).map(level).collect(),
    };
    data.resize(format.frame_size(profile.width, profile.height), 128);
    Frame { data: std::sync::Arc::new(data), ..frame(stream, format, profile, number) }
}

/// Decodes access units and gives the last picture's luma with its stride, and its size.
pub(crate) fn decode(units: &[AccessUnit]) -> (Vec<u8>, usize, (u32, u32)) {
    let text = "appsrc name=in format=time ! h264parse ! openh264dec ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    source.set_caps(Some(
        &gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au").build(),
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    for (number, unit) in units.iter().enumerate() {
        let mut buffer = gst::Buffer::from_mut_slice(unit.data.clone());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number as u64 * 66));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut last = None;
    while let Ok(sample) = sink.pull_sample() {
        last = Some(sample);
    }
    let sample = last.expect("a decoded picture");
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let picture = gst_video::VideoFrame::from_buffer_readable(sample.buffer_owned().unwrap(), &info).unwrap();
    let size = (info.width(), info.height());
    let decoded = (picture.plane_data(0).unwrap().to_vec(), picture.plane_stride()[0] as usize, size);
    drop(picture);
    pipeline.set_state(gst::State::Null).unwrap();
    decoded
}
