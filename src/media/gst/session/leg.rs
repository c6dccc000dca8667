//! One stream of a session, and how far the session's negotiation is.

use std::{sync::Arc, time::Instant};

use crate::{
    media::{
        StreamStats,
        gst::encode::{counts::Counters, counts::Share, gate::Gate},
    },
    model::{Codec, StreamType},
};

/// How far the negotiation is.
pub(in crate::media::gst) enum Phase {
    /// The offer is being made and candidates gathered, until this time.
    Offering(Instant),
    /// The offer is out.
    Offered,
    /// webrtcbin has the answer, which chose these.
    Answering(Vec<Option<(u8, Codec)>>),
    /// The answer is applied.
    Answered,
}

/// One stream of a session.
pub(in crate::media::gst) struct Leg {
    /// What it carries; nothing on a spare m-line.
    pub(in crate::media::gst) stream: Option<StreamType>,
    pub(in crate::media::gst) ssrc: u32,
    pub(in crate::media::gst) codec: Option<Codec>,
    pub(in crate::media::gst) counters: Arc<Counters>,
    /// What the peer last reported.
    pub(in crate::media::gst) peer: StreamStats,
    /// Which of the peer's reports that was.
    pub(in crate::media::gst) report: Option<(u32, u32)>,
    pub(super) pad: gst::Pad,
    pub(in crate::media::gst) gate: Option<Arc<Gate>>,
    /// Its part of what is counted for all sessions, once its codec is known.
    pub(in crate::media::gst) share: Option<Share>,
}
