//! The control thread: decides what is built, started, linked and taken down. Owns the table of sessions and the streams; acts
//! on one message at a time and waits for nothing but the next message. What may take long is done for it elsewhere: encoders
//! start on threads of their own (`starter`), pipelines go down on workers (`teardown`), and tee pads are unlinked in idle
//! probes. What it calls in GStreamer itself may hang all the same: `inbox` notices that.

mod statistics;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use statistics::PendingStats;

use super::{
    context::Context,
    encode::{
        encoder,
        starter::{Ports, Started},
        streams::Streams,
    },
    inbox::{Receiver, Sender},
    inspect::snapshot::{Running, SnapshotRequest},
    messages::Msg,
    pipelines::folder::FileRead,
    port::Port,
    session::{
        dtls::Identities,
        leg::Phase,
        media_session::MediaSession,
        signals::{Report, Signal},
    },
    teardown::Teardown,
};
use crate::{
    core::peer::silence::Rhythm,
    error::{Error, Result},
    media::{MediaEvent, NewLine, SessionSpec},
    model::{Codec, DeviceId, Profile, SessionEnd, SessionId, StreamKey, StreamType},
};

/// How often connected peers are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Longest wait for the peers' reports.
const STATS_WAIT: Duration = Duration::from_millis(250);
/// The statistics request that asks for a new connection's address; real requests count from 1.
const ANNOUNCE: u64 = 0;
/// Longest wait for pipelines to go down at the end.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// The control thread's state.
pub(super) struct Control {
    ctx: Arc<Context>,
    sessions: HashMap<SessionId, MediaSession>,
    serials: HashMap<u64, SessionId>,
    streams: Streams,
    /// Where sessions report.
    reports: Port<Report>,
    /// The certificates that they show.
    identities: Identities,
    teardown: Teardown,
    stats: HashMap<u64, PendingStats>,
    next_stats: u64,
    /// The session that warms webrtcbin up; nobody hears of it.
    warm_up: Option<SessionId>,
    watched_at: Instant,
}

impl Control {
    pub(super) fn new(ctx: Arc<Context>, control: &Sender, teardown: Teardown) -> Self {
        Self {
            ctx,
            sessions: HashMap::new(),
            serials: HashMap::new(),
            streams: Streams::new(Ports { started: control.port(), encoders: control.port() }),
            reports: control.port(),
            identities: Identities::default(),
            teardown,
            stats: HashMap::new(),
            next_stats: 0,
            warm_up: None,
            watched_at: Instant::now(),
        }
    }

    /// Runs until it is told to shut down.
    pub(super) fn run(mut self, messages: &Receiver, warm_up: bool) {
        if warm_up {
            self.warm_up();
        }
        let done = loop {
            match messages.next(self.next_timeout()) {
                Some(Msg::Shutdown(done)) => break done,
                Some(message) => self.handle(message),
                None => {}
            }
            self.handle_timeout(Instant::now());
        };
        let sessions: Vec<_> = self.sessions.keys().cloned().collect();
        sessions.iter().for_each(|session| self.close(session));
        self.ctx.files.stop();
        self.streams.shutdown(&self.teardown);
        // What was still starting: an element wants to be in NULL when it is freed.
        for message in messages.drain() {
            if let Msg::Started(Started { result: Ok(Some(encoder)), .. }) = message {
                encoder.stop(&self.teardown);
            }
        }
        // Branches unlinked meanwhile would wait for this thread; their pipelines go down whole.
        self.teardown.finish(SHUTDOWN_WAIT);
        tracing::debug!("Media ended");
        let _ = done.send(());
    }

    /// The first webrtcbin of a process takes 0.2 to 1.1 s (certificate, plugins): nobody's offer should wait for it.
    fn warm_up(&mut self) {
        let session = SessionId::new("warm-up");
        let profile = self.ctx.config.streams.color.profile();
        self.warm_up = Some(session.clone());
        self.open(SessionSpec {
            session,
            device: DeviceId::new("warm-up"),
            streams: vec![(StreamType::Color, profile)],
            largest: Vec::new(),
            codecs: self.ctx.config.pipelines.codecs.clone(),
            spare: 0,
            data_channel: false,
        });
    }

    fn handle(&mut self, message: Msg) {
        match message {
            Msg::Open(spec) => self.open(spec),
            Msg::Answer(session, sdp) => self.answer(session, &sdp),
            Msg::Candidate(session, candidate) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.add_candidate(&self.ctx, &candidate);
                }
            }
            Msg::Grow(session, lines) => self.grow(session, &lines),
            Msg::Switch(session, lines) => self.switch(&session, &lines),
            Msg::Data(session, texts) => {
                if let Some(session) = self.sessions.get(&session) {
                    session.send_data(&texts);
                }
            }
            Msg::Close(session) => self.close(&session),
            Msg::StreamRunning(key, profile) => self.streams.running(&self.ctx, &key, profile),
            Msg::StreamStopped(key) => self.streams.stopped(&self.teardown, &key),
            Msg::DepthRange(device, min_m, max_m) => self.streams.set_range(&device, (min_m, max_m)),
            Msg::DeviceForgotten(device) => self.streams.forget_range(&device),
            Msg::Stats(sessions, reply) => self.request_stats(sessions, reply),
            Msg::Session(Report::Stats(request, session, part)) => self.take_stats(request, &session, part),
            Msg::Session(Report::Signal(serial, signal)) => {
                // A late callback of a session that is gone finds nothing here.
                if let Some(session) = self.serials.get(&serial).cloned() {
                    self.signal(&session, signal);
                }
            }
            Msg::Encoder(encoder::Report::Failed(serial, message)) => {
                self.streams.encoder_failed(&self.ctx, &self.teardown, serial, &message, Instant::now());
            }
            Msg::Pipelines(reply) => self.ctx.files.list(self.streams.standing(&self.ctx), reply),
            // The folder may be on a network: its own thread reads.
            Msg::Reload(name, reply) => self.ctx.files.read(name, reply),
            Msg::FileRead(FileRead { name, text, reply }) => self.streams.reload(&self.ctx, &name, text, reply),
            Msg::Started(started) => self.streams.started(&self.ctx, &self.teardown, started),
            // Who asked may have given up.
            Msg::Running(SnapshotRequest { device, session, reply }) => {
                drop(reply.try_send(self.running(&device, session.as_ref())));
            }
            Msg::Encoder(encoder::Report::Unlinked(branch)) => branch.free(),
            // Taken by `run`.
            Msg::Shutdown(_) => {}
            #[cfg(test)]
            Msg::Hang(held) => drop(held.recv()),
        }
    }

    /// What runs of a device; a session may be named by its first eight characters, as the log names it.
    fn running(&self, device: &DeviceId, session: Option<&SessionId>) -> Running {
        let encoders = self.streams.look(device, &self.serials);
        let wanted = |id: &SessionId| session.is_some_and(|wanted| id == wanted || id.short() == wanted.as_str());
        let of_device = self.sessions.values().filter(|session| session.spec.device == *device);
        let sessions = of_device.map(|session| session.look(wanted(session.id()))).collect();
        Running { encoders, sessions }
    }

    fn emit(&self, event: MediaEvent) {
        (self.ctx.events)(event);
    }

    fn open(&mut self, spec: SessionSpec) {
        let id = spec.session.clone();
        if self.sessions.contains_key(&id) {
            let result = Err(Error::internal(format!("session {id} is opened twice")));
            return self.emit(MediaEvent::Offer { session: id, result });
        }
        if self.teardown.is_overloaded() {
            let result = Err(Error::unavailable(
                "Too many sessions are still being taken down; try again in a moment. If this lasts, the server's log \
                 names the pipelines that hang.",
            ));
            return self.emit(MediaEvent::Offer { session: id, result });
        }
        let warm_up = self.warm_up.as_ref() == Some(&id);
        match MediaSession::open(&self.ctx, &self.reports, &self.identities, spec, &self.teardown, warm_up) {
            Ok(session) => {
                self.serials.insert(session.serial, id.clone());
                self.sessions.insert(id, session);
            }
            Err(error) => self.emit(MediaEvent::Offer { session: id, result: Err(error) }),
        }
    }

    fn close(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.serials.remove(&session.serial);
        // First the branches, so that the encoders have nothing to do with what follows; then the pipeline.
        self.streams.leave(session.serial, Instant::now());
        session.close(&self.ctx, &self.teardown);
        for pending in self.stats.values_mut() {
            pending.forget(id);
        }
    }

    fn answer(&mut self, id: SessionId, sdp: &str) {
        let result = match self.sessions.get_mut(&id) {
            Some(session) => session.apply_answer(&self.ctx, sdp),
            None => Err(Error::unknown_session(&id)),
        };
        if let Err(error) = result {
            self.emit(MediaEvent::Answered { session: id, result: Err(error) });
        }
    }

    fn signal(&mut self, id: &SessionId, signal: Signal) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match signal {
            Signal::OfferMade(Ok(offer)) => session.apply_offer(&offer),
            Signal::OfferMade(Err(error)) | Signal::LocalDescriptionSet(Err(error)) => {
                self.offer_failed(id, Error::internal(format!("webrtcbin made no offer: {error}")));
            }
            Signal::LocalDescriptionSet(Ok(())) => session.await_candidates(&self.ctx),
            Signal::LocalCandidate(mline, candidate) => {
                if let Some(candidate) = session.local_candidate(&self.ctx, mline, candidate) {
                    self.emit(MediaEvent::LocalCandidate { session: id.clone(), candidate });
                }
            }
            Signal::GatheringComplete => self.finish_offer(id, true),
            Signal::RemoteDescriptionSet(result) => self.answered(id, result),
            Signal::ConnectionState => self.connection_changed(id),
            Signal::DataChannelState => {
                let open = session.has_open_channel();
                self.emit(MediaEvent::DataChannel { session: id.clone(), open });
            }
            Signal::DtlsClosed => {
                session.peer_closed = true;
                self.end(id, SessionEnd::PeerClosed);
            }
            Signal::Misuse(misuse) => {
                tracing::warn!(
                    session = id.short(),
                    peer = session.remote_address.as_deref().unwrap_or("?"),
                    "{misuse}"
                );
                self.end(id, SessionEnd::PeerMisbehaved(misuse.to_string()));
            }
            Signal::Error(text) => {
                if matches!(session.phase, Phase::Offering(_)) {
                    self.offer_failed(id, Error::internal(text));
                } else {
                    self.end(id, SessionEnd::PipelineError(text));
                }
            }
        }
    }

    fn finish_offer(&mut self, id: &SessionId, complete: bool) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        // Gathering may be complete for an earlier offer.
        if !matches!(session.phase, Phase::Offering(_)) || (complete && !session.is_described()) {
            return;
        }
        let result = session.finish_offer(&self.ctx, complete);
        if self.warm_up.as_ref() == Some(id) {
            if let Err(error) = result {
                tracing::warn!("Warming WebRTC up failed: {}", error.for_log());
            }
            self.warm_up = None;
            return self.close(id);
        }
        match result {
            Ok(offer) => self.emit(MediaEvent::Offer { session: id.clone(), result: Ok(offer) }),
            Err(error) => self.offer_failed(id, error),
        }
    }

    fn offer_failed(&mut self, id: &SessionId, error: Error) {
        self.close(id);
        if self.warm_up.as_ref() == Some(id) {
            self.warm_up = None;
            tracing::warn!("Warming WebRTC up failed: {}", error.for_log());
            return;
        }
        self.emit(MediaEvent::Offer { session: id.clone(), result: Err(error) });
    }

    fn answered(&mut self, id: &SessionId, result: Result<(), String>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Phase::Answering(chosen) = std::mem::replace(&mut session.phase, Phase::Answered) else { return };
        if let Err(error) = result {
            session.phase = Phase::Offered;
            let refused = Error::invalid(format!("The answer's SDP cannot be used: {error}"));
            return self.emit(MediaEvent::Answered { session: id.clone(), result: Err(refused) });
        }
        let result = self.build_legs(id, &chosen);
        let failure = result.as_ref().err().map(|error| error.for_log().to_string());
        self.emit(MediaEvent::Answered { session: id.clone(), result });
        // webrtcbin has the answer and takes no second one: half a session is of no use to anybody.
        if let Some(failure) = failure {
            tracing::error!(session = id.short(), "{failure}");
            self.end(id, SessionEnd::PipelineError(failure));
        }
    }

    fn build_legs(&mut self, id: &SessionId, chosen: &[Option<(u8, Codec)>]) -> Result<Vec<Option<Codec>>> {
        let session = self.sessions.get_mut(id).ok_or_else(|| Error::unknown_session(id))?;
        let mut codecs = Vec::with_capacity(chosen.len());
        let specs: Vec<(StreamType, Profile)> = session.spec.streams.clone();
        for index in 0..session.legs.len() {
            let choice = chosen.get(session.mline(index)).copied().flatten();
            codecs.push(choice.map(|(_, codec)| codec));
            // What was answered before goes on as it is.
            let (Some((payload, codec)), false) = (choice, session.legs[index].gate.is_some()) else { continue };
            let Some((stream, profile)) = specs.get(index).filter(|_| session.is_first_answer()) else {
                session.build_leg(&self.ctx, index, (payload, codec), None)?;
                continue;
            };
            let key = StreamKey::new(session.spec.device.clone(), *stream);
            let key_frames = self.streams.key_frames(&key, *profile, codec);
            let gate = session.build_leg(&self.ctx, index, (payload, codec), Some(key_frames))?;
            self.streams.join(&self.ctx, &key, codec, session.serial, gate);
        }
        Ok(codecs)
    }

    /// Gives a session further m-lines and has a new offer made of it.
    fn grow(&mut self, id: SessionId, lines: &[NewLine]) {
        let grown = match self.sessions.get_mut(&id) {
            Some(session) => session.grow(&self.ctx, lines),
            None => return,
        };
        if let Err(error) = grown {
            self.offer_failed(&id, error);
        }
    }

    /// Has a session's m-lines carry other streams.
    fn switch(&mut self, id: &SessionId, lines: &[Option<(StreamType, Profile)>]) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| matches!(session.phase, Phase::Answered)) else {
            return;
        };
        let (serial, now) = (session.serial, Instant::now());
        for (index, line) in lines.iter().enumerate() {
            let Some(leg) = session.legs.get_mut(index) else { continue };
            let (before, after) = (leg.stream, line.map(|(stream, _)| stream));
            let Some(codec) = leg.codec else {
                // The peer takes nothing on it.
                leg.stream = after;
                continue;
            };
            if before == after {
                continue;
            }
            if let Some(before) = before {
                let key = StreamKey::new(session.spec.device.clone(), before);
                self.streams.leave_one(serial, &key, now);
            }
            let joined = line.map(|(stream, profile)| {
                let key = StreamKey::new(session.spec.device.clone(), stream);
                let key_frames = self.streams.key_frames(&key, profile, codec);
                (stream, key, key_frames)
            });
            let carried = joined.as_ref().map(|(stream, _, key_frames)| (*stream, key_frames.clone()));
            if let (Some(gate), Some((_, key, _))) = (session.switch_leg(&self.ctx, index, carried), joined) {
                self.streams.join(&self.ctx, &key, codec, serial, gate);
            }
        }
        if session.connected {
            self.streams.go_live(serial);
        }
    }

    fn connection_changed(&mut self, id: &SessionId) {
        use gst_webrtc::WebRTCPeerConnectionState as State;
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.connection_state() {
            State::Connected if !session.connected => {
                if !session.peer_is_who_answered() {
                    let text = "The peer's DTLS certificate does not match the fingerprint in its answer. Somebody may \
                                intercept the connection.";
                    tracing::warn!(session = id.short(), "{text}");
                    return self.end(id, SessionEnd::ConnectFailed(text.into()));
                }
                session.connected = true;
                session.connected_at = Some(Instant::now());
                *session.link.rhythm() = Rhythm::connected(self.ctx.now_ms());
                let serial = session.serial;
                // Pictures first; who they go to is asked meanwhile, and announced with the answer.
                session.announce_by = Some(Instant::now() + STATS_WAIT);
                session.request_stats(ANNOUNCE);
                self.streams.go_live(serial);
            }
            State::Failed => {
                let text = "The network path to the browser could not be set up or was lost (ICE or DTLS failed).";
                self.end(id, SessionEnd::ConnectFailed(text.into()));
            }
            State::Closed if session.connected => {
                session.peer_closed = true;
                self.end(id, SessionEnd::PeerClosed);
            }
            _ => {}
        }
    }

    /// Tells of a connection, once.
    fn announce(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.announce_by.take().is_some() {
            let remote_address = session.remote_address.clone();
            self.emit(MediaEvent::Connected { session: id.clone(), remote_address });
        }
    }

    /// Ends a session from here: the branches go at once, the rest when the actor says so.
    fn end(&mut self, id: &SessionId, reason: SessionEnd) {
        self.close(id);
        if self.warm_up.as_ref() == Some(id) {
            self.warm_up = None;
            return;
        }
        self.emit(MediaEvent::Ended { session: id.clone(), reason });
    }

    fn next_timeout(&self) -> Option<Instant> {
        let offering = self.sessions.values().filter_map(|session| match session.phase {
            Phase::Offering(deadline) => Some(deadline),
            _ => None,
        });
        let watch = self.sessions.values().any(|session| session.connected).then(|| self.watched_at + WATCH_EVERY);
        let stats = self.stats.values().map(PendingStats::deadline);
        let announce = self.sessions.values().filter_map(|session| session.announce_by);
        let below = self.streams.next_timeout().into_iter().chain(self.teardown.next_timeout());
        offering.chain(announce).chain(watch).chain(stats).chain(below).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| matches!(session.phase, Phase::Offering(deadline) if deadline <= now))
            .map(|(id, _)| id.clone())
            .collect();
        late.iter().for_each(|id| self.finish_offer(id, false));
        let announce = self.sessions.iter().filter(|(_, session)| session.announce_by.is_some_and(|at| at <= now));
        let announce: Vec<_> = announce.map(|(id, _)| id.clone()).collect();
        announce.iter().for_each(|id| self.announce(id));
        self.streams.handle_timeout(&self.ctx, &self.teardown, now);
        for (serial, why) in self.streams.take_refused() {
            if let Some(session) = self.serials.get(&serial).cloned() {
                self.end(&session, SessionEnd::PipelineError(why));
            }
        }
        self.teardown.handle_timeout(now);
        if now.saturating_duration_since(self.watched_at) >= WATCH_EVERY {
            self.watched_at = now;
            self.watch_peers(now);
        }
        self.answer_stats(now);
    }

    /// Reports activity, silence and absence of connected peers.
    fn watch_peers(&mut self, now: Instant) {
        let now_ms = self.ctx.ms(now);
        let peer_silence = Duration::from_secs(self.ctx.config.sessions.peer_silence_s.max(1));
        let mut events = Vec::new();
        let mut gone = Vec::new();
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| session.connected) {
            let rhythm = *session.link.rhythm();
            let (silence, patience) = (rhythm.silence(now_ms), rhythm.patience(peer_silence));
            if silence >= patience.gone {
                gone.push((id.clone(), silence));
            } else if silence >= patience.disconnected {
                if !std::mem::replace(&mut session.silent, true) {
                    events.push(MediaEvent::Disconnected { session: id.clone() });
                }
            } else {
                if std::mem::replace(&mut session.silent, false) {
                    let remote_address = session.remote_address.clone();
                    events.push(MediaEvent::Connected { session: id.clone(), remote_address });
                }
                let heard = rhythm.heard_ms();
                if heard > session.reported_ms && now_ms.saturating_sub(session.reported_ms) >= 1000 {
                    session.reported_ms = now_ms;
                    events.push(MediaEvent::Activity { session: id.clone() });
                }
            }
        }
        events.into_iter().for_each(|event| self.emit(event));
        for (id, silence) in gone {
            self.end(&id, SessionEnd::PeerSilent(silence));
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
