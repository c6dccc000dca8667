//! Recordings that this server did not write: with another compression, with names that a browser or a person gave them,
//! without a rate. `tests/data/depth.bag` is ten depth frames of 64x48, written by librealsense 2.56.5.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use realsense_webrtc::{
    camera::{
        Backend, Frame, StreamConfig,
        realsense::{RealsenseBackend, SdkRecorderFactory, Settings},
        recorder::{RecordedDevice, RecordedSensor, RecordedStream, RecorderFactory},
        sim::SimBackend,
    },
    error::Kind as ErrorKind,
    model::{Intrinsics, PixelFormat, Profile, StreamType, TimestampDomain},
};

use crate::{bench::Bench, sdk::sdk};

fn bag() -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/depth.bag");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The same with another word for how its only chunk is compressed. librealsense jumps before it looks at a byte of it.
fn compressed_with(word: &[u8; 3]) -> Vec<u8> {
    let mut bytes = bag();
    let told = b"compression=lz4";
    let at = bytes.windows(told.len()).position(|window| window == told).expect("a chunk");
    bytes[at + told.len() - 3..at + told.len()].copy_from_slice(word);
    bytes
}

fn backend(recordings: Vec<PathBuf>) -> Arc<dyn Backend> {
    let settings = Settings { recordings, ..Settings::default() };
    Arc::new(RealsenseBackend::start(sdk(), settings).expect("the SDK starts"))
}

#[test]
fn a_bag_that_librealsense_would_crash_on_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("small.bag");
    std::fs::write(&file, compressed_with(b"bz2")).expect("written");
    // By the configuration, which lists it with the reason, and by a request.
    let backend = backend(vec![file.clone()]);
    let [listed] = &backend.attached()[..] else { panic!("one is listed") };
    let error = backend.open_recording(&file).expect_err("refused");
    let said = format!(
        "{} is compressed with bz2, which librealsense cannot read; decompress it (`rosbag decompress`).",
        file.display()
    );
    assert_eq!((error.kind(), error.public()), (ErrorKind::Invalid, said.as_str()));
    assert_eq!(listed.info.problem.as_deref(), Some(said.as_str()));
    let refused = backend.open(&listed.info.device_id, Arc::new(|_| {})).err().expect("refused");
    assert_eq!(refused.public(), said);
    // Another ending does not hide what it is.
    let renamed = folder.path().join("small.db3");
    std::fs::copy(&file, &renamed).expect("a copy");
    assert_eq!(backend.open_recording(&renamed).expect_err("refused").kind(), ErrorKind::Invalid);
}

#[test]
fn a_recording_of_any_name_is_played() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = backend(Vec::new());
    for name in ["walk (1).bag", "l\u{e4}ufer 2.bag"] {
        let file = folder.path().join(name);
        std::fs::write(&file, bag()).expect("written");
        let id = backend.open_recording(&file).expect("it opens");
        let mut camera = backend.open(&id, Arc::new(|_| {})).expect("the device opens");
        assert_eq!(camera.playback(None).expect("it is a recording").file, name);
        drop(camera);
        backend.close_recording(&id).expect("it closes");
    }
}

/// A wall at a metre, a thirtieth of a second after the one before.
fn wall(number: u64, Profile { width, height, .. }: Profile) -> Frame {
    Frame {
        stream: StreamType::Depth,
        format: PixelFormat::Z16,
        width,
        height,
        data: Arc::new(vec![3_u8; (width * height * 2) as usize]),
        number,
        timestamp_ms: 1000.0 + number as f64 * 100.0 / 3.0,
        timestamp_domain: TimestampDomain::HardwareClock,
        metadata: Vec::new(),
        captured_at: Instant::now(),
        depth_units: 0.001,
        intrinsics: None,
    }
}

#[test]
fn a_rate_that_a_recording_does_not_tell_is_not_zero() {
    let untold = Profile { width: 64, height: 48, framerate: 0 };
    let intrinsics =
        Intrinsics { width: 64, height: 48, fx: 50.0, fy: 50.0, ppx: 32.0, ppy: 24.0, ..Intrinsics::default() };
    let device = RecordedDevice {
        info: SimBackend::new(1).devices().remove(0),
        sensors: vec![RecordedSensor {
            name: "Stereo Module".into(),
            depth_units: Some(0.001),
            options: Vec::new(),
            streams: vec![RecordedStream {
                config: StreamConfig { stream: StreamType::Depth, format: PixelFormat::Z16, profile: untold },
                intrinsics: Some(intrinsics),
                to_first: None,
            }],
        }],
    };
    let factory = SdkRecorderFactory::new(sdk());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("untold.{}", factory.extension()));
    let mut recorder = factory.create(&file, &device).expect("it records");
    for number in 0..20 {
        recorder.write(&wall(number, untold)).expect("it is written");
    }
    recorder.finish().expect("it is complete");

    let mut played = Bench::of(backend(vec![file]));
    let offered: Vec<_> = played.sensors().into_iter().flat_map(|sensor| sensor.profiles).collect();
    let told = Profile { framerate: 30, ..untold };
    assert_eq!(offered.iter().map(|offered| offered.profile).collect::<Vec<_>>(), [told], "{offered:?}");
    let config = StreamConfig { stream: StreamType::Depth, format: PixelFormat::Z16, profile: told };
    played.camera().start(0, &[config]).expect("it starts");
    assert!(played.frame().size_fits());
}
