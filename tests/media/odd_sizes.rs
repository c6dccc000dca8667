//! Pictures whose sides are odd, as a recording's or another camera's may be: no encoder of H.264 takes them as they are. And
//! sizes that an encoder refuses: whoever watches is told.

use realsense_webrtc::{
    camera::Frame,
    media::MediaEvent,
    model::{Codec, PixelFormat, Profile, StreamType},
    probe::receiver::Options,
};
use tokio::sync::mpsc;

use crate::{
    basics::{decode, half_bright},
    bench::{Bench, SOON, config, frame},
    size_change::Decoder,
};

const ODD: Profile = Profile { width: 321, height: 241, framerate: 15 };

/// Far on the left and near on the right, which the colours show as dark and bright.
fn half_near(number: u64) -> Frame {
    let distance = |at: u32| if at % ODD.width < ODD.width / 2 { 5900u16 } else { 3000 };
    let data: Vec<u8> = (0..ODD.width * ODD.height).flat_map(|at| distance(at).to_le_bytes()).collect();
    Frame { data: std::sync::Arc::new(data), ..frame(StreamType::Depth, PixelFormat::Z16, ODD, number) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_sides_lose_one_and_nothing_moves() {
    for (stream, format) in [
        (StreamType::Depth, PixelFormat::Z16),
        (StreamType::Infrared(1), PixelFormat::Y8),
        (StreamType::Color, PixelFormat::Rgb8),
        (StreamType::Color, PixelFormat::Bgr8),
        (StreamType::Color, PixelFormat::I420),
        (StreamType::Color, PixelFormat::Yuyv),
    ] {
        let mut bench = Bench::start(config());
        bench.media.stream_running(bench.key(stream), ODD);
        let _camera = bench.frames(ODD.framerate, move |number| match format {
            PixelFormat::Z16 => half_near(number),
            _ => half_bright(stream, format, ODD, number),
        });
        let (units, mut received) = mpsc::channel(64);
        let options = Options { access_units: Some(units), ..Options::default() };
        let (_, _viewer) = bench.join(&[(stream, ODD)], &[Codec::H264], options).await;
        let mut collected = Vec::new();
        while collected.len() < 8 {
            let unit = tokio::time::timeout(SOON, received.recv()).await;
            collected.push(unit.unwrap_or_else(|_| panic!("{format}: pictures in time")).unwrap());
        }
        let (luma, stride, size) = tokio::task::spawn_blocking(move || decode(&collected)).await.unwrap();
        assert_eq!(size, (320, 240), "{format}");
        for row in [0, 10, 120, 239] {
            let at = |column: usize| i32::from(luma[row * stride + column]);
            // A wrong row length would shear the edge, which lies at column 160.
            assert!(at(220) - at(100) > 40, "{format} row {row}: {} {}", at(100), at(220));
            assert!((at(150) - at(100)).abs() < 20 && (at(170) - at(220)).abs() < 20, "{format} row {row}: the edge");
        }
        bench.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_and_the_least_picture_play() {
    for (codec, width, height) in [
        (Codec::VP8, 321, 241),
        (Codec::VP9, 321, 241),
        (Codec::H264, 17, 19),
        (Codec::VP8, 17, 19),
        (Codec::VP9, 3, 5),
    ] {
        let profile = Profile { width, height, ..ODD };
        let mut bench = Bench::start(config());
        bench.camera(StreamType::Color, PixelFormat::Rgb8, profile);
        let (units, mut received) = mpsc::channel(64);
        let options = Options { codecs: vec![codec], access_units: Some(units), ..Options::default() };
        let (_, _viewer) = bench.join(&[(StreamType::Color, profile)], &[codec], options).await;
        let unit = tokio::time::timeout(SOON, received.recv()).await;
        let unit = unit.unwrap_or_else(|_| panic!("{codec} {profile}: pictures in time")).unwrap();
        let shown = tokio::task::spawn_blocking(move || Decoder::new(codec).decode(&unit)).await.unwrap();
        assert_eq!(shown, Ok((width & !1, height & !1)), "{codec}");
        bench.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_refuses_the_size_says_which_it_takes() {
    let mut config = config();
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(config.pipelines.dir.join("color.h264.gst")).unwrap();
    let (start, end) = (text.find("! x264enc").unwrap(), text.find("# Constrained baseline").unwrap());
    let encoder = text[start + 2..end].replace(" name=encoder", "");
    let limited = format!(
        "{}! bin.( name=encoder capsfilter caps=\"video/x-raw,width=[32,320],height=[32,240]\" ! {encoder} )\n{}",
        &text[..start],
        &text[end..]
    );
    std::fs::write(folder.path().join("color.h264.gst"), limited).unwrap();
    config.pipelines.dir = folder.path().into();
    for (profile, limits) in [
        (Profile { width: 640, height: 480, ..ODD }, "from 32x32 to 320x240"),
        (Profile { width: 16, height: 16, ..ODD }, "from 32x32 to 320x240"),
    ] {
        let mut bench = Bench::start(config.clone());
        bench.camera(StreamType::Color, PixelFormat::I420, profile);
        let (_, _viewer) = bench.join(&[(StreamType::Color, profile)], &[Codec::H264], Options::default()).await;
        let failed = bench.event(SOON, |event| match event {
            MediaEvent::StreamError { codec, message, .. } => Some((*codec, message.clone())),
            _ => None,
        });
        let (codec, message) = failed.await.expect("it fails");
        let size = format!("{}x{}", profile.width, profile.height);
        assert!(codec == Codec::H264 && message.contains(limits) && message.contains(&size), "{message}");
        bench.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_fails_on_pictures_says_what_they_are() {
    let mut config = config();
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(config.pipelines.dir.join("color.h264.gst")).unwrap();
    let failing = text.replace("! identity ", "! identity error-after=3 ! identity ");
    std::fs::write(folder.path().join("color.h264.gst"), failing).unwrap();
    config.pipelines.dir = folder.path().into();
    let mut bench = Bench::start(config);
    let profile = Profile { width: 320, height: 240, ..ODD };
    bench.camera(StreamType::Color, PixelFormat::Rgb8, profile);
    let (_, _viewer) = bench.join(&[(StreamType::Color, profile)], &[Codec::H264], Options::default()).await;
    let failed = bench.event(SOON, |event| match event {
        MediaEvent::StreamError { message, .. } => Some(message.clone()),
        _ => None,
    });
    let message = failed.await.expect("it fails");
    assert!(message.contains("(pictures of 320x240, RGB)"), "{message}");
    bench.shutdown().await;
}
