//! What the table of streams is told and what it asks for: who holds a reference, what is to be done, what became of it.

use std::time::Duration;

use crate::{
    error::Error,
    model::{DeviceId, SessionId, StreamConfig, StreamKey, StreamType},
};

/// Who holds a reference on a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The explicit start of the device over REST.
    Explicit,
    /// The explicit start of the stream's sensor over REST.
    Sensor,
    /// An explicit start, or a change of a session, that is not answered yet, by its number. Becomes [`Self::Explicit`],
    /// [`Self::Sensor`] or [`Self::Session`] when it is; until then it can be taken back without taking anything from another.
    Start(u64),
    /// The server itself, for motion data beside running video. Never counted as a reference.
    Metadata,
    /// The device's recording.
    Recording,
    /// A session.
    Session(SessionId),
}

/// What the caller is to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Make exactly these streams run on the device; answered by [`super::references::Streams::applied`].
    Apply {
        /// Device.
        device: DeviceId,
        /// Counts up with each apply of a device; the answer carries it.
        generation: u64,
        /// Sensor and stream.
        wanted: Vec<(usize, StreamConfig)>,
    },
    /// The stream runs (again).
    Running {
        /// Stream.
        key: StreamKey,
        /// What runs.
        config: StreamConfig,
        /// Whether it ran otherwise until somebody asked for this.
        restarted: bool,
    },
    /// A stream that was to run otherwise could not: it is brought back as it was, and its holders keep it.
    RestartRefused {
        /// Stream.
        key: StreamKey,
        /// Why.
        error: Error,
        /// Who had asked for it.
        by: Holder,
    },
    /// A stream that never ran could not be started; nobody holds a reference to it any longer.
    Failed {
        /// Stream.
        key: StreamKey,
        /// Why.
        error: Error,
        /// Who had waited for it.
        holders: Vec<Holder>,
    },
    /// A running stream stopped by itself; its holders keep it and it comes back when it can.
    Interrupted {
        /// Stream.
        key: StreamKey,
        /// Why.
        error: Error,
    },
    /// Nobody wants the stream any more.
    Stopped {
        /// Stream.
        key: StreamKey,
    },
}

/// What became of an apply, as the camera manager reports it.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// What runs now.
    pub running: Vec<StreamConfig>,
    /// What was wanted and does not run, and why.
    pub failed: Vec<(StreamType, Error)>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a stream outlives its last holder.
    pub linger: Duration,
    /// How long a first start may take.
    pub start_timeout: Duration,
}
