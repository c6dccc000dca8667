//! What the cameras tell the session actor, and in which order. Owns the rule that an attachment's news come between its
//! opening and its end, whichever threads tell them; never waits for the listener.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    core::wishes::references::Applied,
    error::Error,
    model::{Attachment, DeviceId, DeviceInfo, SensorInfo, StreamType},
    sync::{Mutex, lock},
};

/// What the manager tells the session actor. Few: a handful for each start, stop or plug.
#[derive(Debug)]
pub enum CameraEvent {
    /// Something about a device.
    Device {
        /// Device.
        device: DeviceId,
        /// Which stay of the device this is about: news of an earlier one count no more.
        attachment: Attachment,
        /// What there is to tell.
        news: DeviceNews,
    },
    /// A recording that was closed is known no more, so that recordings without end leave nothing behind.
    Forgotten {
        /// Device.
        device: DeviceId,
    },
    /// A recording needs its streams no more: it ended, or never began.
    RecordingEnded {
        /// Device.
        device: DeviceId,
        /// Which of the device's recordings; a recording is not of an attachment, its number tells it from others.
        generation: u64,
    },
}

/// What there is to tell of a device.
#[derive(Debug)]
pub enum DeviceNews {
    /// It is there and is being opened. An attachment's first news.
    Opening,
    /// It is open and offers these sensors.
    Present {
        /// What it is.
        info: Box<DeviceInfo>,
        /// Its sensors.
        sensors: Vec<SensorInfo>,
    },
    /// It is there but cannot be opened, or failed while it was open; it is tried again. Nothing of it runs.
    OpenFailed(Error),
    /// It went. An attachment's last news.
    Gone,
    /// What became of an apply.
    Applied {
        /// The apply's generation.
        generation: u64,
        /// Outcome.
        applied: Applied,
    },
    /// Options of a sensor have other values now: somebody set them, or the camera itself.
    OptionsChanged {
        /// The sensor's place in the device.
        sensor: usize,
        /// The new values, by id.
        values: BTreeMap<String, f64>,
    },
    /// A running stream stopped delivering frames and was stopped.
    Broke {
        /// Stream.
        stream: StreamType,
        /// The newest apply that was carried out by then: a stream that was asked for later did not run yet.
        generation: u64,
        /// Why.
        error: Error,
    },
}

/// Where camera events go; never blocks.
pub type CameraEvents = Arc<dyn Fn(CameraEvent) + Send + Sync>;

/// Tells the news of one attachment. Shared by the manager, which tells its beginning and end, and by the device's thread.
pub(super) struct Reporter {
    device: DeviceId,
    attachment: Attachment,
    events: CameraEvents,
    /// Changed under `turn` only; read without it where a late answer does no harm.
    alive: AtomicBool,
    /// Held while something is told, so that nothing is told after the end.
    turn: Mutex<()>,
}

impl Reporter {
    /// Tells that the device is being opened.
    pub(super) fn begin(device: DeviceId, attachment: Attachment, events: CameraEvents) -> Arc<Self> {
        let (alive, turn) = (AtomicBool::new(true), Mutex::default());
        let reporter = Arc::new(Self { device, attachment, events, alive, turn });
        reporter.tell(DeviceNews::Opening);
        reporter
    }

    pub(super) fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// Whether the attachment lasts. It may end the moment after; see [`Self::while_alive`].
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Does something that must not be done after the end.
    pub(super) fn while_alive(&self, work: impl FnOnce()) {
        let _turn = lock(&self.turn);
        if self.is_alive() {
            work();
        }
    }

    /// Tells news, unless the attachment ended.
    pub(super) fn tell(&self, news: DeviceNews) {
        self.while_alive(|| self.send(news));
    }

    /// Ends the attachment; nothing is told of it after this.
    pub(super) fn end(&self) {
        self.while_alive(|| {
            self.alive.store(false, Ordering::Relaxed);
            self.send(DeviceNews::Gone);
        });
    }

    fn send(&self, news: DeviceNews) {
        (self.events)(CameraEvent::Device { device: self.device.clone(), attachment: self.attachment, news });
    }
}
