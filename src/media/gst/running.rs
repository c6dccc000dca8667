//! What the control thread hands out to those who look at running pipelines: clones, so that they can take their time.
//! Owns nothing of what runs.

use std::time::Instant;

use crate::model::{Codec, SessionId, StreamKey};

/// Everything of one device that runs.
#[derive(Default)]
pub(super) struct Running {
    /// One per stream and codec.
    pub(super) encoders: Vec<RunningEncoder>,
    /// The device's sessions.
    pub(super) sessions: Vec<RunningSession>,
}

/// An encoder's pipeline.
pub(super) struct RunningEncoder {
    /// Tells it from its predecessor.
    pub(super) serial: u64,
    pub(super) key: StreamKey,
    pub(super) codec: Codec,
    /// The file it was built from.
    pub(super) file: String,
    pub(super) started_at: Instant,
    pub(super) pipeline: gst::Pipeline,
    /// The sinks on its tee, and whose they are.
    pub(super) branches: Vec<(gst::Element, SessionId)>,
}

/// A session's pipeline.
pub(super) struct RunningSession {
    pub(super) serial: u64,
    pub(super) session: SessionId,
    pub(super) opened_at: Instant,
    /// Whether it is the one that was asked for.
    pub(super) wanted: bool,
    pub(super) pipeline: gst::Pipeline,
}
