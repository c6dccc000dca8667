//! What every camera must do, whatever it is: run against the simulator and against the SDK's software device.

use std::{collections::BTreeSet, time::Duration};

use realsense_webrtc::{
    camera::{BackendEvent, SimFault, StreamConfig},
    core::picture::geometry,
    error::Kind as ErrorKind,
    model::{MetadataKey, PixelFormat, Profile, StreamType, TimestampDomain},
};

use crate::bench::{Bench, Kind, VGA, config};

/// Runs a function of this module against each kind of camera.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod simulator { $( #[test] fn $name() { super::$name(super::Kind::Simulator); } )* }
        mod software_device { $( #[test] fn $name() { super::$name(super::Kind::SoftwareDevice); } )* }
    };
}

suite!(
    it_says_what_it_is,
    sensors_offer_what_a_d435i_has,
    colour_frames_are_whole,
    starting_depth_does_not_interrupt_colour,
    depth_infrared_and_their_reopening,
    depth_is_metric_and_calibrated,
    motion_is_told,
    options_are_read_and_set,
    bad_options_are_refused,
    bad_profiles_are_refused,
    unplugged_and_back,
    a_stall_ends,
    a_failed_start_leaves_nothing_running,
    frames_of_a_wrong_size_do_not_fit,
    a_reset_brings_it_back,
    only_one_may_open_it,
);

fn it_says_what_it_is(kind: Kind) {
    let bench = Bench::new(kind);
    let devices = bench.backend.devices();
    assert_eq!(devices.len(), 1);
    let info = &devices[0];
    assert_eq!(info.serial_number, bench.id.as_str());
    assert!(info.name.contains("D435I"), "{}", info.name);
    assert_eq!(info.sensors, ["Stereo Module", "RGB Camera", "Motion Module"]);
    assert_eq!(info.firmware_version.as_deref(), Some("5.16.0.1"));
    // The SDK recommends a firmware, and the simulator none.
    let status = if kind == Kind::SoftwareDevice { "up_to_date" } else { "unknown" };
    assert_eq!(info.firmware_status.as_deref(), Some(status));
    assert_eq!(info.product_id.as_deref(), Some("0B3A"));
    assert_eq!(info.usb_type.as_deref(), Some("3.2"));
    assert_eq!(bench.backend.sdk_version().is_some(), kind == Kind::SoftwareDevice);
}

fn sensors_offer_what_a_d435i_has(kind: Kind) {
    let mut bench = Bench::new(kind);
    let sensors = bench.sensors();
    let streams = |index: usize| sensors[index].profiles.iter().map(|p| p.stream).collect::<BTreeSet<_>>();
    assert_eq!(streams(0), [StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)].into());
    assert_eq!(streams(1), [StreamType::Color].into());
    assert_eq!(streams(2), [StreamType::Gyro, StreamType::Accel].into());
    for (sensor, stream) in [(0, StreamType::Depth), (0, StreamType::Infrared(2)), (1, StreamType::Color)] {
        let wanted = config(stream);
        let offered = sensors[sensor].profiles.iter();
        assert_eq!(
            offered.filter(|p| p.stream == stream && p.format == wanted.format && p.profile == wanted.profile).count(),
            1
        );
    }
}

fn colour_frames_are_whole(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(1, &[StreamType::Color]);
    let first = bench.frame();
    assert_eq!((first.stream, first.format, (first.width, first.height)), (StreamType::Color, PixelFormat::Yuyv, VGA));
    assert!(first.size_fits());
    let distinct: BTreeSet<_> = first.bytes().iter().collect();
    assert!(distinct.len() > 50, "a picture has more than {} shades", distinct.len());
    let intrinsics = first.intrinsics.expect("a colour frame has intrinsics");
    assert_eq!((intrinsics.width, intrinsics.height), VGA);
    assert!(intrinsics.fx > 400.0 && intrinsics.fx < 800.0, "{intrinsics:?}");
    assert_eq!(first.timestamp_domain, TimestampDomain::GlobalTime);
    let metadata = |key| first.metadata.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
    assert_eq!(metadata(MetadataKey::ACTUAL_EXPOSURE), Some(15_600));
    assert_eq!(metadata(MetadataKey::ACTUAL_FPS), Some(30_000));
    assert!(first.captured_at.elapsed() < Duration::from_secs(1));
    let second = bench.frame();
    assert!(second.number > first.number && second.timestamp_ms > first.timestamp_ms);
    bench.camera().stop(1);
    bench.wait_for_silence(Duration::from_millis(150));
}

fn starting_depth_does_not_interrupt_colour(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(1, &[StreamType::Color]);
    let before = bench.frame().number;
    bench.start(0, &[StreamType::Depth]);
    bench.frame_of(StreamType::Depth);
    bench.start(2, &[StreamType::Gyro, StreamType::Accel]);
    let after = bench.frame_of(StreamType::Color);
    assert!(after.number > before, "colour went on counting");
    bench.camera().stop(0);
    assert!(bench.frame_of(StreamType::Color).number > after.number);
}

fn depth_infrared_and_their_reopening(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(0, &[StreamType::Depth]);
    bench.frame_of(StreamType::Depth);
    bench.camera().stop(0);
    let all = [StreamType::Depth, StreamType::Infrared(1), StreamType::Infrared(2)];
    bench.start(0, &all);
    for stream in all {
        let frame = bench.frame_of(stream);
        assert!(frame.size_fits(), "{frame:?}");
    }
    // A running sensor is not started twice.
    let error = bench.camera().start(0, &[config(StreamType::Depth)]).expect_err("it runs");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    bench.frame_of(StreamType::Depth);
}

fn depth_is_metric_and_calibrated(kind: Kind) {
    let mut bench = Bench::new(kind);
    assert!((bench.camera().depth_units() - 0.001).abs() < 1e-9);
    bench.start(0, &[StreamType::Depth]);
    let frame = bench.frame_of(StreamType::Depth);
    assert!((frame.depth_units - 0.001).abs() < 1e-9);
    let intrinsics = frame.intrinsics.expect("depth has intrinsics");
    assert_eq!(bench.camera().intrinsics(StreamType::Depth, VGA.0, VGA.1), Some(intrinsics));
    let points = geometry::point_cloud(frame.bytes(), &intrinsics, frame.depth_units, 5000);
    let depths: Vec<f32> = points.chunks_exact(3).map(|point| point[2]).collect();
    assert!(depths.len() > 1000, "{} points", depths.len());
    assert!(depths.iter().all(|z| (0.2..10.0).contains(z)), "the room is some metres deep");
    let right = bench.camera().extrinsics(StreamType::Infrared(2), StreamType::Infrared(1)).expect("extrinsics");
    assert!((right.translation[0] - 0.05).abs() < 1e-6, "the baseline is 50 mm: {right:?}");
    let color = bench.camera().extrinsics(StreamType::Depth, StreamType::Color).expect("extrinsics");
    assert!((0.01..0.02).contains(&color.translation[0].abs()), "{color:?}");
}

fn motion_is_told(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(2, &[StreamType::Gyro, StreamType::Accel]);
    let accel = bench.frame_of(StreamType::Accel).motion().expect("three numbers");
    let g = accel.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((9.0..10.6).contains(&g), "gravity: {accel:?}");
    let gyro = bench.frame_of(StreamType::Gyro);
    assert_eq!((gyro.width, gyro.height, gyro.bytes().len()), (0, 0, 12));
    assert!(gyro.motion().expect("three numbers").iter().all(|value| value.abs() < 1.0));
}

fn options_are_read_and_set(kind: Kind) {
    let mut bench = Bench::new(kind);
    let listed = bench.sensors()[0].options.clone();
    let laser = listed.iter().find(|option| option.option_id == "laser_power").expect("a D435I has a laser");
    assert_eq!((laser.min_value, laser.max_value, laser.step), (Some(0.0), Some(360.0), Some(30.0)));
    assert_eq!((laser.default_value, laser.current_value, laser.read_only), (150.0, 150.0, false));
    assert!(laser.description.as_ref().is_some_and(|words| !words.is_empty()));
    bench.camera().set_option(0, "laser_power", 30.0).expect("it is set");
    assert_eq!(bench.camera().option(0, "laser_power").expect("it is read").current_value, 30.0);
    // As in the real thing, exposure by hand turns the automatic off.
    assert_eq!(bench.camera().option(0, "enable_auto_exposure").expect("read").current_value, 1.0);
    bench.camera().set_option(0, "exposure", 4000.0).expect("it is set");
    assert_eq!(bench.camera().option(0, "enable_auto_exposure").expect("read").current_value, 0.0);
    // It acts on the running stream.
    bench.start(1, &[StreamType::Color]);
    let light = |bench: &Bench| {
        let frame = bench.frame_of(StreamType::Color);
        let luma = frame.bytes().iter().step_by(2).map(|byte| u64::from(*byte)).sum::<u64>();
        luma / (u64::from(VGA.0) * u64::from(VGA.1))
    };
    let before = light(&bench);
    bench.camera().set_option(1, "exposure", 10.0).expect("it is set");
    let dark = (0..100).map(|_| light(&bench)).find(|light| *light < before / 2);
    assert!(dark.is_some(), "a short exposure makes the picture dark (from {before})");
}

fn bad_options_are_refused(kind: Kind) {
    let mut bench = Bench::new(kind);
    let camera = bench.camera();
    for (option, value) in
        [("laser_power", 361.0), ("laser_power", f64::NAN), ("depth_units", 0.002), ("asic_temperature", 1.0)]
    {
        let error = camera.set_option(0, option, value).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{option}={value}: {error}");
    }
    assert_eq!(camera.option(0, "laser_power").expect("read").current_value, 150.0);
    for (sensor, option) in [(0, "lazer-power"), (9, "exposure")] {
        assert_eq!(camera.set_option(sensor, option, 1.0).expect_err("refused").kind(), ErrorKind::NotFound);
        assert_eq!(camera.option(sensor, option).expect_err("refused").kind(), ErrorKind::NotFound);
    }
}

fn bad_profiles_are_refused(kind: Kind) {
    let mut bench = Bench::new(kind);
    let odd = StreamConfig { profile: Profile { width: 640, height: 482, framerate: 25 }, ..config(StreamType::Depth) };
    let error = bench.camera().start(0, &[odd]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.public().contains("z16 640x480 at 30 fps"), "{error}");
    let error = bench.camera().start(1, &[config(StreamType::Depth)]).expect_err("refused");
    assert!(error.public().contains("RGB Camera has no stream depth"), "{error}");
    assert!(bench.camera().start(0, &[]).is_err());
    bench.start(0, &[StreamType::Depth]);
    bench.frame_of(StreamType::Depth);
}

fn unplugged_and_back(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(1, &[StreamType::Color]);
    bench.frame_of(StreamType::Color);
    bench.inject(SimFault::Unplug);
    assert_eq!(bench.event(), BackendEvent::Removed(bench.id.clone()));
    assert!(bench.backend.devices().is_empty());
    bench.wait_for_silence(Duration::from_millis(150));
    bench.camera = None;
    let again = bench.backend.open(&bench.id, std::sync::Arc::new(|_| {}));
    assert!(matches!(again.err().map(|error| error.kind()), Some(ErrorKind::Unavailable { .. })));
    bench.inject(SimFault::Replug);
    assert_eq!(bench.event(), BackendEvent::Added(bench.id.clone()));
    assert_eq!(bench.backend.devices().len(), 1);
    bench.open();
    bench.start(1, &[StreamType::Color]);
    bench.frame_of(StreamType::Color);
}

fn a_stall_ends(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(0, &[StreamType::Depth]);
    bench.frame_of(StreamType::Depth);
    bench.inject(SimFault::Stall);
    bench.wait_for_silence(Duration::from_millis(150));
    // Restarting the sensor, as the server does, is possible while it is silent.
    bench.camera().stop(0);
    bench.start(0, &[StreamType::Depth]);
    bench.inject(SimFault::Clear);
    bench.frame_of(StreamType::Depth);
}

fn a_failed_start_leaves_nothing_running(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.inject(SimFault::FailStart);
    let error = bench.camera().start(0, &[config(StreamType::Depth)]).expect_err("it fails");
    assert!(matches!(error.kind(), ErrorKind::Unavailable { .. }), "{error}");
    bench.inject(SimFault::Clear);
    bench.start(0, &[StreamType::Depth]);
    bench.frame_of(StreamType::Depth);
}

fn frames_of_a_wrong_size_do_not_fit(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.start(0, &[StreamType::Depth]);
    assert!(bench.frame_of(StreamType::Depth).size_fits());
    bench.inject(SimFault::GarbageSize);
    let wrong = (0..100).map(|_| bench.frame_of(StreamType::Depth)).find(|frame| !frame.size_fits());
    let wrong = wrong.expect("a frame of a wrong size");
    // Reading all of it is sound, however short it is.
    assert!(wrong.bytes().iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
    bench.inject(SimFault::Clear);
    assert!((0..100).any(|_| bench.frame_of(StreamType::Depth).size_fits()));
}

fn a_reset_brings_it_back(kind: Kind) {
    let mut bench = Bench::new(kind);
    bench.camera().hw_reset().expect("it is given");
    assert_eq!(bench.event(), BackendEvent::Removed(bench.id.clone()));
    bench.camera = None;
    assert_eq!(bench.event(), BackendEvent::Added(bench.id.clone()));
    bench.open();
    bench.start(1, &[StreamType::Color]);
    bench.frame_of(StreamType::Color);
}

fn only_one_may_open_it(kind: Kind) {
    let mut bench = Bench::new(kind);
    let second = bench.backend.open(&bench.id, std::sync::Arc::new(|_| {}));
    assert!(matches!(second.err().map(|error| error.kind()), Some(ErrorKind::Unavailable { .. })));
    bench.start(1, &[StreamType::Color]);
    bench.frame_of(StreamType::Color);
}
