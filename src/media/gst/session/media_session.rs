//! One session: its own pipeline with one webrtcbin and, per stream, `appsrc ! payloader`. Owns that pipeline from offer
//! to teardown; used by the control thread only, its callbacks only send signals.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};
use gst_webrtc::{WebRTCSDPType, WebRTCSessionDescription};

use super::{
    dtls::{self, Identities, Identity},
    good_bye::{run_dry, say_good_bye},
    leg::{Leg, Phase},
    link::Link,
    sdp,
    signals::{Report, Signal, Signals},
    wiring,
};
use crate::{
    core::peer::{candidate::Candidate, fingerprint::Fingerprint, h264::Profile},
    error::{Error, Result},
    media::{
        LocalOffer, MAX_LINES, SessionSpec,
        gst::{
            context::{Context, next_serial},
            encode::{counts::Share, gate::Gate, key_frame_requests::KeyFrames},
            inspect::snapshot::RunningSession,
            port::Port,
            teardown::Teardown,
        },
    },
    model::{Codec, IceCandidate, SessionId, StreamKey, StreamType},
    sync::lock,
};

/// A live session.
pub(in crate::media::gst) struct MediaSession {
    pub(in crate::media::gst) serial: u64,
    pub(super) signals: Signals,
    pub(in crate::media::gst) spec: SessionSpec,
    pub(in crate::media::gst) phase: Phase,
    pub(in crate::media::gst) legs: Vec<Leg>,
    pub(in crate::media::gst) link: Arc<Link>,
    /// Whether DTLS is up.
    pub(in crate::media::gst) connected: bool,
    /// Since when.
    pub(in crate::media::gst) connected_at: Option<Instant>,
    /// When the peer's reports were last asked for, and whether the answer is still out.
    pub(in crate::media::gst) polled_at: Option<Instant>,
    pub(in crate::media::gst) polling: bool,
    retransmitted: u64,
    refused: u64,
    /// Until when the news of the connection waits for the peer's address.
    pub(in crate::media::gst) announce_by: Option<Instant>,
    /// The peer's address.
    pub(in crate::media::gst) remote_address: Option<String>,
    /// Whether the peer has been silent long enough to say so.
    pub(in crate::media::gst) silent: bool,
    /// When its last activity was reported.
    pub(in crate::media::gst) reported_ms: u64,
    pub(in crate::media::gst) webrtc: gst::Element,
    opened_at: Instant,
    pipeline: gst::Pipeline,
    candidates: Vec<(u32, String)>,
    remote_candidates: usize,
    mids: Vec<String>,
    /// The certificate that the peer is shown.
    identity: Arc<Identity>,
    /// The fingerprints that its answer named.
    named: Vec<Fingerprint>,
    /// Whether the peer said good-bye.
    pub(in crate::media::gst) peer_closed: bool,
    /// The channel of point clouds, if there is to be one, and which m-line it is.
    channel: Option<gst_webrtc::WebRTCDataChannel>,
    pub(super) data_line: Option<usize>,
    /// Whether a later offer had more m-lines than the first.
    pub(super) grown: bool,
    /// Whether webrtcbin has the newest offer as its own.
    pub(super) described: bool,
}

/// Longest wait for webrtcbin to make an offer, beside the gathering itself: the first of a process takes up to 1.1 s.
pub(super) const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest wait for candidates where none came with the description: those of this machine come within milliseconds.
const FIRST_CANDIDATE: Duration = Duration::from_millis(100);

impl MediaSession {
    /// Builds the pipeline and asks webrtcbin for an offer; the rest comes as signals. A `warm_up` session keeps off the
    /// configured ports and servers.
    ///
    /// # Errors
    /// An element is missing or refuses.
    pub(in crate::media::gst) fn open(
        ctx: &Arc<Context>,
        reports: &Port<Report>,
        identities: &Identities,
        spec: SessionSpec,
        teardown: &Teardown,
        warm_up: bool,
    ) -> Result<Self> {
        let serial = next_serial();
        let signals = Signals::new(serial, reports.clone());
        let pipeline = gst::Pipeline::builder().name(format!("session-{}", spec.session.short())).build();
        ctx.synchronise(&pipeline);
        wiring::watch_bus(&pipeline, &signals);
        let lines = spec.streams.len() + spec.spare;
        // Also for the lines that may come later, so that what comes from the peer is judged by all of them from the beginning.
        let sent = (0..MAX_LINES.max(lines)).map(|_| (wiring::random_ssrc(), Arc::default())).collect();
        let link = Arc::new(Link::new(sent));
        let built = identities.current(Instant::now()).and_then(|identity| {
            let (webrtc, legs, channel) = Self::build(ctx, &signals, &spec, &pipeline, &link, &identity, warm_up)?;
            Ok((webrtc, legs, channel, identity))
        });
        match built {
            Ok((webrtc, legs, channel, identity)) => Ok(Self {
                serial,
                signals,
                spec,
                phase: Phase::Offering(Instant::now() + OFFER_TIMEOUT),
                legs,
                link,
                connected: false,
                connected_at: None,
                polled_at: None,
                polling: false,
                retransmitted: 0,
                refused: 0,
                announce_by: None,
                remote_address: None,
                silent: false,
                reported_ms: 0,
                webrtc,
                opened_at: Instant::now(),
                pipeline,
                candidates: Vec::new(),
                remote_candidates: 0,
                mids: Vec::new(),
                identity,
                named: Vec::new(),
                peer_closed: false,
                data_line: channel.as_ref().map(|_| lines),
                channel,
                grown: false,
                described: false,
            }),
            Err(error) => {
                teardown.pipeline(pipeline);
                Err(error)
            }
        }
    }

    fn build(
        ctx: &Arc<Context>,
        signals: &Signals,
        spec: &SessionSpec,
        pipeline: &gst::Pipeline,
        link: &Arc<Link>,
        identity: &Arc<Identity>,
        warm_up: bool,
    ) -> Result<(gst::Element, Vec<Leg>, Option<gst_webrtc::WebRTCDataChannel>)> {
        let internal = |what: &str, error: &dyn std::fmt::Display| Error::internal(format!("{what}: {error}"));
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property("latency", 0u32)
            .build()
            .map_err(|error| internal("webrtcbin", &error))?;
        wiring::report_capture_times(&webrtc);
        if warm_up {
            wiring::configure_warm_up(&webrtc);
        } else {
            wiring::configure_ice(ctx, &webrtc);
        }
        wiring::watch_webrtc(ctx, &webrtc, signals, link, identity.clone());
        pipeline.add(&webrtc).map_err(|error| internal("adding webrtcbin", &error))?;
        let mut legs = Vec::with_capacity(spec.streams.len() + spec.spare);
        let streams = spec.streams.iter().map(|(stream, _)| (stream.to_string(), Some(*stream)));
        let spare = (1..=spec.spare).map(|number| (format!("spare-{number}"), None));
        for ((name, stream), sent) in streams.chain(spare).zip(&link.sent) {
            legs.push(Leg::new(&webrtc, &spec.codecs, name, stream, sent.clone())?);
        }
        pipeline.set_state(gst::State::Playing).map_err(|error| internal("starting the session", &error))?;
        // Before the offer, which is to have its m-line.
        let channel = spec.data_channel.then(|| wiring::data_channel(&webrtc, signals)).transpose()?;
        ask_for_offer(&webrtc, signals);
        Ok((webrtc, legs, channel))
    }

    /// Gives webrtcbin its own offer, which starts the gathering.
    pub(in crate::media::gst) fn apply_offer(&self, offer: &WebRTCSessionDescription) {
        self.describe("set-local-description", offer, Signal::LocalDescriptionSet);
    }

    /// webrtcbin has its offer: only now the time for candidates runs, because on a busy machine the offer itself takes longer.
    pub(in crate::media::gst) fn await_candidates(&mut self, ctx: &Context) {
        self.described = true;
        if let Phase::Offering(until) = &mut self.phase {
            if self.grown {
                // They were gathered for the first offer.
                *until = Instant::now();
                return;
            }
            let least = if self.candidates.is_empty() { FIRST_CANDIDATE } else { Duration::ZERO };
            *until = Instant::now() + Duration::from_millis(ctx.config.webrtc.gather_timeout_ms).max(least);
        }
    }

    fn describe(&self, action: &str, description: &WebRTCSessionDescription, signal: fn(Result<(), String>) -> Signal) {
        let signals = self.signals.clone();
        let promise = gst::Promise::with_change_func(move |reply| {
            let result = promised(reply).map(|_| ());
            signals.send(signal(result));
        });
        self.webrtc.emit_by_name::<()>(action, &[description, &promise]);
    }

    /// Keeps a candidate of ours while the offer is made; returns it once the offer is out.
    pub(in crate::media::gst) fn local_candidate(
        &mut self,
        ctx: &Context,
        mline: u32,
        candidate: String,
    ) -> Option<IceCandidate> {
        // The configuration was checked; empty is no address.
        let candidate = match ctx.config.webrtc.announce_address.parse() {
            Ok(address) => Candidate::announced_at(candidate, address),
            Err(_) => candidate,
        };
        if candidate.is_empty() || self.candidates.iter().any(|(_, known)| *known == candidate) {
            return None;
        }
        let late = !matches!(self.phase, Phase::Offering(_));
        let described = late.then(|| self.describe_candidate(mline, candidate.clone()));
        self.candidates.push((mline, candidate));
        described
    }

    fn describe_candidate(&self, mline: u32, candidate: String) -> IceCandidate {
        let mid = usize::try_from(mline).ok().and_then(|mline| self.mids.get(mline).cloned());
        IceCandidate { candidate, sdp_mid: mid, sdp_mline_index: Some(mline) }
    }

    /// The offer with what has been gathered.
    ///
    /// # Errors
    /// Unavailable when nothing was gathered, or webrtcbin took too long.
    pub(in crate::media::gst) fn finish_offer(&mut self, ctx: &Context, complete: bool) -> Result<LocalOffer> {
        // Where it has no description of its own, it may have one of an earlier offer.
        let local = self.webrtc.property::<Option<WebRTCSessionDescription>>("local-description");
        let Some(local) = local.filter(|_| self.described || !self.grown) else {
            let seconds = OFFER_TIMEOUT.as_secs();
            return Err(Error::busy(format!(
                "The server is too busy: it made no offer within {seconds} s. Try again."
            )));
        };
        let text = local.sdp().as_text().map_err(|error| Error::internal(format!("the offer's SDP: {error}")))?;
        let text = dtls::with_fingerprint(&text, &self.identity.fingerprint);
        let text = self.keep_repairs(text);
        self.mids = sdp::mids(&text);
        for (mline, candidate) in sdp::candidates(&text) {
            self.local_candidate(ctx, mline, candidate);
        }
        if self.candidates.is_empty() {
            let (min, max) = (ctx.config.webrtc.min_port, ctx.config.webrtc.max_port);
            return Err(Error::unavailable(if max > 0 {
                format!(
                    "No network port is free for another session: webrtc.min_port to max_port ({min}-{max}) is used up. \
                     Close a session or widen the range."
                )
            } else {
                "The server found no network address to send media from; check its network.".into()
            }));
        }
        if self.spec.codecs.contains(&Codec::H264) && !self.grown {
            self.announce_h264(ctx);
        }
        let streams = self.by_mline(|leg| (leg.name.clone(), leg.h264));
        let session = &self.spec.session;
        let sdp = sdp::finish_offer(&text, session, &streams, &self.spec.codecs, &self.candidates, complete);
        let candidates =
            self.candidates.iter().map(|(mline, text)| self.describe_candidate(*mline, text.clone())).collect();
        self.phase = Phase::Offered;
        Ok(LocalOffer { sdp, candidates })
    }

    /// Checks an answer and hands it to webrtcbin.
    ///
    /// # Errors
    /// Invalid; the session waits for a better answer.
    pub(in crate::media::gst) fn apply_answer(&mut self, ctx: &Context, text: &str) -> Result<()> {
        match self.phase {
            Phase::Offered => {}
            Phase::Offering(_) => return Err(Error::invalid("The session's offer is not made yet.")),
            Phase::Answering(_) | Phase::Answered => {
                return Err(Error::invalid("The session has its answer already; ask for a new offer to change it."));
            }
        }
        let h264 = self.by_mline(|leg| leg.h264.map_or(Profile::CONSTRAINED_BASELINE, |id| id.profile));
        let (codecs, tcp) = (&self.spec.codecs, ctx.config.webrtc.ice_tcp);
        let checked =
            sdp::check_answer(text, &sdp::Terms { mids: &self.mids, h264: &h264, codecs, tcp, data: self.data_line })?;
        self.check_kept(&checked)?;
        let message = gst_sdp::SDPMessage::parse_buffer(checked.sdp.as_bytes())
            .map_err(|error| Error::invalid(format!("The answer's SDP cannot be used: {error}")))?;
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, message);
        self.named = checked.fingerprints;
        self.phase = Phase::Answering(checked.chosen);
        self.describe("set-remote-description", &answer, Signal::RemoteDescriptionSet);
        Ok(())
    }

    /// Builds `appsrc ! payloader` for a stream in the codec that the answer chose.
    ///
    /// # Errors
    /// Internal: an element is missing or does not link.
    pub(in crate::media::gst) fn build_leg(
        &mut self,
        ctx: &Arc<Context>,
        index: usize,
        (payload, codec): (u8, Codec),
        key_frames: Option<Arc<KeyFrames>>,
    ) -> Result<Arc<Gate>> {
        let leg =
            self.legs.get_mut(index).ok_or_else(|| Error::internal("the answer has more streams than the offer"))?;
        let failed = |error: &dyn std::fmt::Display| Error::internal(format!("payloader for {codec}: {error}"));
        let source = wiring::session_source(codec);
        let payloader = wiring::payloader(codec, payload, leg.ssrc).map_err(|error| failed(&error))?;
        // For the log and the graph; neither has a parent yet that could refuse.
        let name = leg.stream.map_or_else(|| format!("line-{index}"), |stream| stream.to_string());
        source.set_property("name", format!("source-{name}"));
        payloader.set_property("name", format!("payloader-{name}"));
        self.pipeline.add_many([source.upcast_ref(), &payloader]).map_err(|error| failed(&error))?;
        source.link(&payloader).map_err(|error| failed(&error))?;
        let out = payloader.static_pad("src").ok_or_else(|| failed(&"no src pad"))?;
        wiring::count_packets(ctx, &out, &leg.counters);
        out.link(&leg.pad).map_err(|error| failed(&error))?;
        payloader.sync_state_with_parent().map_err(|error| failed(&error))?;
        source.sync_state_with_parent().map_err(|error| failed(&error))?;
        let gate = Gate::new(ctx.clone(), source.clone(), key_frames.unwrap_or_default(), leg.counters.clone());
        wiring::forward_key_frame_requests(ctx, &source, &gate);
        if let Some(stream) = leg.stream {
            let key = StreamKey::new(self.spec.device.clone(), stream);
            leg.share = Some(Share::new(ctx.metrics.encoder(&key, codec), leg.counters.clone()));
        }
        (leg.codec, leg.payload) = (Some(codec), Some(payload));
        leg.gate = Some(gate.clone());
        Ok(gate)
    }

    /// Has an m-line carry another stream, or nothing: who passes its pictures on, and as what. `None` for a line that the peer refused.
    pub(in crate::media::gst) fn switch_leg(
        &mut self,
        ctx: &Context,
        index: usize,
        stream: Option<(StreamType, Arc<KeyFrames>)>,
    ) -> Option<Arc<Gate>> {
        self.add_shares(ctx);
        let leg = self.legs.get_mut(index)?;
        let (gate, codec) = (leg.gate.clone()?, leg.codec?);
        leg.share = None;
        leg.stream = stream.as_ref().map(|(stream, _)| *stream);
        // Without a stream nobody is asked.
        gate.redirect(stream.as_ref().map(|(_, key_frames)| key_frames.clone()).unwrap_or_default());
        if let Some((stream, _)) = stream {
            let key = StreamKey::new(self.spec.device.clone(), stream);
            leg.share = Some(Share::new(ctx.metrics.encoder(&key, codec), leg.counters.clone()));
        }
        Some(gate)
    }

    /// Gives webrtcbin a candidate of the peer; one that cannot be used is logged and forgotten.
    pub(in crate::media::gst) fn add_candidate(&mut self, ctx: &Context, candidate: &IceCandidate) {
        if candidate.candidate.trim().is_empty() {
            return;
        }
        let checked = sdp::check_candidate(&candidate.candidate, ctx.config.webrtc.ice_tcp);
        let (Some(text), Some(_)) = (checked, sdp::candidate_mline(candidate, &self.mids)) else {
            tracing::debug!(session = self.id().short(), candidate = %candidate.candidate, "Candidate ignored");
            return;
        };
        self.remote_candidates += 1;
        if self.remote_candidates > sdp::MAX_REMOTE_CANDIDATES || !(self.grown || matches!(self.phase, Phase::Answered))
        {
            return;
        }
        // All m-lines share the first one's transport; webrtcbin knows no other and drops what is for another.
        self.webrtc.emit_by_name::<()>("add-ice-candidate", &[&0u32, &text]);
    }

    /// Whether it has a data channel that takes texts.
    pub(in crate::media::gst) fn has_open_channel(&self) -> bool {
        let state = self.channel.as_ref().map(gst_webrtc::WebRTCDataChannel::ready_state);
        state == Some(gst_webrtc::WebRTCDataChannelState::Open)
    }

    /// Sends texts on the data channel, unless those before are still on their way.
    pub(in crate::media::gst) fn send_data(&self, texts: &[String]) {
        let Some(channel) = self.channel.as_ref().filter(|_| self.has_open_channel()) else { return };
        if channel.buffered_amount() > 0 {
            return;
        }
        for text in texts {
            if let Err(error) = channel.send_string_full(Some(text)) {
                tracing::debug!(session = self.id().short(), %error, "The data channel takes nothing");
                return;
            }
        }
    }

    /// Asks for the peer's reports; they come as [`Report::Stats`].
    pub(in crate::media::gst) fn request_stats(&self, request: u64) {
        let (signals, session) = (self.signals.clone(), self.id().clone());
        let promise = gst::Promise::with_change_func(move |reply| {
            let part = reply.ok().flatten().map(super::stats::parse).unwrap_or_default();
            signals.send_stats(request, session, part);
        });
        self.webrtc.emit_by_name::<()>("get-stats", &[&None::<gst::Pad>, &promise]);
    }

    /// Adds what its streams did since the last time to what is counted for all sessions.
    pub(in crate::media::gst) fn add_shares(&mut self, ctx: &Context) {
        for leg in &mut self.legs {
            if let Some(share) = &mut leg.share {
                share.add(&leg.peer);
            }
        }
        let (now, refused) = (self.retransmitted_now(), self.link.refused.load(Relaxed));
        let device = ctx.metrics.device(&self.spec.device);
        device.retransmitted.add(now.saturating_sub(self.retransmitted));
        device.retransmissions_refused.add(refused.saturating_sub(self.refused));
        (self.retransmitted, self.refused) = (now.max(self.retransmitted), refused);
    }

    /// Packets sent again, as the element tells that keeps them.
    pub(in crate::media::gst) fn retransmitted_now(&self) -> u64 {
        let element = lock(&self.link.rtprtxsend).upgrade();
        element.map_or(0, |element| element.property::<u32>("num-rtx-packets").into())
    }

    /// webrtcbin's view of the connection.
    pub(in crate::media::gst) fn connection_state(&self) -> gst_webrtc::WebRTCPeerConnectionState {
        self.webrtc.property("connection-state")
    }

    /// Whether the peer's certificate is one that its answer named. Known once DTLS is up.
    pub(in crate::media::gst) fn peer_is_who_answered(&self) -> bool {
        self.peer_shows(&self.named)
    }

    /// Whether the certificate that the peer showed is one of these. Known once DTLS is up.
    pub(super) fn peer_shows(&self, named: &[Fingerprint]) -> bool {
        let shown = self.link.dtlsdec().and_then(|dtlsdec| dtlsdec.property::<Option<String>>("peer-pem"));
        shown.is_some_and(|shown| dtls::is_named(&shown, named))
    }

    /// For who looks at it from another thread.
    pub(in crate::media::gst) fn look(&self, wanted: bool) -> RunningSession {
        let (session, pipeline) = (self.id().clone(), self.pipeline.clone());
        RunningSession { serial: self.serial, session, opened_at: self.opened_at, wanted, pipeline }
    }

    pub(in crate::media::gst) fn id(&self) -> &SessionId {
        &self.spec.session
    }

    /// Ends the session. Its branches are detached by the caller before; here the gates close, so nothing more comes in,
    /// what is queued leaves, and the pipeline goes to NULL on a worker thread: from a callback of webrtcbin it would
    /// deadlock, and here it would hold everybody up.
    pub(in crate::media::gst) fn close(mut self, ctx: &Context, teardown: &Teardown) {
        self.add_shares(ctx);
        let gates: Vec<_> = self.legs.into_iter().filter_map(|leg| leg.gate).collect();
        gates.iter().for_each(|gate| gate.close());
        let dtlsenc = lock(&self.link.dtlsenc).upgrade();
        // A good-bye to a peer that said it itself would only be an error in the log.
        let dtlsenc = dtlsenc.filter(|_| self.connected && !self.peer_closed);
        teardown.pipeline_after(self.pipeline, move || {
            run_dry(&gates);
            if let Some(dtlsenc) = dtlsenc {
                say_good_bye(&dtlsenc);
            }
        });
    }
}

/// Asks webrtcbin for an offer, which comes as a signal.
pub(super) fn ask_for_offer(webrtc: &gst::Element, signals: &Signals) {
    let signals = signals.clone();
    let promise = gst::Promise::with_change_func(move |reply| {
        let offer = promised(reply).and_then(|reply| {
            let reply = reply.ok_or("no reply")?;
            reply.get::<WebRTCSessionDescription>("offer").map_err(|error| error.to_string())
        });
        signals.send(Signal::OfferMade(offer));
    });
    webrtc.emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
}

/// A promise's reply, or the error that webrtcbin put into it.
fn promised(
    reply: std::result::Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<Option<&gst::StructureRef>, String> {
    match reply {
        Ok(Some(reply)) => match reply.get::<glib::Error>("error") {
            Ok(error) => Err(error.message().to_owned()),
            Err(_) => Ok(Some(reply)),
        },
        Ok(None) => Ok(None),
        Err(error) => Err(format!("{error:?}")),
    }
}
