//! Recordings: written with the SDK's recorder, played back, compared frame by frame; and what is no recording.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{
        Camera, Frame, PlaybackCommand, StreamConfig,
        realsense::{RealsenseBackend, SdkRecorderFactory, Settings},
        recorder::{RecordedDevice, RecordedSensor, RecordedStream, RecorderFactory},
    },
    error::Kind as ErrorKind,
    model::{DeviceInfo, PixelFormat, StreamType},
};

use crate::{
    bench::{Bench, Kind, SOON, config},
    sdk::sdk,
};

/// What is recorded: all that a D435I has at once.
const STREAMS: [(usize, &[StreamType]); 3] = [
    (0, &[StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]),
    (1, &[StreamType::Color]),
    (2, &[StreamType::Gyro, StreamType::Accel]),
];

/// A device as the server describes it to a recorder.
fn describe(info: &DeviceInfo, camera: &mut dyn Camera, streams: &[(usize, Vec<StreamConfig>)]) -> RecordedDevice {
    let sensors = camera.sensors().expect("sensors");
    let units = camera.depth_units();
    let first = streams[0].1[0].stream;
    let sensors = streams
        .iter()
        .map(|(index, configs)| RecordedSensor {
            name: sensors[*index].name.clone(),
            depth_units: (*index == 0).then_some(units),
            options: sensors[*index].options.clone(),
            streams: configs
                .iter()
                .map(|config| RecordedStream {
                    config: *config,
                    intrinsics: camera.intrinsics(config.stream, config.profile.width, config.profile.height),
                    to_first: (config.stream != first).then(|| camera.extrinsics(config.stream, first)).flatten(),
                })
                .collect(),
        })
        .collect();
    RecordedDevice { info: info.clone(), sensors }
}

/// What was recorded.
struct Recorded {
    file: PathBuf,
    info: DeviceInfo,
    frames: Vec<Frame>,
    _folder: tempfile::TempDir,
}

/// Records the device of a bench until its frames span this time, however long a busy machine needs for that.
fn record(bench: &mut Bench, which: &[(usize, &[StreamType])], time: Duration) -> Recorded {
    record_part(bench, which, time, |_, _| true)
}

/// As [`record`], but writes only what is wanted at that time since the first frame.
fn record_part(
    bench: &mut Bench,
    which: &[(usize, &[StreamType])],
    time: Duration,
    wanted: impl Fn(&Frame, Duration) -> bool,
) -> Recorded {
    let configs: Vec<_> = which
        .iter()
        .map(|(sensor, streams)| (*sensor, streams.iter().map(|s| config(*s)).collect::<Vec<_>>()))
        .collect();
    let info = bench.backend.devices().remove(0);
    let device = describe(&info, bench.camera(), &configs);
    for (sensor, streams) in which {
        bench.start(*sensor, streams);
    }
    let factory = SdkRecorderFactory::new(sdk());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("recorded.{}", factory.extension()));
    let mut recorder = factory.create(&file, &device).expect("it records");
    let mut frames: Vec<Frame> = Vec::new();
    let spanned = |frames: &[Frame]| match frames {
        [first, .., last] => last.captured_at.saturating_duration_since(first.captured_at),
        _ => Duration::ZERO,
    };
    while spanned(&frames) < time {
        let frame = bench.frame();
        frames.push(frame.clone());
        if wanted(&frame, spanned(&frames)) {
            recorder.write(&frame).expect("it is written");
        }
    }
    for (sensor, _) in which {
        bench.camera().stop(*sensor);
    }
    recorder.finish().expect("it is complete");
    assert!(std::fs::metadata(&file).expect("it is there").len() > 100_000);
    Recorded { file, info, frames, _folder: folder }
}

fn play(file: &Path, repeat: bool) -> Bench {
    let settings = Settings { recordings: vec![file.to_owned()], repeat, ..Settings::default() };
    Bench::of(Arc::new(RealsenseBackend::start(sdk(), settings).expect("the SDK starts")))
}

impl Bench {
    /// Starts everything that a recording offers.
    fn start_all(&mut self) {
        for sensor in self.sensors() {
            let configs: Vec<_> = sensor
                .profiles
                .iter()
                .map(|offered| StreamConfig {
                    stream: offered.stream,
                    format: offered.format,
                    profile: offered.profile,
                })
                .collect();
            self.camera().start(sensor.index, &configs).expect("it starts");
        }
    }

    /// Looks after the camera as its thread does, until `done` says so.
    fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + 2 * SOON;
        while !done(self) {
            assert!(Instant::now() < end, "not in time");
            self.camera().tick();
        }
    }

    /// The next frame, looking after the camera meanwhile: at the end only that lets it begin again.
    fn next(&mut self) -> Frame {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            self.camera().tick();
            if let Ok(frame) = self.frames.recv_timeout(Duration::from_millis(100)) {
                return frame;
            }
        }
        panic!("no frame in time");
    }

    fn playback(&mut self, command: PlaybackCommand) -> realsense_webrtc::model::PlaybackStatus {
        self.camera().playback(Some(command)).expect("it is carried out")
    }
}

/// Short and small: colour alone.
fn short_recording() -> Recorded {
    record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_millis(900))
}

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
    let laser = bench.camera().option(0, "laser-power").expect("an option").current_value;
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
    let option = played.camera().option(0, "laser-power").expect("options are recorded");
    assert_eq!((option.current_value, option.read_only), (laser, true));
    assert_eq!(played.camera().set_option(0, "laser-power", 30.0).expect_err("refused").kind(), ErrorKind::Invalid);

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
fn a_recording_begins_again_and_counts_on() {
    let recorded = short_recording();
    let mut played = play(&recorded.file, true);
    played.start_all();
    let (mut rounds, mut last, mut frames) = (0, 0, 0_u32);
    played.run_until(|played| {
        if let Ok(frame) = played.frames.recv_timeout(Duration::from_millis(100)) {
            rounds += u32::from(frame.number < last);
            last = frame.number;
            frames += 1;
        }
        rounds == 3
    });
    // No frame comes double, whatever round it is.
    let recorded = u32::try_from(recorded.frames.len()).expect("few");
    assert!(frames <= 3 * recorded + 6, "{frames} frames in three rounds of {recorded}");
    assert!(!played.camera().is_paused());
    // From now on it ends at its end.
    played.playback(PlaybackCommand::Repeat(false));
    played.run_until(|played| {
        last = played.frames.recv_timeout(Duration::from_millis(50)).map_or(last, |frame| frame.number);
        played.camera().is_paused()
    });
    last = played.frames.try_iter().last().map_or(last, |frame| frame.number);
    // What is held is still shown, so that whoever joins sees it.
    played.camera().tick();
    assert_eq!(played.frame().number, last, "the last picture again");
    // And resuming begins at the beginning.
    let status = played.playback(PlaybackCommand::Resume);
    assert!(!status.is_paused, "{status:?}");
    let first = played.frame();
    assert!(first.number < last);
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
fn another_sensor_begins_where_the_first_one_ended() {
    let which: [(usize, &[StreamType]); 2] = [(0, &[StreamType::Depth]), (1, &[StreamType::Color])];
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &which, Duration::from_millis(2500));
    let mut played = play(&recorded.file, false);
    // Colour for a moment: its frames must not make depth's start look like an end.
    played.start(1, &[StreamType::Color]);
    played.frame_of(StreamType::Color);
    played.camera().stop(1);
    played.start(0, &[StreamType::Depth]);
    played.camera().tick();
    assert!(!played.camera().is_paused(), "it has just begun");
    played.frame_of(StreamType::Depth);
    // At the end another sensor lets all begin again.
    played.run_until(|played| {
        while played.frames.try_recv().is_ok() {}
        played.camera().is_paused()
    });
    played.start(1, &[StreamType::Color]);
    assert!(!played.camera().is_paused());
    played.frame_of(StreamType::Color);
    played.frame_of(StreamType::Depth);
}

/// To go on after a pause, the SDK looks for a frame behind the one shown last, and looks for ever where there is none.
#[test]
fn a_sensor_stops_where_nothing_is_left_to_the_others() {
    let which: [(usize, &[StreamType]); 2] = [(0, &[StreamType::Depth]), (1, &[StreamType::Color])];
    let begins = Duration::from_millis(500);
    let recorded =
        record_part(&mut Bench::new(Kind::SoftwareDevice), &which, Duration::from_secs(3), |frame, since| {
            frame.stream == StreamType::Color || since < begins
        });
    for repeat in [true, false] {
        let mut played = play(&recorded.file, repeat);
        played.start_all();
        played.frame_of(StreamType::Depth);
        // Until depth has ended, and colour goes on.
        played.run_until(|played| played.camera().playback(None).expect("a status").position > 1.5);
        while played.frames.try_recv().is_ok() {}
        played.frame_of(StreamType::Color);
        let begun = Instant::now();
        played.camera().stop(1);
        assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
        if repeat {
            played.frame_of(StreamType::Depth);
        } else {
            assert!(played.camera().is_paused(), "it is at its end");
            played.start(1, &[StreamType::Color]);
            played.frame_of(StreamType::Color);
            played.frame_of(StreamType::Depth);
        }
    }
}

#[test]
fn pause_seek_and_speed() {
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_secs(3));
    let mut played = play(&recorded.file, true);
    played.start_all();
    let first = played.next().number;
    // A busy machine records fewer frames than 30 a second.
    let since = |from: u64, number: u64| {
        let of = |number| recorded.frames.iter().find(|frame| frame.number >= number).map(|frame| frame.captured_at);
        Some(of(number)?.saturating_duration_since(of(from)?))
    };
    let later = |time: Duration| (first..).find(|number| since(first, *number).is_none_or(|passed| passed >= time));
    let paused = played.playback(PlaybackCommand::Pause);
    assert!(paused.is_paused && played.camera().is_paused());
    played.wait_for_silence(Duration::from_millis(200));
    let still = played.camera().playback(None).expect("a status");
    assert!((still.position - paused.position).abs() < 0.2, "{still:?}");
    // Seeking while paused shows the picture there after resuming.
    played.playback(PlaybackCommand::Seek(Duration::from_millis(2000)));
    let resumed = played.playback(PlaybackCommand::Resume);
    assert!(!resumed.is_paused);
    let there = later(Duration::from_millis(1900)).expect("three seconds are recorded");
    let before: Vec<_> = (0..20).map(|_| played.next().number).collect();
    // All of them: the first is the picture of the place, which the SDK shows at once.
    assert!(before.iter().all(|number| *number >= there), "two seconds on, from {first} to {there}: {before:?}");
    for milliseconds in [0, 500, 1200, 100, 2200, 0] {
        let place = Duration::from_millis(milliseconds);
        played.playback(PlaybackCommand::Seek(place));
        let shown: Vec<_> = (0..16).map(|_| played.next().number).collect();
        // What was delivered before the jump may still lie in the queue.
        let there = later(place.saturating_sub(Duration::from_millis(100))).expect("it is recorded");
        assert!(shown[4..].iter().all(|number| (there..there + 28).contains(number)), "{place:?}: {shown:?}");
    }
    // Twice as fast: 30 frames take half the time that they took.
    assert_eq!(played.playback(PlaybackCommand::Speed(2.0)).speed, 2.0);
    let (begun, number) = (Instant::now(), played.next().number);
    played.run_until(|played| played.next().number >= number + 30);
    let (took, recorded_in) = (begun.elapsed(), since(number, number + 30).expect("as many are recorded"));
    assert!((0.35..0.85).contains(&took.div_duration_f64(recorded_in)), "{took:?} for {recorded_in:?}");
    for bad in
        [PlaybackCommand::Seek(Duration::from_secs(60)), PlaybackCommand::Speed(0.0), PlaybackCommand::Speed(f64::NAN)]
    {
        assert_eq!(played.camera().playback(Some(bad)).expect_err("refused").kind(), ErrorKind::Invalid, "{bad:?}");
    }
}

#[test]
fn a_live_camera_has_no_playback() {
    let mut bench = Bench::new(Kind::SoftwareDevice);
    assert_eq!(bench.camera().playback(None).expect_err("refused").kind(), ErrorKind::NotFound);
    assert_eq!(bench.camera().preset().expect_err("refused").kind(), ErrorKind::Invalid);
    assert_eq!(bench.camera().load_preset("{}").expect_err("refused").kind(), ErrorKind::Invalid);
    assert!(bench.backend.close_recording(&bench.id).is_err());
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
