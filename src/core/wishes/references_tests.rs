//! The streams table under scripted sequences; time is a number here, nothing sleeps.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::references::{Applied, Effect, Holder, Streams, Timing};
use crate::{
    error::{Error, Kind},
    model::{DeviceId, PixelFormat, Profile, SessionId, StreamConfig, StreamKey, StreamType},
};

pub(super) const TIMING: Timing = Timing { linger: Duration::from_secs(3), start_timeout: Duration::from_secs(15) };

pub(super) fn config(stream: StreamType) -> StreamConfig {
    StreamConfig { stream, format: PixelFormat::Y8, profile: Profile { width: 640, height: 480, framerate: 30 } }
}

pub(super) fn sensor(stream: StreamType) -> usize {
    usize::from(stream == StreamType::Color)
}

pub(super) fn viewer(n: u32) -> Holder {
    Holder::Session(SessionId::new(n.to_string()))
}

pub(super) struct Bench {
    pub(super) streams: Streams,
    pub(super) device: DeviceId,
    pub(super) now: Instant,
    pub(super) log: Vec<String>,
    pub(super) wanted: BTreeSet<StreamType>,
    pub(super) asked: Vec<StreamConfig>,
    pub(super) generation: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        let device = DeviceId::new("844212070924");
        let mut streams = Streams::new(TIMING);
        streams.device_present(&device);
        let (wanted, asked) = (BTreeSet::new(), Vec::new());
        Self { streams, device, now: Instant::now(), log: Vec::new(), wanted, asked, generation: 0 }
    }

    pub(super) fn key(&self, stream: StreamType) -> StreamKey {
        StreamKey::new(self.device.clone(), stream)
    }

    pub(super) fn acquire(&mut self, who: Holder, stream: StreamType) -> Result<(), Error> {
        let key = self.key(stream);
        let result = self.streams.acquire(self.now, &key, who, sensor(stream), config(stream));
        self.drain();
        result
    }

    pub(super) fn release(&mut self, who: &Holder) {
        self.streams.release(self.now, &self.device, who);
        self.drain();
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.streams.handle_timeout(self.now);
        self.drain();
    }

    /// The camera does what it was last told.
    pub(super) fn obey(&mut self) {
        let running = self.asked.iter().copied().filter(|config| self.wanted.contains(&config.stream)).collect();
        let applied = Applied { running, failed: vec![] };
        self.streams.applied(self.now, &self.device, self.generation, applied);
        self.drain();
    }

    pub(super) fn fail(&mut self, stream: StreamType) {
        let failed = vec![(stream, Error::unavailable("no power"))];
        self.streams.applied(self.now, &self.device, self.generation, Applied { running: vec![], failed });
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        for effect in self.streams.take_effects() {
            self.log.push(match effect {
                Effect::Apply { generation, wanted, .. } => {
                    self.generation = generation;
                    self.wanted = wanted.iter().map(|(_, config)| config.stream).collect();
                    self.asked = wanted.into_iter().map(|(_, config)| config).collect();
                    let names: Vec<_> = self.wanted.iter().map(ToString::to_string).collect();
                    format!("apply {}", names.join("+"))
                }
                Effect::Running { key, restarted: true, .. } => format!("restarted {}", key.stream),
                Effect::Running { key, .. } => format!("running {}", key.stream),
                Effect::RestartRefused { key, by, .. } => format!("{} not restarted for {by:?}", key.stream),
                Effect::Failed { key, holders, .. } => format!("failed {} of {}", key.stream, holders.len()),
                Effect::Interrupted { key, .. } => format!("interrupted {}", key.stream),
                Effect::Stopped { key } => format!("stopped {}", key.stream),
            });
        }
    }

    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(super) fn count(&self, stream: StreamType) -> usize {
        self.streams.references().get(&self.device).and_then(|counts| counts.get(&stream)).copied().unwrap_or(0)
    }
}

#[test]
fn streams_start_with_the_first_viewer_and_stop_after_the_last() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    assert_eq!(bench.said(), ["apply color", "running color"]);
    bench.acquire(viewer(2), StreamType::Depth).unwrap();
    bench.obey();
    bench.acquire(viewer(3), StreamType::Infrared(1)).unwrap();
    bench.obey();
    assert_eq!(
        bench.said(),
        ["apply color+depth", "running depth", "apply color+depth+infrared-1", "running infrared-1"]
    );
    bench.release(&viewer(1));
    bench.pass(2);
    assert!(bench.said().is_empty(), "the stream lingers");
    bench.pass(1);
    assert_eq!(bench.said(), ["stopped color", "apply depth+infrared-1"]);
    bench.release(&viewer(2));
    bench.release(&viewer(3));
    assert!(bench.streams.is_stopping(&bench.device));
    bench.pass(3);
    assert_eq!(bench.said(), ["stopped depth", "stopped infrared-1", "apply "]);
    assert_eq!(bench.streams.next_timeout(), None);
}

#[test]
fn a_page_reload_within_the_linger_does_not_touch_the_camera() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.said();
    bench.release(&viewer(1));
    bench.pass(2);
    bench.acquire(viewer(2), StreamType::Color).unwrap();
    bench.pass(60);
    assert!(bench.said().is_empty());
    assert!(bench.streams.is_running(&bench.key(StreamType::Color)));
}

#[test]
fn a_double_release_takes_nothing_from_another_viewer() {
    let mut bench = Bench::new();
    for n in 1..=2 {
        bench.acquire(viewer(n), StreamType::Color).unwrap();
    }
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    assert_eq!(bench.count(StreamType::Color), 2);
    bench.release(&viewer(1));
    bench.release(&viewer(1));
    assert_eq!(bench.count(StreamType::Color), 1);
}

#[test]
fn an_explicit_stop_leaves_the_viewers_their_stream() {
    let mut bench = Bench::new();
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.release(&Holder::Explicit);
    bench.pass(60);
    assert!(bench.streams.is_running(&bench.key(StreamType::Color)));
}

#[test]
fn a_failed_start_lets_go_of_every_waiter_and_of_nothing_else() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.acquire(viewer(2), StreamType::Depth).unwrap();
    bench.said();
    bench.fail(StreamType::Depth);
    assert_eq!(bench.said(), ["failed depth of 2", "stopped depth", "apply color"]);
    assert_eq!((bench.count(StreamType::Color), bench.count(StreamType::Depth)), (1, 0));
}

#[test]
fn a_start_that_takes_too_long_fails() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.pass(14);
    bench.said();
    bench.pass(1);
    assert_eq!(bench.said(), ["failed color of 1", "stopped color", "apply "]);
}

#[test]
fn a_stale_failure_is_not_believed() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    let stale = bench.generation;
    bench.acquire(viewer(2), StreamType::Depth).unwrap();
    let failed = vec![(StreamType::Depth, Error::unavailable("x"))];
    let running = vec![config(StreamType::Color)];
    bench.streams.applied(bench.now, &bench.device.clone(), stale, Applied { running, failed });
    bench.drain();
    assert!(bench.streams.is_running(&bench.key(StreamType::Color)));
    assert_eq!(bench.count(StreamType::Depth), 1);
}

#[test]
fn what_ran_before_a_stop_does_not_count_as_the_next_start() {
    let mut bench = Bench::new();
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    let first = bench.generation;
    bench.release(&Holder::Explicit);
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    let running = |generation| (generation, Applied { running: vec![config(StreamType::Color)], failed: vec![] });
    for (generation, applied) in [running(first), (first + 1, Applied::default())] {
        bench.streams.applied(bench.now, &bench.device.clone(), generation, applied);
        bench.drain();
        assert!(!bench.streams.is_running(&bench.key(StreamType::Color)), "the camera is about to stop it");
    }
    let (generation, applied) = running(first + 2);
    bench.streams.applied(bench.now, &bench.device.clone(), generation, applied);
    bench.drain();
    assert_eq!(bench.said(), ["apply color", "stopped color", "apply ", "apply color", "running color"]);
}

#[test]
fn what_runs_at_another_size_is_not_what_was_asked_for() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.said();
    let other = Profile { width: 320, height: 240, framerate: 30 };
    let running = vec![StreamConfig { profile: other, ..config(StreamType::Color) }];
    bench.streams.applied(bench.now, &bench.device, bench.generation, Applied { running, failed: vec![] });
    bench.drain();
    assert_eq!(bench.said(), Vec::<String>::new(), "it is awaited still");
    bench.obey();
    assert_eq!(bench.said(), ["running color"]);
}

#[test]
fn a_device_that_is_known_no_more_leaves_nothing_unless_it_is_wanted() {
    let mut bench = Bench::new();
    let device = bench.device.clone();
    bench.streams.forget(&device);
    assert_eq!(bench.streams.known(), 1, "it is there");
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.streams.device_gone(&device);
    bench.streams.forget(&device);
    assert_eq!(bench.streams.known(), 1, "somebody waits for it to come back");
    bench.release(&viewer(1));
    bench.streams.forget(&device);
    assert_eq!(bench.streams.known(), 0);
}

#[test]
fn what_breaks_before_a_stop_does_not_fail_the_next_start() {
    let mut bench = Bench::new();
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    bench.obey();
    let first = bench.generation;
    bench.said();
    // It stalls; while the camera is busy stopping it, somebody stops and starts it, and only then the stall is told.
    bench.release(&Holder::Explicit);
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    let key = bench.key(StreamType::Color);
    bench.streams.broke(bench.now, &key, first, &Error::unavailable("stalled"));
    bench.drain();
    bench.obey();
    assert!(bench.streams.is_running(&key));
    assert!(!bench.said().iter().any(|said| said.starts_with("failed") || said.starts_with("interrupted")));
}

#[test]
fn a_device_that_fails_while_it_is_open_interrupts_as_if_it_had_gone() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.said();
    let device = bench.device.clone();
    bench.streams.device_failed(&device, &Error::unavailable("a driver's fault"));
    bench.drain();
    assert_eq!(bench.said(), ["interrupted color"]);
    bench.streams.device_present(&device);
    bench.drain();
    bench.obey();
    assert_eq!(bench.said(), ["apply color", "running color"]);
}

#[test]
fn unplugging_interrupts_and_replugging_resumes() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.said();
    let device = bench.device.clone();
    bench.streams.device_gone(&device);
    bench.drain();
    assert_eq!(bench.said(), ["interrupted color", "failed depth of 1", "stopped depth"]);
    let error = bench.acquire(viewer(2), StreamType::Color).unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    assert_eq!(bench.count(StreamType::Color), 1, "a refusal changes nothing");
    bench.streams.device_present(&device);
    bench.drain();
    bench.obey();
    assert_eq!(bench.said(), ["apply color", "running color"]);
}

#[test]
fn a_broken_stream_is_retried_with_growing_pauses() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.obey();
    bench.said();
    let key = bench.key(StreamType::Color);
    bench.streams.broke(bench.now, &key, bench.generation, &Error::unavailable("stalled"));
    bench.drain();
    assert_eq!(bench.said(), ["interrupted color"]);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let at = bench.streams.next_timeout().unwrap();
        pauses.push(at - bench.now);
        bench.now = at;
        bench.streams.handle_timeout(at);
        bench.drain();
        assert_eq!(bench.said(), ["apply color"]);
        bench.fail(StreamType::Color);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert_eq!((pauses[0], pauses[6]), (Duration::from_millis(500), Duration::from_secs(30)));
    bench.release(&viewer(1));
    assert_eq!(bench.said(), ["stopped color", "apply "], "nobody waits for it any more");
}

#[test]
fn a_recording_holds_its_streams_and_lets_go_at_once() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.acquire(Holder::Metadata, StreamType::Gyro).unwrap();
    bench.obey();
    bench.said();
    for stream in [StreamType::Color, StreamType::Gyro] {
        bench.acquire(Holder::Recording, stream).unwrap();
    }
    assert!(bench.said().is_empty(), "what runs is not touched");
    assert_eq!((bench.count(StreamType::Color), bench.count(StreamType::Gyro)), (2, 1));
    let gyro = bench.key(StreamType::Gyro);
    assert!(bench.streams.is_companion(&gyro), "motion beside video stays so while it is recorded");
    bench.release(&viewer(1));
    bench.pass(60);
    assert!(bench.said().is_empty(), "it needs no viewer");
    bench.release(&Holder::Recording);
    assert_eq!(bench.said(), ["stopped color", "apply gyro"]);
    bench.acquire(Holder::Explicit, StreamType::Gyro).unwrap();
    assert!(!bench.streams.is_companion(&gyro), "an explicit start is somebody's wish");
}

/// Two streams of one sensor, at a size of one's own.
pub(super) fn stereo(stream: StreamType, width: u32) -> StreamConfig {
    StreamConfig { stream, format: PixelFormat::Y8, profile: Profile { width, height: 480, framerate: 30 } }
}

#[test]
fn what_only_lingers_yields_to_who_wants_something_else() {
    let mut bench = Bench::new();
    let (depth, left) = (bench.key(StreamType::Depth), bench.key(StreamType::Infrared(1)));
    for (who, stream) in [(1, StreamType::Depth), (1, StreamType::Infrared(1)), (2, StreamType::Color)] {
        bench.acquire(viewer(who), stream).unwrap();
    }
    bench.obey();
    bench.said();
    bench.release(&viewer(1));
    assert!(bench.streams.lingers(&depth) && bench.streams.held_config(&depth).is_none());
    assert_eq!(bench.streams.config(&depth), Some(config(StreamType::Depth)), "it runs all the same");
    assert_eq!(bench.streams.held_sensor_config(&bench.device, 0), None);
    assert!(bench.streams.sensor_config(&bench.device, 0).is_some());
    // The same as it runs: nothing is touched.
    bench.acquire(viewer(3), StreamType::Depth).unwrap();
    bench.release(&viewer(3));
    assert!(bench.said().is_empty());
    // Something else: the stream and its sibling on the sensor give way at once, colour goes on.
    let wide = stereo(StreamType::Depth, 848);
    bench.streams.acquire(bench.now, &depth, Holder::Explicit, 0, wide).unwrap();
    bench.drain();
    assert_eq!(bench.said(), ["stopped depth", "stopped infrared-1", "apply color+depth"]);
    assert_eq!(bench.streams.config(&depth), Some(wide));
    assert_eq!(bench.streams.config(&left), None);
    // What runs is told by an answer that is older than the wish; it is not what is wanted now.
    let running = vec![config(StreamType::Depth)];
    bench.streams.applied(bench.now, &bench.device.clone(), bench.generation - 1, Applied { running, failed: vec![] });
    assert!(!bench.streams.is_running(&depth));
    let running = vec![wide, config(StreamType::Color)];
    bench.streams.applied(bench.now, &bench.device.clone(), bench.generation, Applied { running, failed: vec![] });
    assert!(bench.streams.is_running(&depth));
}

#[test]
fn what_somebody_holds_yields_to_nobody() {
    let mut bench = Bench::new();
    let depth = bench.key(StreamType::Depth);
    bench.acquire(viewer(1), StreamType::Depth).unwrap();
    bench.obey();
    bench.said();
    assert_eq!(bench.streams.held_config(&depth), Some(config(StreamType::Depth)));
    bench.streams.acquire(bench.now, &depth, viewer(2), 0, stereo(StreamType::Depth, 848)).unwrap();
    bench.streams.stop_lingering(&bench.device.clone(), None);
    bench.drain();
    assert!(bench.said().is_empty());
    assert_eq!(bench.streams.config(&depth), Some(config(StreamType::Depth)));
}

#[test]
fn what_only_lingers_ends_with_a_stop() {
    let mut bench = Bench::new();
    bench.acquire(viewer(1), StreamType::Color).unwrap();
    bench.acquire(viewer(2), StreamType::Depth).unwrap();
    bench.obey();
    bench.release(&viewer(1));
    bench.said();
    bench.streams.stop_lingering(&bench.device.clone(), Some(0));
    bench.drain();
    assert!(bench.said().is_empty(), "colour is the other sensor's");
    bench.streams.stop_lingering(&bench.device.clone(), Some(1));
    bench.drain();
    assert_eq!(bench.said(), ["stopped color", "apply depth"]);
    bench.pass(60);
    assert!(bench.said().is_empty());
}

#[test]
fn a_start_that_is_taken_back_takes_nothing_from_another() {
    let mut bench = Bench::new();
    bench.acquire(Holder::Start(1), StreamType::Color).unwrap();
    bench.acquire(Holder::Start(2), StreamType::Color).unwrap();
    assert_eq!(bench.count(StreamType::Color), 1, "one stop would end both");
    bench.obey();
    bench.said();
    bench.release(&Holder::Start(1));
    assert!(bench.said().is_empty());
    // The second is answered: it is the device's explicit start from now on.
    bench.acquire(Holder::Explicit, StreamType::Color).unwrap();
    bench.release(&Holder::Start(2));
    assert!(bench.said().is_empty());
    assert_eq!(bench.count(StreamType::Color), 1);
    bench.release(&Holder::Explicit);
    assert_eq!(bench.said(), ["stopped color", "apply "]);
    bench.acquire(Holder::Start(3), StreamType::Color).unwrap();
    bench.obey();
    bench.said();
    bench.release(&Holder::Start(3));
    assert_eq!(bench.said(), ["stopped color", "apply "], "with nobody else it does not even linger");
}
