use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Instant,
};

use super::*;
use crate::{
    camera::{Backend, StreamConfig, sim::SimBackend},
    error::Kind,
    model::TimestampDomain,
};

const SOON: Duration = Duration::from_secs(10);

struct Bench {
    processing: Processing,
    camera: Box<dyn Camera>,
    running: BySensor,
    input: FrameSink,
    out: Receiver<Frame>,
    _backend: SimBackend,
}

fn bench() -> Bench {
    let backend = SimBackend::new(1);
    let device = backend.devices()[0].device_id.clone();
    let mut camera = backend.open(&device, Arc::new(|_| {})).unwrap();
    let (sender, out) = mpsc::channel();
    let output: FrameSink = Arc::new(move |frame| drop(sender.send(frame)));
    let mut processing = Processing::new(device, SharedSettings::default(), output);
    processing.describe(&mut camera.sensors().unwrap());
    let input = processing.input();
    Bench { processing, camera, running: BySensor::new(), input, out, _backend: backend }
}

impl Bench {
    fn set(&mut self, option: &str, value: f64) {
        let set = self.processing.set_option(0, option, value, &mut *self.camera, &self.running);
        set.expect("one of ours").expect("a good value");
    }

    fn run(&mut self, sensor: usize, stream: StreamType, width: u32, height: u32) {
        let config =
            StreamConfig { stream, format: PixelFormat::Z16, profile: Profile { width, height, framerate: 30 } };
        self.running.entry(sensor).or_default().insert(config);
        self.processing.follow(&mut *self.camera, &self.running);
    }

    fn next(&self) -> Frame {
        self.out.recv_timeout(SOON).expect("a frame")
    }
}

/// A wall at 1000 units; its first pixel is `first`.
fn depth(number: u64, first: u16) -> Frame {
    let (width, height) = (64u32, 48u32);
    let mut z16: Vec<u8> = vec![1000u16; (width * height) as usize].into_iter().flat_map(u16::to_le_bytes).collect();
    z16[..2].copy_from_slice(&first.to_le_bytes());
    let camera = SimBackend::new(1);
    let device = camera.devices()[0].device_id.clone();
    let intrinsics = camera.open(&device, Arc::new(|_| {})).unwrap().intrinsics(StreamType::Depth, width, height);
    Frame {
        stream: StreamType::Depth,
        format: PixelFormat::Z16,
        width,
        height,
        data: Arc::new(z16),
        number,
        timestamp_ms: 12.5,
        timestamp_domain: TimestampDomain::HardwareClock,
        metadata: vec![(crate::model::MetadataKey::GAIN_LEVEL, 16)],
        captured_at: Instant::now(),
        depth_units: 0.001,
        intrinsics,
    }
}

#[test]
fn while_all_is_off_frames_pass_by_untouched_and_no_thread_runs() {
    let mut bench = bench();
    bench.set("decimation_magnitude", 4.0);
    assert!(bench.processing.thread.is_none());
    let frame = depth(1, 5);
    (bench.input)(frame.clone());
    assert!(Arc::ptr_eq(&bench.out.try_recv().expect("in the caller's thread").data, &frame.data));
}

#[test]
fn a_processed_frame_keeps_what_it_said_of_itself() {
    let mut bench = bench();
    bench.set("decimation_filter", 1.0);
    let frame = depth(7, 5);
    (bench.input)(frame.clone());
    let out = bench.next();
    assert_eq!((out.width, out.height, out.size_fits()), (32, 24, true));
    let (small, full) = (out.intrinsics.unwrap(), frame.intrinsics.unwrap());
    assert_eq!((small.width, small.height, small.fx), (32, 24, full.fx / 2.0));
    assert_eq!((out.number, out.timestamp_ms, out.captured_at), (7, 12.5, frame.captured_at));
    assert_eq!((out.timestamp_domain, &out.metadata), (frame.timestamp_domain, &frame.metadata));

    // Other streams pass straight through meanwhile.
    let infrared = Frame { stream: StreamType::Infrared(1), ..depth(8, 5) };
    (bench.input)(infrared.clone());
    assert!(Arc::ptr_eq(&bench.out.try_recv().expect("in the caller's thread").data, &infrared.data));

    bench.set("decimation_filter", 0.0);
    assert!(bench.processing.thread.is_none());
    (bench.input)(frame.clone());
    assert!(Arc::ptr_eq(&bench.out.try_recv().expect("in the caller's thread").data, &frame.data));
}

#[test]
fn depth_is_aligned_to_the_size_that_colour_runs_at() {
    let mut bench = bench();
    bench.set("align_to", 1.0);
    (bench.input)(depth(1, 5));
    let out = bench.next();
    assert_eq!((out.width, out.height), (640, 480), "the usual size while nothing ever ran");
    bench.run(1, StreamType::Color, 424, 240);
    (bench.input)(depth(2, 5));
    let out = bench.next();
    assert_eq!((out.width, out.height, out.size_fits()), (424, 240, true));
    assert_eq!(out.intrinsics, bench.camera.intrinsics(StreamType::Color, 424, 240));
    // The size stays when colour stops.
    bench.running.clear();
    bench.run(0, StreamType::Depth, 64, 48);
    (bench.input)(depth(3, 5));
    assert_eq!(bench.next().width, 424);
}

#[test]
fn a_flush_lets_nothing_earlier_out_and_begins_anew() {
    let mut bench = bench();
    bench.set("temporal_filter", 1.0);
    for round in 0..50 {
        for number in 0..3 {
            (bench.input)(depth(round * 10 + number, 1000));
        }
        bench.processing.flush(0);
        while bench.out.try_recv().is_ok() {}
        (bench.input)(depth(round * 10 + 9, 0));
        let out = bench.next();
        assert_eq!(out.number, round * 10 + 9);
        // The temporal filter remembers nothing to fill the hole with.
        assert_eq!(out.bytes()[..2], [0, 0]);
    }
    bench.processing.flush(1);
}

#[test]
fn a_burst_costs_the_caller_nothing_and_the_newest_frame_gets_through() {
    let mut bench = bench();
    bench.set("spatial_filter", 1.0);
    let frame = depth(0, 5);
    for number in 1..=500 {
        (bench.input)(Frame { number, ..frame.clone() });
    }
    let mut last = 0;
    while last < 500 {
        let number = bench.next().number;
        assert!(number > last, "{number} after {last}");
        last = number;
    }
}

#[test]
fn it_ends_with_its_owner() {
    let mut bench = bench();
    bench.set("spatial_filter", 1.0);
    (bench.input)(depth(1, 5));
    bench.next();
    let Bench { processing, input, out, .. } = bench;
    drop(processing);
    // What the SDK still holds of it passes frames by.
    input(depth(2, 5));
    assert_eq!(out.try_recv().unwrap().number, 2);
    drop(input);
    assert_eq!(out.recv_timeout(SOON).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn options_are_of_the_depth_sensor_alone() {
    let mut bench = bench();
    let mut sensors = bench.camera.sensors().unwrap();
    bench.processing.describe(&mut sensors);
    let has = |sensor: &SensorInfo| sensor.options.iter().any(|option| option.option_id == "align_to");
    assert_eq!(sensors.iter().map(has).collect::<Vec<_>>(), [true, false, false]);
    assert!(bench.processing.option(0, "exposure").is_none() && bench.processing.option(1, "align_to").is_none());
    let Bench { processing, camera, running, .. } = &mut bench;
    assert!(processing.set_option(1, "align_to", 1.0, &mut **camera, running).is_none());
    let bad = processing.set_option(0, "align_to", 2.0, &mut **camera, running).expect("ours");
    assert_eq!(bad.unwrap_err().kind(), Kind::Invalid);
    // A device without colour has nothing to align to.
    sensors.truncate(1);
    processing.describe(&mut sensors);
    let refused = processing.set_option(0, "align_to", 1.0, &mut **camera, running).expect("ours");
    assert!(refused.unwrap_err().public().contains("no color stream"));
    assert_eq!(processing.option(0, "align_to").expect("ours").current_value, 0.0);
}
