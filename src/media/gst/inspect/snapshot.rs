//! What the control thread hands out to those who look at running pipelines: clones, so that they can take their time.
//! Owns nothing of what runs.

use std::{sync::mpsc, time::Instant};

use crate::model::{Codec, DeviceId, SessionId, StreamKey};

/// Asks what runs of a device, and of the session that is named.
pub(in crate::media::gst) struct SnapshotRequest {
    pub(in crate::media::gst) device: DeviceId,
    pub(in crate::media::gst) session: Option<SessionId>,
    /// Where the answer goes; the one who asked may have given up.
    pub(in crate::media::gst) reply: mpsc::SyncSender<Running>,
}

/// Everything of one device that runs.
#[derive(Default)]
pub(in crate::media::gst) struct Running {
    /// One per stream and codec.
    pub(in crate::media::gst) encoders: Vec<RunningEncoder>,
    /// The device's sessions.
    pub(in crate::media::gst) sessions: Vec<RunningSession>,
}

/// An encoder's pipeline.
pub(in crate::media::gst) struct RunningEncoder {
    /// Tells it from its predecessor.
    pub(in crate::media::gst) serial: u64,
    pub(in crate::media::gst) key: StreamKey,
    pub(in crate::media::gst) codec: Codec,
    /// The file it was built from.
    pub(in crate::media::gst) file: String,
    pub(in crate::media::gst) started_at: Instant,
    pub(in crate::media::gst) pipeline: gst::Pipeline,
    /// The sinks on its tee, and whose they are.
    pub(in crate::media::gst) branches: Vec<(gst::Element, SessionId)>,
}

/// A session's pipeline.
pub(in crate::media::gst) struct RunningSession {
    pub(in crate::media::gst) serial: u64,
    pub(in crate::media::gst) session: SessionId,
    pub(in crate::media::gst) opened_at: Instant,
    /// Whether it is the one that was asked for.
    pub(in crate::media::gst) wanted: bool,
    pub(in crate::media::gst) pipeline: gst::Pipeline,
}
