//! Recordings: written with the SDK's recorder, played back, compared frame by frame; and what is no recording.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use realsense_webrtc::{
    camera::{Frame, StreamConfig, realsense::SdkRecorderFactory, recorder::RecorderFactory},
    error::Kind as ErrorKind,
    model::{PixelFormat, StreamType},
};

use crate::{
    bench::{Bench, Kind, config},
    recorded::{STREAMS, describe, play, record, short_recording},
    sdk::sdk,
};

#[test]
fn what_was_recorded_is_played_back() {
    let mut bench = Bench::new(Kind::SoftwareDevice);
    let recorded = record(&mut bench, &STREAMS, Duration::from_millis(2500));
    let calibration: Vec<_> = [StreamType::Color, StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]
        .into_iter()
        .map(|stream| {
            let profile = config(stream).profile;
            let intrinsics = bench.camera().intrinsics(stream, profile.width, profile.height).expect("calibrated");
            let to_depth = bench.camera().extrinsics(stream, StreamType::Depth).expect("related");
            (stream, profile, intrinsics, to_depth)
        })
        .collect();
    let laser = bench.camera().option(0, "laser_power").expect("an option").current_value;
    drop(bench);
    keep_for_the_other_version(&recorded.file);

    let mut played = play(&recorded.file, false);
    let info = played.backend.devices().remove(0);
    assert_eq!(info.serial_number, recorded.info.serial_number);
    assert_eq!((&info.name, &info.sensors), (&recorded.info.name, &recorded.info.sensors));
    assert_eq!(info.firmware_version, recorded.info.firmware_version);
    assert_eq!(info.usb_type, recorded.info.usb_type);
    assert!(info.playback);

    for (stream, profile, intrinsics, to_depth) in calibration {
        assert_eq!(played.camera().intrinsics(stream, profile.width, profile.height), Some(intrinsics), "{stream}");
        let again = played.camera().extrinsics(stream, StreamType::Depth).expect("related");
        let apart = again.translation.iter().zip(to_depth.translation).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-6, "{stream}: {again:?} was {to_depth:?}");
    }
    assert!((played.camera().depth_units() - 0.001).abs() < 1e-9);
    let option = played.camera().option(0, "laser_power").expect("options are recorded");
    assert_eq!((option.current_value, option.read_only), (laser, true));
    assert_eq!(played.camera().set_option(0, "laser_power", 30.0).expect_err("refused").kind(), ErrorKind::Invalid);

    // Every frame that comes is one that was recorded, to the pixel; and nearly all of them come.
    let written: BTreeMap<(StreamType, u64), &Frame> =
        recorded.frames.iter().map(|frame| ((frame.stream, frame.number), frame)).collect();
    played.start_all();
    let mut seen = BTreeSet::new();
    played.run_until(|played| {
        let Ok(frame) = played.frames.recv_timeout(Duration::from_millis(100)) else {
            // Not before its end is it held.
            return played.camera().is_paused();
        };
        let was = written.get(&(frame.stream, frame.number)).unwrap_or_else(|| panic!("{frame:?} was not recorded"));
        assert_eq!((frame.format, frame.width, frame.height), (was.format, was.width, was.height));
        assert!(frame.bytes() == was.bytes(), "{frame:?} has other pixels");
        assert!(
            (frame.timestamp_ms - was.timestamp_ms).abs() < 0.01,
            "{} was {}",
            frame.timestamp_ms,
            was.timestamp_ms
        );
        assert_eq!(frame.timestamp_domain, was.timestamp_domain);
        assert!((frame.depth_units - was.depth_units).abs() < 1e-9);
        for (key, value) in &was.metadata {
            let again = frame.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| *value);
            assert_eq!(again, Some(*value), "{frame:?} {:?}", key.name());
        }
        seen.insert((frame.stream, frame.number));
        false
    });
    for (_, streams) in STREAMS {
        for stream in streams {
            let of = |numbers: &mut dyn Iterator<Item = StreamType>| numbers.filter(|other| other == stream).count();
            let (came, were) = (of(&mut seen.iter().map(|key| key.0)), of(&mut written.keys().map(|key| key.0)));
            // Playing begins at the first frame of the first sensor that is started, so what came before it is skipped.
            assert!(came > 5 && came * 3 >= were, "{stream}: {came} of {were}");
        }
    }
    let status = played.camera().playback(None).expect("it is a recording");
    assert!(status.is_paused && (status.position - status.duration).abs() < 0.05, "{status:?}");
}

/// Leaves a recording where the run with the other version finds it.
fn keep_for_the_other_version(file: &Path) {
    let Some(folder) = std::env::var_os("REALSENSE_WEBRTC_TEST_RECORDINGS") else { return };
    std::fs::create_dir_all(&folder).expect("a folder");
    let name = file.file_name().expect("a name");
    std::fs::copy(file, Path::new(&folder).join(name)).expect("a copy");
}

#[test]
fn both_kinds_are_played_by_the_newer_version() {
    let Some(folder) = std::env::var_os("REALSENSE_WEBRTC_TEST_RECORDINGS") else { return };
    let older = Path::new(&folder).join("recorded.bag");
    if sdk().recording_extension() == "bag" || !older.exists() {
        return;
    }
    let mut played = play(&older, false);
    played.start_all();
    let frame = played.frame_of(StreamType::Color);
    assert!(frame.size_fits() && frame.format == PixelFormat::Yuyv);
    assert!(played.frame_of(StreamType::Depth).intrinsics.is_some());
}

#[test]
fn a_recording_does_not_take_its_cameras_place() {
    let mut bench = Bench::new(Kind::SoftwareDevice);
    let recorded = record(&mut bench, &[(1, &[StreamType::Color])], Duration::from_millis(900));
    bench.camera = None;
    bench.inject(realsense_webrtc::camera::SimFault::Unplug);
    bench.event();
    let played = bench.backend.open_recording(&recorded.file).expect("it opens");
    assert_eq!(played.as_str(), format!("{}-rec", bench.id));
    bench.event();
    bench.inject(realsense_webrtc::camera::SimFault::Replug);
    assert_eq!(bench.event(), realsense_webrtc::camera::BackendEvent::Added(bench.id.clone()));
    bench.open();
    bench.start(1, &[StreamType::Color]);
    bench.frame();
    bench.backend.close_recording(&played).expect("it closes");
    assert_eq!(bench.backend.devices().len(), 1);
    bench.frame();
}

#[test]
fn what_is_no_recording_is_refused_and_disturbs_nothing() {
    let recorded = short_recording();
    let mut played = play(&recorded.file, true);
    played.start_all();
    let folder = tempfile::tempdir().expect("a folder");
    let extension = sdk().recording_extension();
    let put = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(format!("{name}.{extension}"));
        std::fs::write(&file, bytes).expect("a file");
        file
    };
    let whole = std::fs::read(&recorded.file).expect("its bytes");
    let text = put("text", b"this is no recording");
    let empty = put("empty", b"");
    let truncated = put("truncated", &whole[..whole.len() / 2]);
    let missing = folder.path().join("missing.bag");
    assert_eq!(played.backend.open_recording(&missing).expect_err("refused").kind(), ErrorKind::NotFound);
    for file in [text, empty, truncated] {
        let error = played.backend.open_recording(&file).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.public().contains("cannot be played"), "{error}");
    }
    assert_eq!(played.backend.devices().len(), 1);
    played.run_until(|played| played.frame().number > 10);
}

#[test]
fn recordings_are_opened_and_closed_while_others_play() {
    let recorded = short_recording();
    let played = play(&recorded.file, true);
    let second = recorded.file.with_file_name(format!("second.{}", sdk().recording_extension()));
    std::fs::copy(&recorded.file, &second).expect("a copy");
    let id = played.backend.open_recording(&second).expect("it opens");
    assert_ne!(id, played.id, "two recordings of one camera have ids of their own");
    assert_eq!(played.event(), realsense_webrtc::camera::BackendEvent::Added(id.clone()));
    assert_eq!(played.backend.devices().len(), 2);
    played.backend.close_recording(&id).expect("it closes");
    assert_eq!(played.event(), realsense_webrtc::camera::BackendEvent::Removed(id.clone()));
    assert_eq!(played.backend.devices().len(), 1);
    assert!(played.backend.close_recording(&id).is_err());
    // The same file can be opened again, and stays; but not twice at once, by whatever path.
    for _ in 0..20 {
        let id = played.backend.open_recording(&second).expect("it opens again");
        let sideways = second.parent().expect("a folder").join(".").join(second.file_name().expect("a name"));
        let error = played.backend.open_recording(&sideways).expect_err("it is open");
        assert!(error.kind() == ErrorKind::Conflict && error.public().contains(id.as_str()), "{error}");
        played.backend.close_recording(&id).expect("it stayed");
    }
    assert_eq!(played.backend.devices().len(), 1);
}

#[test]
fn depth_units_other_than_a_millimetre_survive() {
    // As a D405 has them.
    const UNITS: f32 = 0.0001;
    let mut bench = Bench::new(Kind::Simulator);
    let info = bench.backend.devices().remove(0);
    let wanted = config(StreamType::Depth);
    let mut device = describe(&info, bench.camera(), &[(0, vec![wanted])]);
    device.sensors[0].depth_units = Some(UNITS);
    let factory = SdkRecorderFactory::new(sdk());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("units.{}", factory.extension()));
    let mut recorder = factory.create(&file, &device).expect("it records");
    bench.start(0, &[StreamType::Depth]);
    for _ in 0..20 {
        recorder.write(&Frame { depth_units: UNITS, ..bench.frame() }).expect("it is written");
    }
    recorder.finish().expect("it is complete");
    let mut played = play(&file, true);
    assert!((played.camera().depth_units() - UNITS).abs() < 1e-9);
    played.start_all();
    assert!((played.frame().depth_units - UNITS).abs() < 1e-9);
}

#[test]
fn the_simulators_own_format_is_recorded_as_one_of_the_sdks() {
    let mut bench = Bench::new(Kind::Simulator);
    let info = bench.backend.devices().remove(0);
    let wanted = StreamConfig { format: PixelFormat::I420, ..config(StreamType::Color) };
    let device = describe(&info, bench.camera(), &[(1, vec![wanted])]);
    let factory = SdkRecorderFactory::new(sdk());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("simulated.{}", factory.extension()));
    let mut recorder = factory.create(&file, &device).expect("it records");
    bench.camera().start(1, &[wanted]).expect("it starts");
    for _ in 0..10 {
        recorder.write(&bench.frame()).expect("it is written");
    }
    recorder.finish().expect("it is complete");
    let mut played = play(&file, true);
    played.start_all();
    let frame = played.frame();
    assert!(frame.format == PixelFormat::Yuyv && frame.size_fits());
}

#[test]
fn a_folder_that_is_not_there_cannot_be_recorded_to() {
    let mut bench = Bench::new(Kind::Simulator);
    let info = bench.backend.devices().remove(0);
    let device = describe(&info, bench.camera(), &[(1, vec![config(StreamType::Color)])]);
    let factory = SdkRecorderFactory::new(sdk());
    let file = PathBuf::from(format!("/nonexistent/x.{}", factory.extension()));
    let error = factory.create(&file, &device).err().expect("refused");
    assert!(error.public().contains("/nonexistent/x"), "{error}");
}
