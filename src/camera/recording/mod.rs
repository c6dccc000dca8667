//! Recordings being made: the tap that a device's frames pass, the bounded queue behind it, and what is told of it. The
//! named thread that writes is in `writer`, the folder in `files`. The tap never waits for the disk: what does not fit in
//! the queue is dropped and counted.

mod files;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;

use files::Folder;
pub use files::RecordingFile;

use super::{
    Frame,
    events::{CameraEvent, CameraEvents},
    recorder::{RecordedDevice, RecorderFactory},
};
use crate::{
    config,
    core::wishes::recording::{EndReason, Limits, QUEUE, QueueLimits},
    error::{Error, Result},
    metrics::DeviceMetrics,
    model::{DeviceId, StreamType},
    sync::{Condvar, Mutex, MutexGuard, RwLock, join_until, lock, lock_read, lock_write},
};

/// How long a recording that was asked to end may go on writing what waits in its queue.
const DRAIN: Duration = Duration::from_secs(10);
/// The same when the server stops, which has to be done within seconds.
const DRAIN_AT_SHUTDOWN: Duration = Duration::from_millis(500);

/// How a recording's thread of this name is started; the system may have none to give.
type Spawn = fn(String, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>;

fn spawn(name: String, work: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(work)
}

/// Makes recordings and owns their folder. One for the whole server.
pub struct Recordings {
    factory: Option<Arc<dyn RecorderFactory>>,
    folder: Arc<Folder>,
    queue: QueueLimits,
    threads: Mutex<Vec<JoinHandle<()>>>,
    spawn: Spawn,
    /// Set when the server stops: nothing begins any more.
    stopping: AtomicBool,
}

/// What a recording is to be.
#[derive(Debug)]
pub(crate) struct RecordingOrder {
    pub(crate) device: DeviceId,
    /// Its file's name, with extension.
    pub(crate) name: String,
    /// Whether the name may get a number when it is taken: nobody chose it.
    pub(crate) may_number: bool,
    pub(crate) streams: Vec<StreamType>,
    pub(crate) limits: Limits,
    /// The reference on the streams; given back when the recording has ended, or never began.
    pub(crate) ticket: Ticket,
    /// Hears that it runs, or why not.
    pub(crate) reply: oneshot::Sender<Result<RecordingStatus>>,
}

impl RecordingOrder {
    /// Answers that it cannot be. Whoever waits for it may have gone away.
    pub(super) fn refuse(self, error: Error) {
        let Self { ticket, reply, .. } = self;
        // First, so that nothing is held any more when the refusal is heard.
        drop(ticket);
        drop(reply.send(Err(error)));
    }
}

/// Tells the session actor, when it is dropped, that a recording needs its streams no more: whatever became of it.
pub(crate) struct Ticket {
    pub(super) device: DeviceId,
    pub(super) generation: u64,
    pub(super) events: CameraEvents,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        (self.events)(CameraEvent::RecordingEnded { device: self.device.clone(), generation: self.generation });
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({} #{})", self.device, self.generation)
    }
}

/// The state of a device's recording, or how the last one ended.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RecordingStatus {
    /// Device.
    pub device_id: DeviceId,
    /// Whether a file is being written. True until it is closed.
    pub is_recording: bool,
    /// The file's name; null when nothing was recorded since the server started.
    #[schema(example = "844212070924-20260131-235959.bag")]
    pub file_name: Option<String>,
    /// "bag" or "db3".
    #[schema(example = "bag")]
    pub format: Option<String>,
    /// The recorded streams.
    #[schema(value_type = Vec<String>, example = json!(["color", "depth"]))]
    pub streams: Vec<StreamType>,
    /// Length of the recording in seconds.
    pub seconds: f64,
    /// Size of the file on the disk.
    pub bytes: u64,
    /// Frames and motion samples written.
    pub frames: u64,
    /// Frames and motion samples dropped because the disk was too slow.
    pub dropped_frames: u64,
    /// Why it ended; null while it runs.
    pub end_reason: Option<EndReason>,
    /// The same in a sentence.
    pub detail: Option<String>,
}

impl RecordingStatus {
    /// Nothing was recorded of this device yet.
    pub(super) fn none(device: &DeviceId) -> Self {
        Self {
            device_id: device.clone(),
            is_recording: false,
            file_name: None,
            format: None,
            streams: Vec::new(),
            seconds: 0.0,
            bytes: 0,
            frames: 0,
            dropped_frames: 0,
            end_reason: None,
            detail: None,
        }
    }
}

/// Where a device's frames pass on their way to the viewers. Holds the device's newest recording, running or ended.
#[derive(Default)]
pub(super) struct Tap {
    current: RwLock<Option<Arc<Recording>>>,
    metrics: OnceLock<Arc<DeviceMetrics>>,
}

impl Tap {
    /// Hands a frame to the running recording, if there is one and it wants it. Returns at once.
    pub(super) fn offer(&self, frame: &Frame) {
        let current = lock_read(&self.current);
        if let Some(recording) = current.as_ref() {
            recording.offer(frame);
        }
    }

    /// Where its recordings are counted.
    pub(super) fn count_in(&self, metrics: &Arc<DeviceMetrics>) {
        self.metrics.get_or_init(|| metrics.clone());
    }

    fn metrics(&self) -> Option<&DeviceMetrics> {
        self.metrics.get().map(Arc::as_ref)
    }

    /// The newest recording.
    pub(super) fn current(&self) -> Option<Arc<Recording>> {
        lock_read(&self.current).clone()
    }

    /// Asks the running recording to end.
    pub(super) fn end(&self, reason: EndReason) {
        if let Some(recording) = self.current() {
            recording.end(reason, None);
        }
    }

    fn replace(&self, next: Option<Arc<Recording>>) -> Option<Arc<Recording>> {
        std::mem::replace(&mut *lock_write(&self.current), next)
    }
}

/// One recording: what the tap, its writer and those who ask about it share.
pub(crate) struct Recording {
    device: DeviceId,
    format: &'static str,
    streams: Vec<StreamType>,
    queue: QueueLimits,
    state: Mutex<State>,
    wake: Condvar,
    finished: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    file: String,
    frames: VecDeque<Frame>,
    waiting_bytes: usize,
    /// Since when it takes frames; `None` while the file is being made.
    since: Option<Instant>,
    until: Option<Instant>,
    end: Option<End>,
    bytes: u64,
    written: u64,
    dropped: u64,
}

struct End {
    reason: EndReason,
    detail: Option<String>,
    /// Until when what waits may still be written.
    drain_until: Instant,
}

/// What the writer is to do next.
enum Next {
    Write(Frame),
    Idle,
    End,
}

impl Recording {
    fn new(device: DeviceId, format: &'static str, streams: Vec<StreamType>, queue: QueueLimits) -> Self {
        let (state, wake, finished) = (Mutex::default(), Condvar::new(), watch::Sender::new(false));
        Self { device, format, streams, queue, state, wake, finished }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Critical sections here only move values in and out, so a poisoned lock is still whole.
        lock(&self.state)
    }

    fn offer(&self, frame: &Frame) {
        if !self.streams.contains(&frame.stream) {
            return;
        }
        let size = frame.bytes().len();
        if !self.has_room(size) {
            return;
        }
        // A copy, made outside of the lock: the SDK has some 16 frames of a stream to give, and stops delivering while they
        // are held. What waits for the disk must not hold them.
        let frame = Frame { data: Arc::new(frame.bytes().to_vec()), ..frame.clone() };
        let mut state = self.state();
        // It may have ended, or another sensor may have taken the room, meanwhile.
        if state.end.is_some() {
            return;
        }
        if !self.queue.admits(state.frames.len(), state.waiting_bytes, size) {
            state.dropped += 1;
            return;
        }
        state.waiting_bytes += size;
        state.frames.push_back(frame);
        drop(state);
        self.wake.notify_one();
    }

    /// Whether a frame of this size is to be written; counts it as dropped when only the room is lacking.
    fn has_room(&self, size: usize) -> bool {
        let mut state = self.state();
        if state.since.is_none() || state.end.is_some() {
            return false;
        }
        if !self.queue.admits(state.frames.len(), state.waiting_bytes, size) {
            state.dropped += 1;
            // At powers of two only: a slow disk must not fill the log.
            if state.dropped.is_power_of_two() {
                tracing::warn!(device = %self.device, file = state.file, dropped = state.dropped,
                    "the disk is too slow for the recording; dropping frames");
            }
            return false;
        }
        true
    }

    /// Asks it to end. The first reason counts.
    fn end(&self, reason: EndReason, detail: Option<String>) {
        let drain = match reason {
            EndReason::Stopped | EndReason::TimeLimit | EndReason::DeviceGone => DRAIN,
            EndReason::ServerStopping => DRAIN_AT_SHUTDOWN,
            // What waits would not fit.
            EndReason::SizeLimit | EndReason::DiskFull | EndReason::WriteError => Duration::ZERO,
        };
        let mut state = self.state();
        let drain_until = Instant::now() + drain;
        match &mut state.end {
            // A shutdown cannot wait as long as a stop.
            Some(end) => end.drain_until = end.drain_until.min(drain_until),
            None => state.end = Some(End { reason, detail, drain_until }),
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Waits for a frame to write or for the end, at most `timeout`.
    fn next(&self, timeout: Duration) -> Next {
        let state = self.state();
        let quiet = |state: &mut State| state.frames.is_empty() && state.end.is_none();
        let (mut state, _) =
            self.wake.wait_timeout_while(state, timeout, quiet).unwrap_or_else(PoisonError::into_inner);
        if state.end.as_ref().is_some_and(|end| Instant::now() >= end.drain_until) {
            state.dropped += state.frames.len() as u64;
            state.frames.clear();
            state.waiting_bytes = 0;
        }
        match state.frames.pop_front() {
            Some(frame) => {
                state.waiting_bytes -= frame.bytes().len();
                Next::Write(frame)
            }
            None if state.end.is_some() => Next::End,
            None => Next::Idle,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        *self.finished.borrow()
    }

    /// Resolves when the file is closed.
    pub(super) async fn finished(&self) {
        // The sender lives as long as this does, so this cannot fail.
        let _ = self.finished.subscribe().wait_for(|finished| *finished).await;
    }

    pub(super) fn status(&self) -> RecordingStatus {
        let is_recording = !self.is_finished();
        let state = self.state();
        let end = state.end.as_ref().filter(|_| !is_recording);
        let until = state.until.unwrap_or_else(Instant::now);
        RecordingStatus {
            device_id: self.device.clone(),
            is_recording,
            file_name: Some(state.file.clone()).filter(|file| !file.is_empty()),
            format: Some(self.format.to_owned()),
            streams: self.streams.clone(),
            seconds: state.since.map_or(0.0, |since| until.saturating_duration_since(since).as_secs_f64()),
            bytes: state.bytes,
            frames: state.written,
            dropped_frames: state.dropped,
            end_reason: end.map(|end| end.reason),
            detail: end.map(|end| end.detail.clone().unwrap_or_else(|| end.reason.to_string())),
        }
    }
}

impl Recordings {
    /// With no factory nothing can be recorded; what lies in the folder can be listed, fetched and deleted all the same.
    pub fn new(config: &config::Recording, factory: Option<Arc<dyn RecorderFactory>>) -> Arc<Self> {
        let folder = Arc::new(Folder::new(config.dir.clone()));
        let (threads, stopping) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { factory, folder, queue: QUEUE, threads, spawn, stopping })
    }

    /// Whether anything can be recorded.
    pub(super) fn is_available(&self) -> bool {
        self.factory.is_some()
    }

    /// The extension of new files.
    ///
    /// # Errors
    /// Unavailable when nothing can be recorded.
    pub(crate) fn extension(&self) -> Result<&'static str> {
        self.factory().map(|factory| factory.extension())
    }

    fn factory(&self) -> Result<&Arc<dyn RecorderFactory>> {
        self.factory.as_ref().ok_or_else(|| {
            Error::unavailable(
                "Recording needs librealsense, and none is loaded. Fetch it with scripts/get_librealsense.sh or install \
                 it, name it in realsense.library if it is not found by itself, and start the server again.",
            )
        })
    }

    /// Begins a recording on a thread of its own and lets `tap` feed it. Whoever waits is answered from there.
    pub(super) fn begin(self: &Arc<Self>, tap: &Arc<Tap>, order: RecordingOrder, device: RecordedDevice) {
        let running = tap.current().filter(|recording| !recording.is_finished());
        let ready = match (running, self.factory()) {
            (Some(running), _) => Err(Error::conflict(already_recording(&running.device, &running.state().file))),
            (None, Ok(factory)) => Ok(factory.clone()),
            (None, Err(error)) => Err(error),
        };
        let factory = match ready {
            Ok(factory) => factory,
            Err(error) => return order.refuse(error),
        };
        let recording =
            Arc::new(Recording::new(order.device.clone(), factory.extension(), order.streams.clone(), self.queue));
        // From now on the device's going or the server's end reaches it.
        let previous = tap.replace(Some(recording.clone()));
        let name = format!("rec-{}", order.device);
        let job = writer::Job { folder: self.folder.clone(), factory, recording, tap: tap.clone(), previous, device };
        // The order lies here until the thread takes it up: with no thread, who waits hears why. The job is dropped then, and
        // that ends the recording.
        let order = Arc::new(Mutex::new(Some(order)));
        let take = |order: &Mutex<Option<RecordingOrder>>| lock(order).take();
        let work = {
            let order = order.clone();
            move || {
                if let Some(order) = take(&order) {
                    job.run(order);
                }
            }
        };
        match (self.spawn)(name, Box::new(work)) {
            Ok(thread) => {
                let mut threads = self.threads();
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
                // One that began while the server was stopping has not been told.
                if self.stopping.load(Ordering::SeqCst) {
                    tap.end(EndReason::ServerStopping);
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot start the recording's thread");
                if let Some(order) = take(&order) {
                    order.refuse(Error::no_thread("nothing is recorded"));
                }
            }
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        lock(&self.threads)
    }

    /// Lets nothing begin that nobody would end.
    pub(super) fn stop_beginning(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Waits until every file is closed, at most until `deadline`. Blocks.
    pub(super) fn join_until(&self, deadline: Instant) {
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            join_until(thread, deadline);
        }
    }

    /// The recordings in the folder, newest first. Blocks on the disk.
    ///
    /// # Errors
    /// Unavailable when the folder cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<RecordingFile>> {
        self.folder.list()
    }

    /// Where a recording lies. Blocks on the disk.
    ///
    /// # Errors
    /// Invalid for what is no name, NotFound, Conflict while it is being written.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        self.folder.find(name)
    }

    /// Deletes a recording. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::path`], Unavailable when the system refuses.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        self.folder.delete(name)
    }
}

/// The refusal of a second recording of one device.
pub(crate) fn already_recording(device: &DeviceId, file: &str) -> String {
    let file = if file.is_empty() { "a file" } else { file };
    format!("Device {device} is being recorded already, to {file}. Stop that first.")
}
