//! One stream of a session, and how far the session's negotiation is.

use std::{sync::Arc, time::Instant};

use gst::prelude::*;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection};

use super::wiring;
use crate::{
    core::peer::h264::ProfileLevelId,
    error::{Error, Result},
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
    /// The SSRC of its retransmissions, from the first offer that it is in.
    pub(super) repair: Option<u32>,
    /// What the offers call it; it stays the same whatever the leg carries, so that a peer keeps its track.
    pub(super) name: String,
    /// What the offers say that its H.264 is.
    pub(super) h264: Option<ProfileLevelId>,
    /// Whether the peer refused it before a later offer, which asks for nothing on it any more: webrtcbin 1.22 cannot change the
    /// direction of a line that was inactive.
    pub(super) dark: bool,
    /// The payload type that the answer chose.
    pub(super) payload: Option<u8>,
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

impl Leg {
    /// Has webrtcbin make an m-line for a stream, or a spare one.
    ///
    /// # Errors
    /// Internal: webrtcbin gives none.
    pub(super) fn new(
        webrtc: &gst::Element,
        codecs: &[Codec],
        name: String,
        stream: Option<StreamType>,
        (ssrc, counters): (u32, Arc<Counters>),
    ) -> Result<Self> {
        // The pad first, then its transceiver: add-transceiver and then a pad make two m-lines.
        let pad = webrtc.request_pad_simple("sink_%u").ok_or_else(|| Error::internal("webrtcbin gives no sink pad"))?;
        let transceiver = pad.property::<WebRTCRTPTransceiver>("transceiver");
        transceiver.set_property("direction", WebRTCRTPTransceiverDirection::Sendonly);
        transceiver.set_property("do-nack", true);
        transceiver.set_property("codec-preferences", wiring::codec_preferences(codecs, ssrc));
        let peer = StreamStats::default();
        let (codec, payload, report, gate, share, h264, repair) = (None, None, None, None, None, None, None);
        let dark = false;
        Ok(Self { stream, ssrc, repair, name, dark, h264, payload, codec, counters, peer, report, pad, gate, share })
    }

    /// Asks for nothing on it in later offers.
    pub(super) fn make_dark(&mut self) {
        self.dark = true;
        self.pad
            .property::<WebRTCRTPTransceiver>("transceiver")
            .set_property("direction", WebRTCRTPTransceiverDirection::Inactive);
    }
}
