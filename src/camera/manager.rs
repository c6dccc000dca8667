//! Owns the backends and, by `device`, one named OS thread per present device. Hands commands to those threads and their
//! answers back; never calls the SDK itself except to list devices. `control` has what is not streams: playback, presets,
//! calibration, recordings.

mod control;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    Attached, Backend, SimFault, StreamConfig,
    device::{DeviceCommand, DeviceThread, Wanted},
    events::{CameraEvent, CameraEvents, DeviceNews, Reporter},
    hub::FrameHub,
    processing::SharedSettings,
    recording::{Recordings, Tap},
};
use crate::{
    core::wishes::recording::EndReason,
    error::{Error, Result},
    metrics::Metrics,
    model::{Attachment, DeviceId, DeviceInfo, Health, OptionInfo, SensorInfo, StreamKey, StreamType},
    sync::{Mutex, join_until, lock},
};

/// Commands that may wait for a device thread. More means that the device hangs.
const QUEUE: usize = 64;
/// Most devices remembered; a robot has a handful.
const MAX_DEVICES: usize = 64;

/// How long devices may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For a request to a device to be answered.
    pub reply: Duration,
    /// Without a frame before a running stream counts as broken.
    pub stall: Duration,
}

/// Talks to the device threads. Cheap to clone.
#[derive(Clone)]
pub struct CameraHandle {
    shared: Arc<Shared>,
    /// Why a backend that was asked for is not there.
    trouble: Option<Arc<str>>,
}

struct Shared {
    backends: Vec<Arc<dyn Backend>>,
    hub: Arc<FrameHub>,
    events: CameraEvents,
    timing: Timing,
    hints: SyncSender<Hint>,
    /// Held while the table is made to follow a backend; true once the server ends and nothing may come any more.
    looking: Mutex<bool>,
    devices: Mutex<BTreeMap<DeviceId, Entry>>,
    watcher: Mutex<Option<JoinHandle<()>>>,
    refreshing: Arc<tokio::sync::Mutex<()>>,
    recordings: Arc<Recordings>,
    metrics: Arc<Metrics>,
    /// Whether somebody wants to hear which options change.
    watched: Arc<AtomicBool>,
}

struct Entry {
    backend: Arc<dyn Backend>,
    info: DeviceInfo,
    streaming: Arc<AtomicBool>,
    /// `None` while the device is unplugged.
    commands: Option<SyncSender<DeviceCommand>>,
    wanted: Arc<Wanted>,
    /// Ended when the device goes: what its thread still reports then counts no more.
    reporter: Arc<Reporter>,
    /// Stays while the device is unplugged: its last recording can be asked about.
    tap: Arc<Tap>,
    threads: Vec<JoinHandle<()>>,
    /// Outlives an unplug.
    depth_settings: SharedSettings,
}

/// What the watcher is told.
enum Hint {
    /// This backend's devices changed; the mark says that the word waits.
    Look(usize, Arc<AtomicBool>),
    Quit,
}

/// Starts the watcher thread and a thread for every device that is present.
///
/// # Errors
/// Internal when the system gives no thread.
pub fn start(
    backends: Vec<Arc<dyn Backend>>,
    hub: Arc<FrameHub>,
    events: CameraEvents,
    timing: Timing,
    recordings: Arc<Recordings>,
    metrics: Arc<Metrics>,
) -> Result<CameraHandle> {
    // Each backend has one word waiting at most, and the end needs a place.
    let (hints, inbox) = mpsc::sync_channel(backends.len() + 1);
    let shared = Arc::new(Shared {
        backends,
        hub,
        events,
        timing,
        hints,
        looking: Mutex::default(),
        devices: Mutex::default(),
        watcher: Mutex::default(),
        refreshing: Arc::default(),
        recordings,
        metrics,
        watched: Arc::default(),
    });
    for (index, backend) in shared.backends.iter().enumerate() {
        let (hints, waiting) = (shared.hints.clone(), Arc::new(AtomicBool::new(false)));
        backend.set_events(Arc::new(move |_| {
            // What was told while a look is still to come, that look will see.
            if !waiting.swap(true, Ordering::SeqCst) {
                // There is room for one word of each backend; a watcher that ended needs none.
                let _ = hints.try_send(Hint::Look(index, waiting.clone()));
            }
        }));
        shared.look(backend);
    }
    let for_thread = shared.clone();
    let watcher = std::thread::Builder::new()
        .name("camera-watch".into())
        .spawn(move || {
            while let Ok(Hint::Look(index, waiting)) = inbox.recv() {
                // Before looking: what is told from now on asks for another look.
                waiting.store(false, Ordering::SeqCst);
                // Without this thread no camera would come or go any more.
                let look = AssertUnwindSafe(|| for_thread.look(&for_thread.backends[index]));
                if catch_unwind(look).is_err() {
                    tracing::error!("looking for cameras panicked; the next change is looked at again");
                }
            }
        })
        .map_err(|error| Error::internal(format!("cannot start the camera watcher thread: {error}")))?;
    *lock(&shared.watcher) = Some(watcher);
    Ok(CameraHandle { shared, trouble: None })
}

impl Shared {
    /// Makes the table of devices agree with what a backend has now. One look at a time, from the list to the last event, so
    /// that an older list never undoes a newer one and events are told in the order of the facts. Who waits here waits for
    /// tables only: `attached` talks to no device.
    fn look(&self, backend: &Arc<dyn Backend>) {
        let has_ended = lock(&self.looking);
        if *has_ended {
            return;
        }
        let there = backend.attached();
        let lasts = |device: &DeviceId, attachment| {
            there.iter().any(|there| there.info.device_id == *device && there.attachment == attachment)
        };
        let gone: Vec<_> = lock(&self.devices)
            .iter()
            .filter(|(_, entry)| entry.commands.is_some() && Arc::ptr_eq(&entry.backend, backend))
            .filter(|(device, entry)| !lasts(device, entry.reporter.attachment()))
            .map(|(device, _)| device.clone())
            .collect();
        gone.iter().for_each(|device| self.removed(device));
        there.into_iter().for_each(|attached| self.added(backend, attached));
    }

    /// Opens a device that is not there yet. Part of a look.
    fn added(&self, backend: &Arc<dyn Backend>, Attached { attachment, info }: Attached) {
        let device = info.device_id.clone();
        let mut devices = lock(&self.devices);
        if devices.get(&device).is_some_and(|entry| entry.commands.is_some()) {
            return;
        }
        // Recordings that were closed are forgotten when there is need of room.
        if devices.len() >= MAX_DEVICES {
            devices.retain(|known, entry| {
                let ended = entry.threads.iter().all(JoinHandle::is_finished);
                let kept = !(entry.info.playback && entry.commands.is_none() && ended) || *known == device;
                if !kept {
                    self.hub.forget(known);
                    (self.events)(CameraEvent::Forgotten { device: known.clone() });
                }
                kept
            });
        }
        if devices.len() >= MAX_DEVICES && !devices.contains_key(&device) {
            warn!(%device, "ignored: {MAX_DEVICES} devices are known already");
            return;
        }
        let (commands, inbox) = mpsc::sync_channel(QUEUE);
        let streaming = Arc::new(AtomicBool::new(false));
        let tap = devices.get(&device).map(|entry| entry.tap.clone()).unwrap_or_default();
        let metrics = self.metrics.device_present(&device, info.playback);
        tap.count_in(&metrics);
        let wanted = Arc::<Wanted>::default();
        let depth_settings = devices.get(&device).map(|entry| entry.depth_settings.clone()).unwrap_or_default();
        // Before its thread reports anything: the device is known from here on.
        let reporter = Reporter::begin(device.clone(), attachment, self.events.clone());
        let thread = DeviceThread {
            device: device.clone(),
            info: info.clone(),
            backend: backend.clone(),
            hub: self.hub.clone(),
            reporter: reporter.clone(),
            streaming: streaming.clone(),
            wanted: wanted.clone(),
            stall: self.timing.stall,
            tap: tap.clone(),
            recordings: self.recordings.clone(),
            depth_settings: depth_settings.clone(),
            metrics,
            watched: self.watched.clone(),
        };
        let spawned = std::thread::Builder::new().name(format!("cam-{device}")).spawn(move || thread.run(&inbox));
        match spawned {
            Ok(handle) => {
                info!(%device, %attachment, backend = backend.name(), name = info.name, "camera present");
                let mut threads = devices.remove(&device).map(|entry| entry.threads).unwrap_or_default();
                threads.retain(|thread| !thread.is_finished());
                threads.push(handle);
                let commands = Some(commands);
                let backend = backend.clone();
                let entry =
                    Entry { backend, info, streaming, commands, wanted, reporter, tap, threads, depth_settings };
                devices.insert(device, entry);
            }
            Err(error) => {
                warn!(%device, %error, "cannot start the device's thread");
                reporter.tell(DeviceNews::OpenFailed(Error::unavailable(format!(
                    "Device {device} cannot be opened: the system allows no more threads. Stop other programs, then \
                     refresh the devices."
                ))));
            }
        }
    }

    /// Looks at what is there now, for events that were missed.
    fn refresh(&self) {
        for backend in &self.backends {
            backend.refresh();
            self.look(backend);
        }
    }

    /// Lets go of a device that went. Part of a look.
    fn removed(&self, device: &DeviceId) {
        let reporter = lock(&self.devices).get_mut(device).map(|entry| {
            // Dropping the sender ends the thread.
            entry.commands = None;
            entry.streaming.store(false, Ordering::Relaxed);
            entry.tap.end(EndReason::DeviceGone);
            entry.reporter.clone()
        });
        let Some(reporter) = reporter else { return };
        info!(%device, attachment = %reporter.attachment(), "camera gone");
        reporter.end();
        self.metrics.device_gone(device);
        for stream in StreamType::VIDEO {
            self.hub.clear(&StreamKey::new(device.clone(), stream));
        }
    }
}

impl CameraHandle {
    /// Lets health say why a backend that was asked for is not there.
    #[must_use]
    pub fn with_trouble(self, trouble: Option<String>) -> Self {
        Self { trouble: trouble.map(Into::into), ..self }
    }

    /// Makes exactly these streams run on a device; answered by [`DeviceNews::Applied`]. Cannot get lost: the newest
    /// wish lies beside the device's queue and is taken up with whatever comes next, so a full queue does no harm.
    ///
    /// # Errors
    /// Unavailable when this attachment of the device is over, even if another has begun: what was wanted of the one must
    /// not run on the other, which begins with nothing.
    pub fn apply(
        &self,
        device: &DeviceId,
        attachment: Attachment,
        generation: u64,
        wanted: Vec<(usize, StreamConfig)>,
    ) -> Result<()> {
        let sender = {
            let devices = lock(&self.shared.devices);
            let entry = devices.get(device).ok_or_else(|| Error::unknown_device(device))?;
            let lasts = entry.reporter.attachment() == attachment;
            let sender = entry.commands.clone().filter(|_| lasts).ok_or_else(|| Error::unplugged(device))?;
            *lock(&entry.wanted) = Some((generation, wanted));
            sender
        };
        match sender.try_send(DeviceCommand::Apply) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Error::unplugged(device)),
        }
    }

    pub(crate) async fn devices(&self, force_refresh: bool) -> Result<Vec<DeviceInfo>> {
        if force_refresh {
            let hangs = |_| Error::unavailable("librealsense is busy and did not list the cameras in time. Try again.");
            let patience = self.shared.timing.reply;
            // One look at a time: a hanging SDK must not collect a thread per request.
            let one =
                tokio::time::timeout(patience, self.shared.refreshing.clone().lock_owned()).await.map_err(hangs)?;
            let shared = self.shared.clone();
            let looked = tokio::task::spawn_blocking(move || {
                shared.refresh();
                drop(one);
            });
            let looked = tokio::time::timeout(patience, looked).await.map_err(hangs)?;
            looked.map_err(|error| Error::internal(error.to_string()))?;
        }
        let devices = lock(&self.shared.devices);
        Ok(devices.values().filter(|entry| entry.commands.is_some()).map(|entry| self.describe(entry)).collect())
    }

    #[allow(clippy::unused_async, reason = "a backend may have to ask its thread; the handle's callers await already")]
    pub(crate) async fn device(&self, device: &DeviceId) -> Result<DeviceInfo> {
        let devices = lock(&self.shared.devices);
        let entry = devices.get(device).ok_or_else(|| Error::unknown_device(device))?;
        if entry.commands.is_some() { Ok(self.describe(entry)) } else { Err(Error::unplugged(device)) }
    }

    pub(crate) async fn sensors(&self, device: &DeviceId) -> Result<Vec<SensorInfo>> {
        self.ask(device, DeviceCommand::Sensors).await
    }

    pub(crate) async fn option(&self, device: &DeviceId, sensor: usize, option: &str) -> Result<OptionInfo> {
        let option = option.to_owned();
        self.ask(device, |reply| DeviceCommand::Option { sensor, option, reply }).await
    }

    pub(crate) async fn set_option(
        &self,
        device: &DeviceId,
        sensor: usize,
        option: &str,
        value: f64,
    ) -> Result<OptionInfo> {
        let option = option.to_owned();
        self.ask(device, |reply| DeviceCommand::SetOption { sensor, option, value, reply }).await
    }

    /// Whether changes of options are told, by [`DeviceNews::OptionsChanged`]. Reading them costs the camera a moment each second.
    pub(crate) fn watch_options(&self, watched: bool) {
        if self.shared.watched.swap(watched, Ordering::Relaxed) || !watched {
            return;
        }
        // A thread that waits for commands only looks when one comes; one whose queue is full has some.
        for entry in lock(&self.shared.devices).values() {
            let _ = entry.commands.as_ref().map(|commands| commands.try_send(DeviceCommand::Watch));
        }
    }

    pub(crate) async fn hw_reset(&self, device: &DeviceId) -> Result<()> {
        self.ask(device, DeviceCommand::HwReset).await
    }

    #[allow(clippy::unused_async, reason = "symmetry with the other device calls")]
    pub(crate) async fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        let backend = lock(&self.shared.devices).get(device).map(|entry| entry.backend.clone());
        backend.ok_or_else(|| Error::unknown_device(device))?.inject_fault(device, fault)
    }

    pub(crate) fn health(&self) -> Health {
        let sdk_version = self.shared.backends.iter().find_map(|backend| backend.sdk_version());
        let usable = |entry: &&Entry| entry.commands.is_some() && entry.info.problem.is_none();
        let cameras = lock(&self.shared.devices).values().filter(usable).count();
        let nothing = self.shared.backends.is_empty() || (self.trouble.is_some() && cameras == 0);
        let degraded = nothing.then(|| match &self.trouble {
            Some(trouble) => format!("No camera works: {trouble}."),
            None => "No camera can be used: librealsense2 is not installed, or realsense.enabled is false. Run \
                     scripts/get_librealsense.sh, or start with --sim-cameras 1 for a simulated camera."
                .to_owned(),
        });
        Health { sdk_version: sdk_version.unwrap_or_else(|| "none".into()), degraded, cameras }
    }

    /// Ends every device thread, waiting at most `bound` for them. Blocks: call it from a blocking context.
    pub fn shutdown(&self, bound: Duration) {
        let deadline = Instant::now() + bound;
        self.end_recordings();
        // The looking goes first, so that no device comes back while the others are ended.
        *lock(&self.shared.looking) = true;
        if self.shared.hints.try_send(Hint::Quit).is_ok()
            && let Some(watcher) = lock(&self.shared.watcher).take()
        {
            join_until(watcher, deadline);
        }
        let threads: Vec<_> = lock(&self.shared.devices)
            .values_mut()
            .flat_map(|entry| {
                entry.commands = None;
                std::mem::take(&mut entry.threads)
            })
            .collect();
        // First the files: a device thread that hangs in the SDK must not take their time. It ends, or not, meanwhile.
        self.shared.recordings.join_until(deadline);
        for thread in threads {
            join_until(thread, deadline);
        }
    }

    async fn ask<T>(
        &self,
        device: &DeviceId,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> DeviceCommand,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let thread = lock(&self.shared.devices).get(device).map(|entry| entry.reporter.clone());
        self.send(device, command(reply))?;
        match tokio::time::timeout(self.shared.timing.reply, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) if self.is_served_by(device, thread.as_ref()) => {
                Err(Error::internal(format!("the thread of device {device} dropped a question without an answer")))
            }
            Ok(Err(_)) => Err(Error::unplugged(device)),
            Err(_) => {
                Err(Error::unavailable(format!("Device {device} did not answer in time. Try again, or reset it.")))
            }
        }
    }

    /// Whether the device is there, and was all the time: then a question to it that was dropped is a bug.
    fn is_served_by(&self, device: &DeviceId, thread: Option<&Arc<Reporter>>) -> bool {
        let devices = lock(&self.shared.devices);
        let there = devices.get(device).filter(|entry| entry.commands.is_some());
        there.zip(thread).is_some_and(|(entry, thread)| Arc::ptr_eq(&entry.reporter, thread))
    }

    fn describe(&self, entry: &Entry) -> DeviceInfo {
        DeviceInfo {
            is_streaming: entry.streaming.load(Ordering::Relaxed),
            can_record: self.shared.recordings.is_available() && !entry.info.playback,
            ..entry.info.clone()
        }
    }

    fn send(&self, device: &DeviceId, command: DeviceCommand) -> Result<()> {
        let sender = {
            let devices = lock(&self.shared.devices);
            let entry = devices.get(device).ok_or_else(|| Error::unknown_device(device))?;
            entry.commands.clone().ok_or_else(|| Error::unplugged(device))?
        };
        sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Error::unavailable(format!("Device {device} is busy. Try again shortly.")),
            TrySendError::Disconnected(_) => Error::unplugged(device),
        })
    }
}
