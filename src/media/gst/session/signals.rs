//! What a session's callbacks tell the control thread. Decides nothing.

use super::stats::PeerStats;
use crate::{core::peer::rtcp::Misuse, media::gst::port::Port, model::SessionId};

/// What a session's callbacks report.
pub(in crate::media::gst) enum Signal {
    OfferMade(Result<gst_webrtc::WebRTCSessionDescription, String>),
    LocalDescriptionSet(Result<(), String>),
    LocalCandidate(u32, String),
    GatheringComplete,
    RemoteDescriptionSet(Result<(), String>),
    ConnectionState,
    /// The data channel opened, or closed.
    DataChannelState,
    DtlsClosed,
    /// The peer does what no receiver has to.
    Misuse(Misuse),
    Error(String),
}

/// What the control thread is told of sessions.
pub(in crate::media::gst) enum Report {
    /// From a callback of the session with this serial number.
    Signal(u64, Signal),
    /// One session's part of the statistics request with this number.
    Stats(u64, SessionId, PeerStats),
}

/// Where one session's callbacks report; cheap to clone.
#[derive(Clone)]
pub(in crate::media::gst) struct Signals {
    serial: u64,
    port: Port<Report>,
}

impl Signals {
    /// For the session with this serial number.
    pub(in crate::media::gst) fn new(serial: u64, port: Port<Report>) -> Self {
        Self { serial, port }
    }

    /// Never waits. What is refused is of a session that is about to end, or one too many.
    pub(in crate::media::gst) fn send(&self, signal: Signal) {
        self.port.tell(Report::Signal(self.serial, signal));
    }

    /// The session's part of the statistics request with this number.
    pub(super) fn send_stats(&self, request: u64, session: SessionId, part: PeerStats) {
        self.port.tell(Report::Stats(request, session, part));
    }
}
