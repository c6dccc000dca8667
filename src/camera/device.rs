//! One device's thread: the only caller of the backend for that device. Opens it, carries out commands in order, watches
//! for streams that stop delivering, and closes it when its queue is dropped. `control` has what is not streams: playback,
//! presets, calibration, recording; `options` tells which options changed.

mod control;
mod options;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::{
    Backend, Camera, Frame, FrameSink, StreamConfig,
    events::{DeviceNews, Reporter},
    hub::FrameHub,
    processing::{Processing, SharedSettings},
    recording::{Recordings, Tap},
};
use crate::{
    core::wishes::{
        option_changes::OptionChanges,
        recording::EndReason,
        references::Applied,
        sensor_steps::{self, BySensor, Step},
    },
    error::{Error, Result},
    metrics::DeviceMetrics,
    model::{DeviceId, DeviceInfo, OptionInfo, SensorInfo, StreamKey, StreamType},
    sync::{Mutex, lock},
};
pub(super) use control::Control;

/// Between attempts to open a device that is there but busy.
const REOPEN: Duration = Duration::from_secs(2);
/// How often running streams are looked at for a stall.
const WATCH: Duration = Duration::from_millis(250);

type Reply<T> = oneshot::Sender<Result<T>>;

/// The newest apply that was not carried out yet: generation and streams by sensor.
pub(super) type Wanted = Mutex<Option<(u64, Vec<(usize, StreamConfig)>)>>;

/// What a device thread can be told.
pub(super) enum DeviceCommand {
    /// Something lies in [`Wanted`].
    Apply,
    Sensors(Reply<Vec<SensorInfo>>),
    Option {
        sensor: usize,
        option: String,
        reply: Reply<OptionInfo>,
    },
    SetOption {
        sensor: usize,
        option: String,
        value: f64,
        /// Gets the option as it is then.
        reply: Reply<OptionInfo>,
    },
    HwReset(Reply<()>),
    /// Somebody begins to listen to changes of options.
    Watch,
    /// Playback, presets, calibration, recording.
    Control(Control),
}

/// What a device thread is made of.
pub(super) struct DeviceThread {
    pub(super) device: DeviceId,
    pub(super) info: DeviceInfo,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) hub: Arc<FrameHub>,
    /// Tells what becomes of it, until it goes.
    pub(super) reporter: Arc<Reporter>,
    pub(super) streaming: Arc<AtomicBool>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) stall: Duration,
    /// Where its frames pass on their way to the viewers.
    pub(super) tap: Arc<Tap>,
    pub(super) recordings: Arc<Recordings>,
    pub(super) depth_settings: SharedSettings,
    pub(super) metrics: Arc<DeviceMetrics>,
    /// Whether somebody wants to hear which options change.
    pub(super) watched: Arc<AtomicBool>,
}

struct Open<'a> {
    thread: &'a DeviceThread,
    camera: Box<dyn Camera>,
    // After the camera, so that its last frames still find it.
    processing: Processing,
    clock: Arc<FrameClock>,
    running: BySensor,
    /// The apply that made it so.
    generation: u64,
    options: OptionChanges,
}

/// When each stream last delivered, in milliseconds since the device was opened.
struct FrameClock {
    opened: Instant,
    last_ms: [AtomicU64; StreamType::ALL.len()],
    wrong_size: AtomicU64,
}

impl FrameClock {
    fn new() -> Self {
        Self { opened: Instant::now(), last_ms: Default::default(), wrong_size: AtomicU64::new(0) }
    }

    fn slot(&self, stream: StreamType) -> &AtomicU64 {
        &self.last_ms[stream.index()]
    }

    fn touch(&self, stream: StreamType) {
        self.slot(stream)
            .store(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silence(&self, stream: StreamType) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.slot(stream).load(Ordering::Relaxed)))
    }
}

impl DeviceThread {
    /// Runs until the queue's sender is dropped.
    pub(super) fn run(self, inbox: &Receiver<DeviceCommand>) {
        debug!(device = %self.device, "camera thread starts");
        for attempt in 1_u32.. {
            let ended = catch_unwind(AssertUnwindSafe(|| self.live(inbox, attempt)));
            self.streaming.store(false, Ordering::Relaxed);
            // Of a device that came back meanwhile another thread tells.
            self.reporter.while_alive(|| self.metrics.up.set(0));
            match ended {
                Ok(Ended::Closed) => break,
                Ok(Ended::Retry(error)) => {
                    if !self.refuse_for(inbox, REOPEN, &error) {
                        break;
                    }
                }
                Err(_) => {
                    let error =
                        Error::unavailable(format!("Device {} failed inside its driver and is reopened.", self.device));
                    // The tap is the device's: after a replug it may be another thread's recording.
                    self.reporter.while_alive(|| self.tap.end(EndReason::DeviceGone));
                    self.reporter.tell(DeviceNews::OpenFailed(error.clone()));
                    if !self.refuse_for(inbox, REOPEN, &error) {
                        break;
                    }
                }
            }
        }
        debug!(device = %self.device, "camera thread ends");
    }

    fn live(&self, inbox: &Receiver<DeviceCommand>, attempt: u32) -> Ended {
        // It may have gone, and come back, before this thread ran: then its place is another thread's.
        if !self.reporter.is_alive() {
            return Ended::Closed;
        }
        let clock = Arc::new(FrameClock::new());
        let mut processing = Processing::new(self.device.clone(), self.depth_settings.clone(), self.publisher());
        let opened = self.backend.open(&self.device, self.sink(&clock, processing.input())).and_then(|mut camera| {
            let mut sensors = camera.sensors()?;
            processing.describe(&mut sensors);
            processing.follow(&mut *camera, &BySensor::new());
            Ok((camera, sensors))
        });
        let (camera, sensors) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // At powers of two only: a camera that stays busy must not fill the log.
                if attempt.is_power_of_two() {
                    let error = error.for_log();
                    warn!(device = %self.device, error, attempt, "cannot open the camera; trying every {REOPEN:?}");
                }
                self.reporter.tell(DeviceNews::OpenFailed(error.clone()));
                return Ended::Retry(error);
            }
        };
        self.reporter.while_alive(|| self.metrics.up.set(1));
        self.reporter.tell(DeviceNews::Present { info: Box::new(self.info.clone()), sensors });
        let (running, options) = (BySensor::new(), OptionChanges::default());
        let mut open = Open { thread: self, camera, processing, clock, running, generation: 0, options };
        open.serve(inbox);
        open.apply(&[]);
        Ended::Closed
    }

    fn take_wanted(&self) -> Option<(u64, Vec<(usize, StreamConfig)>)> {
        lock(&self.wanted).take()
    }

    /// Where frames go in the end.
    fn publisher(&self) -> FrameSink {
        let (hub, device, reporter) = (self.hub.clone(), self.device.clone(), self.reporter.clone());
        Arc::new(move |frame: Frame| {
            if reporter.is_alive() {
                hub.publish(&device, frame);
            }
        })
    }

    /// Where the camera delivers its frames; those that are whole go on to `next`.
    fn sink(&self, clock: &Arc<FrameClock>, next: FrameSink) -> FrameSink {
        let (device, clock) = (self.device.clone(), clock.clone());
        let (reporter, tap, metrics) = (self.reporter.clone(), self.tap.clone(), self.metrics.clone());
        Arc::new(move |frame: Frame| {
            if !reporter.is_alive() {
                return;
            }
            if frame.stream.is_video() && !frame.size_fits() {
                metrics.stream(frame.stream).unusable.inc();
                let count = clock.wrong_size.fetch_add(1, Ordering::Relaxed) + 1;
                // At powers of two only: a broken camera must not fill the log.
                if count.is_power_of_two() {
                    warn!(%device, stream = %frame.stream, bytes = frame.bytes().len(), count, "dropped a frame of the wrong size");
                }
                return;
            }
            clock.touch(frame.stream);
            metrics.stream(frame.stream).received.inc();
            // First of all: a recording holds what the camera delivered, whatever is made of it for the viewers.
            tap.offer(&frame);
            next(frame);
        })
    }

    /// Answers commands with an error for a while. False when the queue was dropped.
    fn refuse_for(&self, inbox: &Receiver<DeviceCommand>, time: Duration, error: &Error) -> bool {
        let until = Instant::now() + time;
        loop {
            match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(command) => self.refuse(command, error),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn refuse(&self, command: DeviceCommand, error: &Error) {
        if let Some((generation, wanted)) = self.take_wanted() {
            let failed = wanted.iter().map(|(_, config)| (config.stream, error.clone())).collect();
            let applied = Applied { running: Vec::new(), failed };
            self.reporter.tell(DeviceNews::Applied { generation, applied });
        }
        // A requester that went away needs no answer.
        match command {
            DeviceCommand::Apply | DeviceCommand::Watch => {}
            DeviceCommand::Sensors(reply) => drop(reply.send(Err(error.clone()))),
            DeviceCommand::Option { reply, .. } => drop(reply.send(Err(error.clone()))),
            DeviceCommand::SetOption { reply, .. } => drop(reply.send(Err(error.clone()))),
            DeviceCommand::HwReset(reply) => drop(reply.send(Err(error.clone()))),
            DeviceCommand::Control(control) => control.refuse(error.clone()),
        }
    }
}

enum Ended {
    Closed,
    Retry(Error),
}

impl Open<'_> {
    fn serve(&mut self, inbox: &Receiver<DeviceCommand>) {
        loop {
            let first = if self.running.is_empty() && !self.is_watched() {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(WATCH)
            };
            match first {
                Ok(command) => {
                    // Requests that came while the device was busy are taken together, so that several viewers who join
                    // at once cost one reopening of the sensor.
                    for command in std::iter::once(command).chain(std::iter::from_fn(|| inbox.try_recv().ok())) {
                        self.carry_out(command);
                    }
                    if let Some((generation, wanted)) = self.thread.take_wanted() {
                        self.generation = generation;
                        let applied = self.apply(&wanted);
                        self.thread.reporter.tell(DeviceNews::Applied { generation, applied });
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.camera.tick();
            self.watch();
            self.watch_options();
        }
    }

    fn carry_out(&mut self, command: DeviceCommand) {
        // A requester that went away needs no answer.
        match command {
            DeviceCommand::Sensors(reply) => {
                let described = self.camera.sensors().map(|mut sensors| {
                    self.processing.describe(&mut sensors);
                    sensors
                });
                drop(reply.send(described));
            }
            DeviceCommand::Option { sensor, option, reply } => drop(reply.send(self.option(sensor, &option))),
            DeviceCommand::SetOption { sensor, option, value, reply } => {
                let ours = self.processing.set_option(sensor, &option, value, &mut *self.camera, &self.running);
                let result = ours.unwrap_or_else(|| self.camera.set_option(sensor, &option, value));
                if result.is_ok() {
                    info!(device = %self.thread.device, sensor, option, value, "option set");
                    self.options.set();
                }
                // It is set, so that a camera that does not tell it then is no reason to say otherwise.
                let applied = result.and_then(|()| match self.option(sensor, &option) {
                    Ok(applied) => Ok(applied),
                    Err(_) => self.processing.described(sensor, &option, value),
                });
                drop(reply.send(applied));
            }
            DeviceCommand::HwReset(reply) => drop(reply.send(self.camera.hw_reset())),
            DeviceCommand::Control(control) => self.control(control),
            // Taken up by the caller, once for all that wait.
            DeviceCommand::Apply => {}
            // What is set from now on is a change.
            DeviceCommand::Watch => self.watch_options(),
        }
    }

    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo> {
        let ours = self.processing.option(sensor, option);
        ours.map_or_else(|| self.camera.option(sensor, option), Ok)
    }

    fn apply(&mut self, wanted: &[(usize, StreamConfig)]) -> Applied {
        let wanted = sensor_steps::by_sensor(wanted);
        let mut failed = Vec::new();
        for (sensor, step) in sensor_steps::plan(&self.running, &wanted) {
            if matches!(step, Step::Reopen(_)) {
                self.thread.metrics.restarts_reconfigured.inc();
            }
            let before = self.stop(sensor);
            if let Step::Start(streams) | Step::Reopen(streams) = step {
                self.start(sensor, &before, streams, &mut failed);
            }
        }
        self.thread.streaming.store(!self.running.is_empty(), Ordering::Relaxed);
        self.processing.follow(&mut *self.camera, &self.running);
        Applied { running: self.running.values().flatten().copied().collect(), failed }
    }

    /// Starts a sensor; when the whole set is refused, what ran before is put back.
    fn start(
        &mut self,
        sensor: usize,
        before: &BTreeSet<StreamConfig>,
        streams: BTreeSet<StreamConfig>,
        failed: &mut Vec<(StreamType, Error)>,
    ) {
        let Err(error) = self.try_start(sensor, &streams) else { return };
        let kept: BTreeSet<_> = before.intersection(&streams).copied().collect();
        failed.extend(streams.difference(&kept).map(|config| (config.stream, error.clone())));
        if !kept.is_empty()
            && let Err(error) = self.try_start(sensor, &kept)
        {
            failed.extend(kept.iter().map(|config| (config.stream, error.clone())));
        }
    }

    fn try_start(&mut self, sensor: usize, streams: &BTreeSet<StreamConfig>) -> Result<()> {
        let list: Vec<_> = streams.iter().copied().collect();
        let begun = Instant::now();
        let names: Vec<_> = list.iter().map(|config| config.stream.to_string()).collect();
        if let Err(error) = self.camera.start(sensor, &list) {
            self.thread.metrics.sensor_start_failures.inc();
            warn!(device = %self.thread.device, sensor, streams = names.join("+"), error = error.for_log(), "cannot start");
            return Err(error);
        }
        let took = begun.elapsed();
        self.thread.metrics.sensor_starts.inc();
        self.thread.metrics.sensor_start_seconds.observe_time(took);
        info!(device = %self.thread.device, sensor, streams = names.join("+"), ?took, "sensor started");
        for config in &list {
            self.clock.touch(config.stream);
        }
        self.running.insert(sensor, streams.clone());
        Ok(())
    }

    /// Counts every stream's silence from now on.
    fn touch_all(&self) {
        for config in self.running.values().flatten() {
            self.clock.touch(config.stream);
        }
    }

    fn stop(&mut self, sensor: usize) -> BTreeSet<StreamConfig> {
        let Some(before) = self.running.remove(&sensor) else { return BTreeSet::new() };
        self.camera.stop(sensor);
        self.processing.flush(sensor);
        let alive = self.thread.reporter.is_alive();
        for config in before.iter().filter(|_| alive) {
            self.thread.hub.clear(&StreamKey::new(self.thread.device.clone(), config.stream));
        }
        info!(device = %self.thread.device, sensor, "sensor stopped");
        before
    }

    /// Stops sensors of which a stream went silent and reports them; the session actor has them started again.
    fn watch(&mut self) {
        let silent = |streams: &BTreeSet<StreamConfig>| {
            streams.iter().any(|config| self.clock.silence(config.stream) > self.thread.stall)
        };
        let stalled: Vec<usize> =
            self.running.iter().filter(|(_, streams)| silent(streams)).map(|(sensor, _)| *sensor).collect();
        // It is asked only then, because asking may cost.
        if !stalled.is_empty() && self.camera.is_silent_by_intent() {
            return self.touch_all();
        }
        for sensor in stalled {
            self.thread.metrics.restarts_stalled.inc();
            for config in self.stop(sensor) {
                let key = StreamKey::new(self.thread.device.clone(), config.stream);
                let error = Error::unavailable(format!("{key} stopped delivering frames and is being restarted."));
                self.thread.metrics.stream(config.stream).stalls.inc();
                warn!(stream = %key, "no frames for {:?}; restarting the sensor", self.thread.stall);
                let generation = self.generation;
                self.thread.reporter.tell(DeviceNews::Broke { stream: config.stream, generation, error });
            }
        }
        self.thread.streaming.store(!self.running.is_empty(), Ordering::Relaxed);
    }
}
