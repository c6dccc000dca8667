//! The simulated camera as the manager uses it: geometry, options, pacing, faults. Waits are on frames and events.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{FIRST_SERIAL, SimBackend, scene, strip};
use crate::{
    camera::{Backend, BackendEvent, Camera, Frame, SimFault, StreamConfig},
    core::picture::geometry,
    error::Kind,
    model::{DeviceId, PixelFormat, Profile, StreamType},
};

const PATIENCE: Duration = Duration::from_secs(60);
const W: u32 = 424;
const H: u32 = 240;

struct Rig {
    backend: SimBackend,
    id: DeviceId,
    camera: Box<dyn Camera>,
    frames: mpsc::Receiver<Frame>,
    events: mpsc::Receiver<BackendEvent>,
}

impl Rig {
    fn new() -> Self {
        let backend = SimBackend::new(1);
        let (tell, events) = mpsc::channel();
        backend.set_events(Arc::new(move |event| drop(tell.send(event))));
        let id = DeviceId::new(FIRST_SERIAL.to_string());
        let (sink, frames) = mpsc::channel();
        let camera = backend.open(&id, Arc::new(move |frame| drop(sink.send(frame)))).unwrap();
        Self { backend, id, camera, frames, events }
    }

    fn start(&mut self, sensor: usize, streams: &[StreamType]) {
        let configs: Vec<_> = streams.iter().map(|stream| config(*stream, 30)).collect();
        self.camera.start(sensor, &configs).unwrap();
    }

    fn frame(&self) -> Frame {
        self.frames.recv_timeout(PATIENCE).expect("a frame in time")
    }

    /// The next frame of a stream.
    fn frame_of(&self, stream: StreamType) -> Frame {
        std::iter::repeat_with(|| self.frame()).find(|frame| frame.stream == stream).unwrap()
    }

    /// Sets an option and gives the first frame that surely shows it.
    fn with_option(&mut self, sensor: usize, option: &str, value: f64) -> Frame {
        self.camera.set_option(sensor, option, value).unwrap();
        let set_at = Instant::now();
        std::iter::repeat_with(|| self.frame()).find(|frame| frame.captured_at > set_at).unwrap()
    }

    fn drain(&self) -> usize {
        self.frames.try_iter().count()
    }

    fn inject(&self, fault: SimFault) {
        self.backend.inject_fault(&self.id, fault).unwrap();
    }
}

fn config(stream: StreamType, framerate: u32) -> StreamConfig {
    let (format, width, height) = match stream {
        StreamType::Color => (PixelFormat::I420, W, H),
        StreamType::Depth => (PixelFormat::Z16, W, H),
        StreamType::Infrared(_) => (PixelFormat::Y8, W, H),
        StreamType::Gyro | StreamType::Accel => (PixelFormat::MotionXyz32f, 0, 0),
    };
    StreamConfig { stream, format, profile: Profile { width, height, framerate } }
}

/// Mean of the luma below the strip.
fn brightness(frame: &Frame) -> f64 {
    let luma = &frame.bytes()[(W * 16) as usize..(W * H) as usize];
    luma.iter().map(|v| f64::from(*v)).sum::<f64>() / luma.len() as f64
}

/// Mean difference between neighbours: how speckled a picture is.
fn speckle(frame: &Frame) -> f64 {
    let luma = &frame.bytes()[(W * 16) as usize..(W * H) as usize];
    luma.windows(2).map(|w| f64::from(w[0].abs_diff(w[1]))).sum::<f64>() / luma.len() as f64
}

fn holes(frame: &Frame) -> f64 {
    let pixels = frame.bytes()[(W * 16 * 2) as usize..].chunks_exact(2);
    let total = pixels.len() as f64;
    pixels.filter(|p| p == &[0, 0]).count() as f64 / total
}

/// Whether the ball or what it hides may be near a pixel of a frame.
fn near_ball(frame: &Frame, x: u32, y: u32) -> bool {
    let i = frame.intrinsics.unwrap();
    let seconds = frame.captured_at.duration_since(super::sensor::scene_epoch()).as_secs_f64();
    let c = scene::to_camera(scene::Ball::at(seconds).centre);
    let [px, py] = geometry::project(&i, [c.0, c.1, c.2]).unwrap();
    let reach = i.fx * (scene::BALL_RADIUS_M * 1.3 + 0.05) / (c.2 - scene::BALL_RADIUS_M);
    (x as f32 - px).abs() < reach && (y as f32 - py).abs() < reach
}

#[test]
fn depth_is_the_rooms_geometry() {
    let mut rig = Rig::new();
    rig.start(0, &[StreamType::Depth]);
    let frame = rig.frame();
    assert!(frame.size_fits() && frame.depth_units == 0.001);
    let i = frame.intrinsics.unwrap();
    let (mut compared, mut off) = (0, 0);
    for y in (20..H).step_by(7) {
        for x in (0..W).step_by(5).filter(|x| !near_ball(&frame, *x, y)) {
            let Some(measured) = geometry::depth_at(frame.bytes(), W, H, x, y, frame.depth_units) else { continue };
            let [dx, dy, _] = geometry::deproject(&i, [x as f32, y as f32], 1.0);
            let truth = scene::cast(scene::eye(0.0), scene::direction(dx, dy)).t;
            compared += 1;
            // Four standard deviations of a matcher that is off by 0.04 px in all.
            off += usize::from((measured - truth).abs() > 4.0 * 0.04 * truth * truth / (i.fx * 0.05) + 0.001);
        }
    }
    assert!(compared > 1500 && off * 100 < compared, "{off} of {compared} wrong");
    // What the ball's pixels say lies on the ball.
    let seconds = frame.captured_at.duration_since(super::sensor::scene_epoch()).as_secs_f64();
    let c = scene::to_camera(scene::Ball::at(seconds).centre);
    let [px, py] = geometry::project(&i, [c.0, c.1, c.2]).unwrap();
    let (px, py) = (px.round() as u32, py.round() as u32);
    let z = geometry::depth_at(frame.bytes(), W, H, px, py, 0.001).expect("depth in the ball's middle");
    let [x, y, z] = geometry::deproject(&i, [px as f32, py as f32], z);
    let radius = (scene::V3(x, y, z) - c).dot(scene::V3(x, y, z) - c).sqrt();
    assert!((radius - scene::BALL_RADIUS_M).abs() < 0.03, "{radius}");
}

#[test]
fn the_infrared_pair_has_the_disparity_of_the_depth() {
    let mut rig = Rig::new();
    rig.start(0, &[StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]);
    let frames: BTreeMap<_, _> = (0..3).map(|_| rig.frame()).map(|frame| (frame.stream, frame)).collect();
    let [depth, left, right] = [StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]
        .map(|s| frames.get(&s).expect("all three"));
    let fx = left.intrinsics.unwrap().fx;
    let window = |frame: &Frame, x: usize, y: usize| -> Vec<i32> {
        (y - 5..=y + 5).flat_map(|y| &frame.bytes()[y * W as usize..][x - 7..=x + 7]).map(|v| i32::from(*v)).collect()
    };
    let (mut compared, mut off) = (0, 0);
    for y in (40..H - 10).step_by(20) {
        for x in (60..W - 20).step_by(30) {
            let Some(z) = geometry::depth_at(depth.bytes(), W, H, x, y, 0.001) else { continue };
            let (x, y) = (x as usize, y as usize);
            let reference = window(left, x, y);
            let difference =
                |d: &usize| -> i32 { window(right, x - d, y).iter().zip(&reference).map(|(a, b)| (a - b).abs()).sum() };
            let best = (0..25).min_by_key(difference).unwrap() as f32;
            compared += 1;
            off += usize::from((best - fx * 0.05 / z).abs() > 1.2);
        }
    }
    assert!(compared > 60 && off * 10 < compared, "{off} of {compared} wrong");
}

#[test]
fn colour_and_depth_agree_through_the_extrinsics() {
    let mut rig = Rig::new();
    rig.start(0, &[StreamType::Depth]);
    rig.camera.start(1, &[StreamConfig { format: PixelFormat::Rgb8, ..config(StreamType::Color, 30) }]).unwrap();
    let to_color = rig.camera.extrinsics(StreamType::Depth, StreamType::Color).unwrap();
    // The green sphere on the floor, as depth sees it, is green in the colour picture; the red one is red.
    for (centre, channel) in [(scene::V3(-0.42, 0.36, 3.28), 1), (scene::V3(0.3, 0.22, 3.02), 0)] {
        let p = scene::to_camera(centre);
        // The ball passes in front of them at times: take the first frames where it does not.
        let rgb = (0..300).find_map(|_| {
            let (depth, color) = (rig.frame_of(StreamType::Depth), rig.frame_of(StreamType::Color));
            let [x, y] = geometry::project(&depth.intrinsics.unwrap(), [p.0, p.1, p.2]).unwrap().map(f32::round);
            if near_ball(&depth, x as u32, y as u32) {
                return None;
            }
            let z = geometry::depth_at(depth.bytes(), W, H, x as u32, y as u32, 0.001)?;
            let point = geometry::deproject(&depth.intrinsics.unwrap(), [x, y], z);
            let [u, v] = geometry::project(&color.intrinsics.unwrap(), geometry::transform(&to_color, point)).unwrap();
            if near_ball(&color, u as u32, v as u32) {
                return None;
            }
            let at = (v.round() as usize * W as usize + u.round() as usize) * 3;
            Some(color.bytes()[at..at + 3].to_vec())
        });
        let rgb = rgb.expect("a moment without the ball in front");
        assert!((0..3).all(|other| other == channel || rgb[channel] > rgb[other].saturating_add(25)), "{rgb:?}");
    }
}

#[test]
fn colour_options_act() {
    let mut rig = Rig::new();
    rig.start(1, &[StreamType::Color]);
    let usual = brightness(&rig.frame());
    assert!((70.0..170.0).contains(&usual), "{usual}");
    assert!(brightness(&rig.with_option(1, "exposure", 40.0)) < usual * 0.7);
    assert!(brightness(&rig.with_option(1, "gain", 100.0)) > usual * 0.7);
    let reset = brightness(&rig.with_option(1, "enable_auto_exposure", 1.0));
    assert!((reset - usual).abs() < 2.0, "{reset} {usual}");
    assert!(brightness(&rig.with_option(1, "brightness", 40.0)) > usual + 20.0);
    rig.with_option(1, "brightness", 0.0);
    let chroma_spread = |frame: &Frame| {
        let chroma = &frame.bytes()[(W * H) as usize..];
        chroma.iter().map(|v| f64::from(v.abs_diff(128))).sum::<f64>() / chroma.len() as f64
    };
    assert!(chroma_spread(&rig.with_option(1, "saturation", 100.0)) > 4.0);
    assert!(chroma_spread(&rig.with_option(1, "saturation", 0.0)) < 0.1);
    rig.with_option(1, "saturation", 64.0);
    let blue = |frame: &Frame| {
        let at = (W * H) as usize;
        frame.bytes()[at..at + (W * H / 4) as usize].iter().map(|v| f64::from(*v)).sum::<f64>()
    };
    assert!(blue(&rig.with_option(1, "white_balance", 2800.0)) > blue(&rig.with_option(1, "white_balance", 6500.0)));
    let contrast = speckle(&rig.with_option(1, "contrast", 90.0));
    assert!(contrast > speckle(&rig.with_option(1, "contrast", 20.0)) * 2.0);
}

#[test]
fn the_laser_draws_dots_and_depth_needs_them() {
    let mut rig = Rig::new();
    rig.start(0, &[StreamType::Infrared(1)]);
    let dim = speckle(&rig.frame());
    let bright = speckle(&rig.with_option(0, "laser_power", 360.0));
    let off = speckle(&rig.with_option(0, "emitter_enabled", 0.0));
    assert!(off * 1.2 < dim && dim * 1.2 < bright, "{off} {dim} {bright}");
    let usual = brightness(&rig.frame());
    assert!(brightness(&rig.with_option(0, "exposure", 1000.0)) < usual * 0.6);
    rig.camera.stop(0);
    rig.drain();
    rig.camera.set_option(0, "enable_auto_exposure", 1.0).unwrap();
    rig.start(0, &[StreamType::Depth]);
    let blind = holes(&rig.frame());
    let seeing = holes(&rig.with_option(0, "emitter_enabled", 1.0));
    let cautious = holes(&rig.with_option(0, "visual_preset", 3.0));
    assert!(seeing < 0.2 && blind > seeing + 0.2 && cautious > seeing, "{blind} {seeing} {cautious}");
}

#[test]
fn every_format_and_stream_carries_a_readable_strip() {
    let mut rig = Rig::new();
    let now_ms = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u32;
    let check = |frame: &Frame, luma: Vec<u8>| {
        let strip = strip::decode(&luma, W as usize, W as usize).unwrap_or_else(|| panic!("no strip in {frame:?}"));
        assert_eq!((strip.number, strip.stream), (frame.number as u16, strip::stream_code(frame.stream)));
        let age = now_ms().wrapping_sub(strip.time_ms);
        assert!(age < 60_000, "{age} ms old");
        assert_eq!(strip.time_ms, frame.timestamp_ms as u64 as u32);
    };
    for (format, step, offset) in
        [(PixelFormat::I420, 1, 0), (PixelFormat::Rgb8, 3, 0), (PixelFormat::Bgr8, 3, 1), (PixelFormat::Yuyv, 2, 0)]
    {
        rig.camera.start(1, &[StreamConfig { format, ..config(StreamType::Color, 60) }]).unwrap();
        let frame = rig.frame();
        rig.camera.stop(1);
        rig.drain();
        assert!(frame.size_fits() && frame.format == format);
        check(&frame, frame.bytes()[offset..].iter().step_by(step).copied().collect());
    }
    rig.start(0, &[StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)]);
    for _ in 0..3 {
        let frame = rig.frame();
        let luma = match frame.format {
            PixelFormat::Z16 => frame.bytes().chunks_exact(2).map(|p| p[1] << 3).collect(),
            _ => frame.bytes().to_vec(),
        };
        check(&frame, luma);
    }
}

#[test]
fn a_sensors_streams_share_number_and_time_and_keep_pace() {
    let mut rig = Rig::new();
    rig.start(0, &[StreamType::Depth, StreamType::Infrared(1)]);
    rig.frame();
    rig.frame();
    let (from, frames): (Instant, Vec<Frame>) = (Instant::now(), (0..40).map(|_| rig.frame()).collect());
    let took = from.elapsed().as_secs_f64();
    for pair in frames.chunks_exact(2) {
        assert_eq!((pair[0].number, pair[0].timestamp_ms), (pair[1].number, pair[1].timestamp_ms));
        assert_eq!(pair[0].captured_at, pair[1].captured_at);
        assert_ne!(pair[0].stream, pair[1].stream);
    }
    let (first, last) = (&frames[0], &frames[39]);
    let numbers = (last.number - first.number) as f64;
    // Numbers count periods whatever the load; a loaded machine may lose frames but never gets them early.
    let captured = last.captured_at.duration_since(first.captured_at).as_secs_f64();
    assert!((captured * 30.0 - numbers).abs() < 1e-3, "{captured} s for {numbers} frames");
    assert!((last.timestamp_ms - first.timestamp_ms - captured * 1e3).abs() < 5.0);
    assert!(took > 17.0 / 30.0, "{took} s for 20 frames");
}

#[test]
fn motion_samples_come_at_their_rates() {
    let mut rig = Rig::new();
    rig.camera.start(2, &[config(StreamType::Gyro, 200), config(StreamType::Accel, 63)]).unwrap();
    let frames: Vec<_> = (0..150).map(|_| rig.frame()).collect();
    let of = |stream| frames.iter().filter(move |frame| frame.stream == stream);
    let span = |stream| of(stream).next_back().unwrap().number - of(stream).next().unwrap().number;
    let ratio = span(StreamType::Gyro) as f64 / span(StreamType::Accel) as f64;
    assert!((2.6..3.8).contains(&ratio), "{ratio}");
    let accel = of(StreamType::Accel).next().unwrap().motion().unwrap();
    let length = accel.iter().map(|v| v * v).sum::<f32>().sqrt();
    assert!((length - 9.81).abs() < 0.3 && accel[1] < -9.0, "{accel:?}");
}

#[test]
fn nothing_comes_after_stop_and_start_works_again() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.start(0, &[StreamType::Infrared(2)]);
        assert_eq!(rig.camera.start(0, &[config(StreamType::Depth, 30)]).unwrap_err().kind(), Kind::Conflict);
        rig.frame();
        rig.camera.stop(0);
        rig.camera.stop(0);
        rig.drain();
        // A fifth of a second of another sensor's samples: none of the stopped one's frames among them.
        rig.camera.start(2, &[config(StreamType::Gyro, 200)]).unwrap();
        assert!((0..40).all(|_| rig.frame().stream == StreamType::Gyro));
        rig.camera.stop(2);
        rig.drain();
    }
    let big =
        StreamConfig { profile: Profile { width: 641, height: 480, framerate: 30 }, ..config(StreamType::Depth, 30) };
    let error = rig.camera.start(0, &[big]).unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.public().contains("640x480 at 30 fps"), "{error}");
    assert_eq!(rig.camera.start(3, &[big]).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn unplug_replug_and_reset() {
    let mut rig = Rig::new();
    let event = |rig: &Rig| rig.events.recv_timeout(PATIENCE).expect("an event in time");
    rig.camera.set_option(1, "hue", 90.0).unwrap();
    rig.camera.start(2, &[config(StreamType::Gyro, 400)]).unwrap();
    rig.frame();
    rig.inject(SimFault::Unplug);
    assert_eq!(event(&rig), BackendEvent::Removed(rig.id.clone()));
    assert!(rig.backend.devices().is_empty());
    assert!(matches!(rig.camera.sensors().unwrap_err().kind(), Kind::Unavailable { .. }));
    assert!(matches!(rig.camera.hw_reset().unwrap_err().kind(), Kind::Unavailable { .. }));
    let closed = rig.backend.open(&rig.id, Arc::new(|_| ())).err().map(|e| e.kind());
    assert!(matches!(closed, Some(Kind::Unavailable { .. })));

    rig.inject(SimFault::Replug);
    assert_eq!(event(&rig), BackendEvent::Added(rig.id.clone()));
    // What was opened before stays dead; a new camera works, with fresh options, even while the old one lingers.
    assert!(rig.camera.sensors().is_err());
    let (sink, frames) = mpsc::channel();
    let mut again = rig.backend.open(&rig.id, Arc::new(move |frame: Frame| drop(sink.send(frame)))).unwrap();
    assert_eq!(again.option(1, "hue").unwrap().current_value, 0.0);
    assert!(rig.backend.open(&rig.id, Arc::new(|_| ())).is_err(), "open twice");
    again.start(2, &[config(StreamType::Accel, 63)]).unwrap();
    frames.recv_timeout(PATIENCE).unwrap();

    again.hw_reset().unwrap();
    assert_eq!(event(&rig), BackendEvent::Removed(rig.id.clone()));
    drop(again);
    assert_eq!(event(&rig), BackendEvent::Added(rig.id.clone()));
    assert_eq!(rig.backend.devices().len(), 1);
    rig.backend.open(&rig.id, Arc::new(|_| ())).unwrap();
}

#[test]
fn stall_drop_fail_and_garbage_until_cleared() {
    let mut rig = Rig::new();
    rig.inject(SimFault::FailStart);
    let error = rig.camera.start(0, &[config(StreamType::Infrared(1), 90)]).unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    rig.inject(SimFault::Clear);
    rig.camera.start(0, &[config(StreamType::Infrared(1), 90)]).unwrap();
    rig.frame();
    rig.inject(SimFault::GarbageSize);
    let garbage = std::iter::repeat_with(|| rig.frame()).find(|frame| !frame.size_fits()).unwrap();
    rig.inject(SimFault::Stall);
    // At most the frame being drawn still comes; numbers go on meanwhile.
    let still = (0..100).take_while(|_| rig.frames.recv_timeout(Duration::from_millis(200)).is_ok()).count();
    assert!(still < 90, "frames go on in a stall");
    rig.inject(SimFault::Clear);
    let after = rig.frame();
    assert!(after.number > garbage.number + 10 && after.size_fits());
    rig.inject(SimFault::Drop(0.5));
    let frames: Vec<_> = (0..60).map(|_| rig.frame()).collect();
    let share = 60.0 / (frames[59].number - frames[0].number + 1) as f64;
    assert!((0.15..0.75).contains(&share), "{share} of the frames came");
    let bad = rig.backend.inject_fault(&rig.id, SimFault::Drop(f64::NAN)).unwrap_err();
    assert_eq!(bad.kind(), Kind::Invalid);
    let unknown = rig.backend.inject_fault(&DeviceId::new("1"), SimFault::Stall).unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
}

#[test]
fn several_cameras_count_up() {
    let backend = SimBackend::new(3);
    let ids: Vec<_> = backend.devices().into_iter().map(|d| d.device_id.to_string()).collect();
    assert_eq!(ids, ["844212070924", "844212070925", "844212070926"]);
    let cameras: Vec<_> =
        backend.devices().iter().map(|d| backend.open(&d.device_id, Arc::new(|_| ())).unwrap()).collect();
    assert_eq!(cameras.len(), 3);
    assert!(backend.open(&DeviceId::new("nope"), Arc::new(|_| ())).is_err());
}
