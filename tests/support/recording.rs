//! Makes a recording with the SDK's own recorder: a second or two of the simulated camera, every stream of it, small.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{
        Backend, StreamConfig,
        realsense::SdkRecorderFactory,
        recorder::{RecordedDevice, RecordedSensor, RecordedStream, RecorderFactory},
        sim::SimBackend,
    },
    librealsense::Sdk,
    model::{PixelFormat, Profile, StreamType},
};

/// Longest wait for a frame of the simulator.
const SOON: Duration = Duration::from_secs(10);

/// What is recorded of each sensor, by its index.
pub(crate) fn recorded() -> [Vec<StreamConfig>; 3] {
    let config = |stream, format, (width, height), framerate| StreamConfig {
        stream,
        format,
        profile: Profile { width, height, framerate },
    };
    let small = (424, 240);
    [
        vec![
            config(StreamType::Depth, PixelFormat::Z16, small, 30),
            config(StreamType::Infrared(1), PixelFormat::Y8, small, 30),
            config(StreamType::Infrared(2), PixelFormat::Y8, small, 30),
        ],
        vec![config(StreamType::Color, PixelFormat::Yuyv, small, 30)],
        vec![
            config(StreamType::Gyro, PixelFormat::MotionXyz32f, (0, 0), 200),
            config(StreamType::Accel, PixelFormat::MotionXyz32f, (0, 0), 63),
        ],
    ]
}

/// Records about this many frames of each image stream into `folder`.
pub(crate) fn record(sdk: Sdk, folder: &Path, frames: u64) -> PathBuf {
    let factory = SdkRecorderFactory::new(sdk);
    let file = folder.join("made").with_extension(factory.extension());
    let backend = SimBackend::new(1);
    let info = backend.devices().remove(0);
    let (sink, inbox) = mpsc::channel();
    let mut camera = backend.open(&info.device_id, Arc::new(move |frame| drop(sink.send(frame)))).expect("it opens");
    let offered = camera.sensors().expect("sensors");
    let mut sensors = Vec::new();
    for (sensor, configs) in offered.iter().zip(recorded()) {
        let mut streams = Vec::new();
        for config in configs {
            let Profile { width, height, .. } = config.profile;
            let intrinsics = camera.intrinsics(config.stream, width, height);
            let is_first = config.stream == StreamType::Depth;
            let to_first = if is_first { None } else { camera.extrinsics(config.stream, StreamType::Depth) };
            streams.push(RecordedStream { config, intrinsics, to_first });
        }
        let depth_units = (sensor.index == 0).then(|| camera.depth_units());
        sensors.push(RecordedSensor {
            name: sensor.name.clone(),
            depth_units,
            options: sensor.options.clone(),
            streams,
        });
    }
    let mut recorder = factory.create(&file, &RecordedDevice { info, sensors }).expect("a file");
    for (sensor, configs) in recorded().iter().enumerate() {
        camera.start(sensor, configs).expect("it starts");
    }
    let end = Instant::now() + SOON;
    let mut counts = [0; 4];
    while counts.iter().any(|count| *count < frames) {
        assert!(Instant::now() < end, "the simulator delivers: {counts:?}");
        let frame = inbox.recv_timeout(SOON).expect("a frame in time");
        if let Some(at) = StreamType::VIDEO.iter().position(|stream| *stream == frame.stream) {
            counts[at] += 1;
        }
        // Played in real time, what begins with silence is silent.
        if counts.iter().all(|count| *count > 0) {
            recorder.write(&frame).expect("written");
        }
    }
    drop(camera);
    recorder.finish().expect("a complete file");
    file
}
