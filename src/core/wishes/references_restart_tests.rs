//! Streams that run and are to run otherwise, while others hold them.

use super::{
    references::{Applied, Holder},
    references_tests::{Bench, stereo, viewer},
};
use crate::{
    error::Error,
    model::{StreamConfig, StreamType},
};

const BY: Holder = Holder::Start(7);

/// Depth and the left infrared run for a viewer each, at 640 pixels.
fn watched() -> Bench {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.acquire(viewer(2), StreamType::Infrared(1)).unwrap();
    bench.obey();
    bench.said();
    bench
}

fn restart(bench: &mut Bench, width: u32) {
    let configs = [StreamType::Depth, StreamType::Infrared(1)].map(|stream| stereo(stream, width));
    bench.streams.restart(bench.now, &bench.device.clone(), &configs, &BY);
    bench.drain();
}

fn refuse(bench: &mut Bench) {
    let failed = [StreamType::Depth, StreamType::Infrared(1)].map(|stream| (stream, Error::unavailable("no")));
    let applied = Applied { running: vec![], failed: failed.to_vec() };
    bench.streams.applied(bench.now, &bench.device.clone(), bench.generation, applied);
    bench.drain();
}

fn runs(bench: &Bench, stream: StreamType) -> Option<StreamConfig> {
    let running = bench.streams.running(&bench.device);
    running.into_iter().map(|(_, config, _)| config).find(|config| config.stream == stream)
}

#[test]
fn a_restart_is_one_request_to_the_camera_and_takes_nobodys_reference() {
    let mut bench = watched();
    restart(&mut bench, 848);
    assert_eq!(bench.said(), ["apply depth+infrared-1"]);
    assert_eq!(runs(&bench, StreamType::Depth), None);
    assert!(bench.streams.has_video(&bench.device), "motion beside it goes on");
    bench.obey();
    assert_eq!(bench.said(), ["restarted depth", "restarted infrared-1"]);
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 848)));
    assert_eq!((bench.count(StreamType::Depth), bench.count(StreamType::Infrared(1))), (1, 1));
    // As it runs already: nothing happens.
    restart(&mut bench, 848);
    assert!(bench.said().is_empty());
}

#[test]
fn a_camera_that_refuses_goes_back_to_what_it_did() {
    let mut bench = watched();
    restart(&mut bench, 848);
    bench.said();
    refuse(&mut bench);
    assert_eq!(
        bench.said(),
        ["depth not restarted for Start(7)", "infrared-1 not restarted for Start(7)", "apply depth+infrared-1"]
    );
    assert_eq!((bench.count(StreamType::Depth), bench.count(StreamType::Infrared(1))), (1, 1));
    bench.obey();
    assert_eq!(bench.said(), ["running depth", "running infrared-1"]);
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 640)));
}

#[test]
fn a_second_restart_goes_back_to_what_ran() {
    let mut bench = watched();
    restart(&mut bench, 848);
    restart(&mut bench, 1280);
    refuse(&mut bench);
    bench.obey();
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 640)));
}

#[test]
fn a_restart_that_takes_too_long_is_taken_back() {
    let mut bench = watched();
    restart(&mut bench, 848);
    bench.said();
    bench.pass(14);
    assert!(bench.said().is_empty());
    bench.pass(1);
    let said = bench.said();
    assert_eq!(said.first().map(String::as_str), Some("depth not restarted for Start(7)"));
    bench.obey();
    assert_eq!(runs(&bench, StreamType::Infrared(1)), Some(stereo(StreamType::Infrared(1), 640)));
}

#[test]
fn a_device_that_goes_while_it_restarts_comes_back_as_it_was() {
    let mut bench = watched();
    restart(&mut bench, 848);
    bench.said();
    bench.streams.device_gone(&bench.device.clone());
    bench.drain();
    assert_eq!(bench.said(), ["depth not restarted for Start(7)", "infrared-1 not restarted for Start(7)"]);
    assert!(bench.streams.trouble(&bench.key(StreamType::Depth)).is_some());
    bench.streams.device_present(&bench.device.clone());
    bench.drain();
    bench.obey();
    assert_eq!(bench.said(), ["apply depth+infrared-1", "running depth", "running infrared-1"]);
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 640)));
    assert!(bench.streams.trouble(&bench.key(StreamType::Depth)).is_none());
}

#[test]
fn what_never_ran_fails_however_it_was_asked_for() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.streams.restart(bench.now, &bench.device.clone(), &[stereo(StreamType::Depth, 848)], &BY);
    bench.drain();
    bench.said();
    bench.fail(StreamType::Depth);
    assert_eq!(bench.said(), ["failed depth of 1", "stopped depth", "apply "]);
}

#[test]
fn the_device_and_its_sensor_hold_a_reference_each() {
    let mut bench = Bench::new();
    bench.acquire(Holder::Explicit, StreamType::Depth).unwrap();
    bench.obey();
    bench.acquire(Holder::Start(1), StreamType::Depth).unwrap();
    assert_eq!(bench.count(StreamType::Depth), 1, "it is not answered yet");
    bench.acquire(Holder::Sensor, StreamType::Depth).unwrap();
    bench.release(&Holder::Start(1));
    assert_eq!(bench.count(StreamType::Depth), 2);
    bench.release(&Holder::Explicit);
    assert_eq!(bench.count(StreamType::Depth), 1);
    assert!(bench.streams.is_held_without_viewers(&bench.key(StreamType::Depth)));
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.release(&Holder::Sensor);
    assert!(!bench.streams.is_held_without_viewers(&bench.key(StreamType::Depth)));
    assert_eq!(bench.streams.viewers(&bench.device).get(&StreamType::Depth), Some(&1));
}

#[test]
fn a_restart_that_is_taken_back_leaves_what_ran() {
    let mut bench = watched();
    restart(&mut bench, 848);
    bench.said();
    bench.streams.undo_restarts(&bench.device.clone(), &Holder::Start(8));
    bench.drain();
    assert!(bench.said().is_empty(), "it is somebody else's");
    let stale = bench.generation;
    bench.streams.undo_restarts(&bench.device.clone(), &BY);
    bench.drain();
    assert_eq!(bench.said(), ["apply depth+infrared-1"]);
    // What the camera says of the older wish counts no more.
    let running = vec![stereo(StreamType::Depth, 848)];
    bench.streams.applied(bench.now, &bench.device.clone(), stale, Applied { running, failed: vec![] });
    assert_eq!(runs(&bench, StreamType::Depth), None);
    bench.obey();
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 640)));
    // One that runs already is nobody's to take back.
    restart(&mut bench, 848);
    bench.obey();
    bench.streams.undo_restarts(&bench.device.clone(), &BY);
    assert_eq!(runs(&bench, StreamType::Depth), Some(stereo(StreamType::Depth, 848)));
}
