//! The thread of one recording: makes the file, writes what the queue holds, watches size, time and disk, and closes the
//! file, however the recording ends. It alone waits for the disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{
    Next, Recording, RecordingOrder, Tap,
    files::{self, Claim, Folder, Reserve},
};
use crate::{
    camera::recorder::{RecordedDevice, Recorder, RecorderFactory},
    core::wishes::recording::{EndReason, Limits, Progress},
    error::{Error, Result},
};

/// How often the limits are looked at while no frame comes.
const TICK: Duration = Duration::from_millis(250);
/// How often the disk's free space is looked at: the fastest camera fills 50 MB meanwhile.
const LOOK_AT_DISK: Duration = Duration::from_millis(250);
/// A write that fails with less than this free, in bytes, failed because the disk is full.
const FULL: u64 = 1 << 20;

const FULL_DISK: &str = "The disk is full. Delete recordings, or set recording.dir to a folder on another disk.";

/// What the thread works with.
pub(super) struct Job {
    pub(super) folder: Arc<Folder>,
    pub(super) factory: Arc<dyn RecorderFactory>,
    pub(super) recording: Arc<Recording>,
    pub(super) tap: Arc<Tap>,
    /// What the device's status told before; told again if this recording never begins.
    pub(super) previous: Option<Arc<Recording>>,
    pub(super) device: RecordedDevice,
}

impl Drop for Job {
    fn drop(&mut self) {
        // Only when its thread never ran, or failed.
        if !self.recording.is_finished() {
            self.give_up();
        }
    }
}

impl Job {
    pub(super) fn run(self, order: RecordingOrder) {
        let RecordingOrder { device, name, may_number, limits, ticket, reply, .. } = order;
        let opened = catch_unwind(AssertUnwindSafe(|| self.open(&name, may_number, &limits)));
        let opened = opened.unwrap_or_else(|_| Err(Error::internal("the recorder panicked while it made the file")));
        let (recorder, claim) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                warn!(%device, error = error.for_log(), "cannot record");
                self.give_up();
                drop(ticket);
                // A requester that went away needs no answer.
                return drop(reply.send(Err(error)));
            }
        };
        let recording = &self.recording;
        {
            let mut state = recording.state();
            state.file.clone_from(&claim.name);
            state.since = Some(Instant::now());
        }
        info!(%device, file = claim.name, "recording");
        if let Some(metrics) = self.tap.metrics() {
            metrics.recordings.inc();
        }
        if reply.send(Ok(recording.status())).is_err() {
            let why = "The client that asked for the recording disconnected before it began.";
            recording.end(EndReason::Stopped, Some(why.into()));
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.write(recorder, &claim, &limits)));
        if written.is_err() {
            error!(%device, file = claim.name, "the recorder panicked; the file is not complete");
            let why = "The recorder failed because of a bug. The server's log has the details.";
            recording.end(EndReason::WriteError, Some(why.into()));
        }
        drop(claim);
        // The streams stop now when nobody else wants them. Before the end is told, so that whoever hears of it may begin
        // the next one at once.
        drop(ticket);
        if let Some(metrics) = self.tap.metrics() {
            metrics.recordings.dec();
        }
        self.finish();
        let status = recording.status();
        let (reason, detail) = (status.end_reason, status.detail.as_deref().unwrap_or_default());
        info!(%device, file = status.file_name, ?reason, detail, seconds = status.seconds, bytes = status.bytes,
            frames = status.frames, dropped = status.dropped_frames, "recording ended");
    }

    /// A recording that never began leaves nothing behind.
    fn give_up(&self) {
        let ours = self.tap.current().is_some_and(|current| Arc::ptr_eq(&current, &self.recording));
        if ours {
            self.tap.replace(self.previous.clone());
        }
        self.finish();
    }

    fn finish(&self) {
        let mut state = self.recording.state();
        state.until.get_or_insert_with(Instant::now);
        state.frames.clear();
        state.waiting_bytes = 0;
        drop(state);
        self.recording.finished.send_replace(true);
    }

    fn open(&self, name: &str, may_number: bool, limits: &Limits) -> Result<(Box<dyn Recorder>, Claim)> {
        self.folder.prepare(limits.min_free_bytes, self.factory.reserve_bytes())?;
        let claim = self.folder.claim(name, may_number)?;
        match self.factory.create(&claim.partial_path(), &self.device) {
            Ok(recorder) => Ok((recorder, claim)),
            Err(error) => {
                claim.discard();
                Err(error)
            }
        }
    }

    /// Writes until the recording ends, then closes the file and gives it its name.
    fn write(&self, mut recorder: Box<dyn Recorder>, claim: &Claim, limits: &Limits) {
        let recording = &self.recording;
        let path = claim.partial_path();
        let mut reserve = Reserve::new(&path, self.factory.reserve_bytes());
        let mut looked: Option<Instant> = None;
        loop {
            match recording.next(TICK) {
                Next::End => break,
                Next::Idle => {}
                Next::Write(frame) => match recorder.write(&frame) {
                    Ok(()) => recording.state().written += 1,
                    Err(error) => {
                        self.failed(&error);
                        continue;
                    }
                },
            }
            let bytes = files::size(&path);
            let mut free_bytes = None;
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_AT_DISK) {
                looked = Some(Instant::now());
                if !reserve.follow(bytes) {
                    recording.end(EndReason::DiskFull, Some(FULL_DISK.into()));
                    continue;
                }
                free_bytes = self.folder.free_bytes().map(|free| free.saturating_add(reserve.unused(bytes)));
            }
            let mut state = recording.state();
            self.count_bytes(state.bytes, bytes);
            state.bytes = bytes;
            let elapsed = state.since.map_or(Duration::ZERO, |since| since.elapsed());
            drop(state);
            let progress = Progress { bytes, elapsed, free_bytes };
            if let Some(reason) = limits.reached(&progress) {
                recording.end(reason, Some(sentence(reason, limits)));
            }
        }
        recording.state().until = Some(Instant::now());
        let finished = recorder.finish();
        reserve.give_back();
        let completed = finished.and_then(|()| claim.complete());
        let bytes = files::size(completed.as_ref().unwrap_or(&path));
        let mut state = recording.state();
        self.count_bytes(state.bytes, bytes);
        state.bytes = bytes;
        match completed {
            Ok(_) => {}
            Err(error) => {
                warn!(device = %recording.device, file = claim.name, error = error.for_log(), "the recording is not complete");
                state.file = crate::core::wishes::recording::partial_name(&claim.name);
                if let Some(end) = &mut state.end {
                    if end.reason != EndReason::DiskFull {
                        end.reason = EndReason::WriteError;
                    }
                    let before = end.detail.take().map(|text| format!("{text} ")).unwrap_or_default();
                    end.detail = Some(format!("{before}The file is not complete: {}", error.public()));
                }
            }
        }
    }

    fn count_bytes(&self, before: u64, now: u64) {
        if let Some(metrics) = self.tap.metrics() {
            metrics.recording_bytes.add(now.saturating_sub(before));
        }
    }

    fn failed(&self, error: &Error) {
        let full = self.folder.free_bytes().is_some_and(|free| free < FULL);
        let (reason, advice) =
            if full { (EndReason::DiskFull, FULL_DISK) } else { (EndReason::WriteError, "Check the disk.") };
        warn!(device = %self.recording.device, error = error.for_log(), full, "cannot write the recording");
        self.recording.end(reason, Some(format!("{} {advice}", error.public())));
    }
}

fn sentence(reason: EndReason, limits: &Limits) -> String {
    match reason {
        EndReason::SizeLimit => {
            let mb = limits.max_bytes.unwrap_or(0) / 1_000_000;
            format!("The recording reached its limit of {mb} MB (recording.max_mb).")
        }
        EndReason::TimeLimit => {
            let seconds = limits.max_time.unwrap_or_default().as_secs_f64();
            format!("The recording reached its limit of {seconds} s.")
        }
        _ => format!(
            "Less than {} MB are free on the disk, which recording.min_free_mb keeps free. Delete recordings, or set \
             recording.dir to a folder on another disk.",
            limits.min_free_bytes / 1_000_000
        ),
    }
}
