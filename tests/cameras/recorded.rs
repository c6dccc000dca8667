//! Makes recordings of software devices, and plays them.

use std::{
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
    model::{DeviceInfo, StreamType},
};

use crate::{
    bench::{Bench, Kind, SOON, config},
    sdk::sdk,
};

/// What is recorded: all that a D435I has at once.
pub(crate) const STREAMS: [(usize, &[StreamType]); 3] = [
    (0, &[StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]),
    (1, &[StreamType::Color]),
    (2, &[StreamType::Gyro, StreamType::Accel]),
];

/// A device as the server describes it to a recorder.
pub(crate) fn describe(
    info: &DeviceInfo,
    camera: &mut dyn Camera,
    streams: &[(usize, Vec<StreamConfig>)],
) -> RecordedDevice {
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
pub(crate) struct Recorded {
    pub(crate) file: PathBuf,
    pub(crate) info: DeviceInfo,
    pub(crate) frames: Vec<Frame>,
    _folder: tempfile::TempDir,
}

/// Records the device of a bench until its frames span this time, however long a busy machine needs for that.
pub(crate) fn record(bench: &mut Bench, which: &[(usize, &[StreamType])], time: Duration) -> Recorded {
    write(bench, which, &[], time, |_| true)
}

/// As [`record`], but writes only what is wanted. As the RealSense Viewer does it, a sensor that did not stream stands in the
/// file, too.
pub(crate) fn record_part(
    bench: &mut Bench,
    which: &[(usize, &[StreamType])],
    time: Duration,
    wanted: impl FnMut(&Frame) -> bool,
) -> Recorded {
    let silent = RecordedSensor { name: "Silent".into(), depth_units: None, options: Vec::new(), streams: Vec::new() };
    write(bench, which, &[silent], time, wanted)
}

fn write(
    bench: &mut Bench,
    which: &[(usize, &[StreamType])],
    further: &[RecordedSensor],
    time: Duration,
    mut wanted: impl FnMut(&Frame) -> bool,
) -> Recorded {
    let configs: Vec<_> = which
        .iter()
        .map(|(sensor, streams)| (*sensor, streams.iter().map(|s| config(*s)).collect::<Vec<_>>()))
        .collect();
    let info = bench.backend.devices().remove(0);
    let mut device = describe(&info, bench.camera(), &configs);
    device.sensors.extend_from_slice(further);
    for (sensor, streams) in which {
        bench.start(*sensor, streams);
    }
    // On a busy machine one sensor may begin much later than another.
    for stream in which.iter().flat_map(|(_, streams)| *streams) {
        bench.frame_of(*stream);
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
        if wanted(&frame) {
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

pub(crate) fn play(file: &Path, repeat: bool) -> Bench {
    let settings = Settings { recordings: vec![file.to_owned()], repeat, ..Settings::default() };
    Bench::of(Arc::new(RealsenseBackend::start(sdk(), settings).expect("the SDK starts")))
}

impl Bench {
    /// Starts everything that a recording offers.
    pub(crate) fn start_all(&mut self) {
        for sensor in self.sensors().into_iter().filter(|sensor| !sensor.profiles.is_empty()) {
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
    pub(crate) fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + 2 * SOON;
        while !done(self) {
            assert!(Instant::now() < end, "not in time");
            self.camera().tick();
        }
    }

    /// The next frame, looking after the camera meanwhile: at the end only that lets it begin again.
    pub(crate) fn next(&mut self) -> Frame {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            self.camera().tick();
            if let Ok(frame) = self.frames.recv_timeout(Duration::from_millis(100)) {
                return frame;
            }
        }
        panic!("no frame in time");
    }

    pub(crate) fn playback(&mut self, command: PlaybackCommand) -> realsense_webrtc::model::PlaybackStatus {
        self.camera().playback(Some(command)).expect("it is carried out")
    }
}

/// Short and small: colour alone.
pub(crate) fn short_recording() -> Recorded {
    record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_millis(900))
}
