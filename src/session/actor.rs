//! The session actor: one task, the only writer of the tables of sessions and streams. Its loop takes commands, media
//! events, camera events and the next deadline, and turns the core's effects into calls. It never waits for a camera,
//! for GStreamer or for a client.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::{
    api::{Notice, Observe, SessionStatus, Snapshot},
    clouds,
    command::Command,
    events::{Event, EventReceiver},
    handle::Handle,
    machine::Machine,
    state::Actor,
    turns::Turns,
};
use crate::{
    camera::{hub::FrameHub, manager::CameraHandle},
    config::Config,
    core::{
        peer::candidate,
        wishes::{
            ended::Ended,
            references::{Effect, Holder, Streams, Timing},
            sessions::{CandidateFate, Limits, Sessions},
            trouble::Troubles,
        },
    },
    error::{Error, Result},
    media::Media,
    metrics::End,
    model::{DeviceId, IceCandidate, SessionId, StreamKey},
};

/// Commands that may wait for the actor. It answers in microseconds, so more than this means a flood; senders then wait.
const COMMANDS: usize = 256;
/// Notices that may wait for one who listens; who is slower misses the oldest.
const NOTICES: usize = 64;
/// How long shutdown waits for the media side.
const MEDIA_SHUTDOWN: Duration = Duration::from_millis(2500);
/// How far the machine's clock must jump to be followed.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// Events that are acted on in a row before a command is looked at, so that a flood of events shuts nobody out.
const EVENTS_IN_A_ROW: u32 = 64;

/// What the actor is made of.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// Carries frames.
    pub hub: Arc<FrameHub>,
    /// Talks to the device threads.
    pub cameras: CameraHandle,
    /// Turns frames into WebRTC.
    pub media: Arc<dyn Media>,
    /// What the server writes down about itself.
    pub observe: Observe,
    /// Whether there is room for sessions.
    pub machine: Machine,
    /// Events of both.
    pub events: EventReceiver,
}

/// Starts the actor's task. It ends after [`Handle::shutdown`] or when every handle is dropped.
pub fn spawn(parts: Parts) -> (Handle, tokio::task::JoinHandle<()>) {
    let Parts { config, hub, cameras, media, observe, machine, events } = parts;
    let diagnostics = media.diagnostics();
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (snapshot, snapshot_reader) = watch::channel(Arc::new(Snapshot::default()));
    let (notices, _) = broadcast::channel(NOTICES);
    let seconds = Duration::from_secs;
    let limits = Limits {
        sessions: config.sessions.limit,
        answer_timeout: seconds(config.sessions.answer_timeout_s),
        connect_timeout: seconds(config.sessions.connect_timeout_s),
        idle_timeout: seconds(config.sessions.idle_timeout_s),
        max_lifetime: Some(config.sessions.max_lifetime_s).filter(|life| *life > 0).map(seconds),
    };
    let timing = Timing {
        linger: Duration::from_secs_f64(config.camera.linger_s),
        start_timeout: seconds(config.camera.start_timeout_s),
    };
    let actor = Actor {
        config: config.clone(),
        cameras: cameras.clone(),
        machine,
        media,
        sessions: Sessions::new(limits),
        ended: Ended::default(),
        streams: Streams::new(timing),
        devices: BTreeMap::new(),
        offers: HashMap::new(),
        answers: HashMap::new(),
        starts: Vec::new(),
        changes: Vec::new(),
        start_count: 0,
        recordings: BTreeMap::new(),
        recording_count: 0,
        point_clouds: BTreeSet::new(),
        channels: BTreeMap::new(),
        depth_ranges: BTreeMap::new(),
        troubles: Troubles::default(),
        snapshot,
        notices: notices.clone(),
        metrics: observe.metrics.clone(),
        broken: false,
        epoch: (now(), SystemTime::now()),
    };
    tokio::spawn(clouds::send(actor.media.clone(), hub.clone(), snapshot_reader.clone()));
    let task = tokio::spawn(actor.run(inbox, events));
    let turns = Turns::default();
    (Handle { commands, cameras, hub, snapshot: snapshot_reader, notices, config, diagnostics, observe, turns }, task)
}

/// What the loop does next.
enum Turn {
    Event(Option<Event>),
    Command(Option<Command>),
    Due,
}

/// The present, by tokio's clock, so that tests can pause it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut events: EventReceiver) {
        let mut in_a_row = 0;
        loop {
            let deadline = self.sessions.next_timeout().into_iter().chain(self.streams.next_timeout()).min();
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            // After many events in a row a command gets its turn, if there is one.
            let patient = if in_a_row < EVENTS_IN_A_ROW { None } else { inbox.try_recv().ok() };
            in_a_row = if in_a_row < EVENTS_IN_A_ROW { in_a_row + 1 } else { 0 };
            let turn = match patient {
                Some(command) => Turn::Command(Some(command)),
                None => tokio::select! {
                    // Events first: an answer about a session is worth more than one more request.
                    biased;
                    event = events.next() => Turn::Event(event),
                    command = inbox.recv() => Turn::Command(command),
                    () = due => Turn::Due,
                },
            };
            match turn {
                Turn::Event(Some(event)) => self.event(event),
                Turn::Event(None) => break,
                Turn::Command(Some(Command::Shutdown(done))) => {
                    // From here on nobody is let in, and whatever is not answered is so because of the end.
                    inbox.close();
                    self.shutdown().await;
                    // Whoever asked may be gone; the shutdown is done all the same.
                    let _ = done.send(());
                    break;
                }
                Turn::Command(Some(command)) => {
                    in_a_row = 0;
                    self.command(command);
                }
                Turn::Command(None) => {
                    self.shutdown().await;
                    break;
                }
                Turn::Due => {}
            }
            // Whatever else there was to do, what is due is done.
            if deadline.is_some_and(|at| at <= now()) {
                self.timeout();
            }
            if events.is_overrun() {
                error!(
                    "more events wait than can be right, and some are lost; the server ends, so that it can be started again"
                );
                self.broken = true;
            }
            self.follow_clock();
            self.carry_out_effects();
            self.follow_motion(now());
            self.carry_out_effects();
            self.publish();
            if self.broken {
                break;
            }
        }
        debug!("session actor ends");
    }

    fn command(&mut self, command: Command) {
        let now = now();
        // A requester that went away needs no answer, so what a `send` gives is dropped throughout.
        match command {
            Command::Offer(request, reply) => self.offer(now, request, reply),
            Command::Answer(session, sdp, reply) => match self.begin_answer(now, &session) {
                Ok(()) => {
                    self.answers.insert(session.clone(), reply);
                    self.media.set_answer(session, sdp);
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Change(request, reply) => self.change(now, &request, reply),
            Command::Candidate(session, candidate, reply) => {
                drop(reply.send(self.candidate(now, &session, candidate)));
            }
            Command::Sessions(reply) => {
                let all = self.sessions.iter().map(|(id, session)| self.describe(id, session)).collect();
                self.with_stats(now, all, reply, |statuses| statuses);
            }
            Command::Session(session, reply) => match self.sessions.get(&session) {
                Ok(found) => {
                    let status = self.describe(&session, found);
                    let only = move |mut statuses: Vec<SessionStatus>| {
                        statuses.pop().ok_or_else(|| Error::unknown_session(&session))
                    };
                    self.with_stats(now, vec![status], reply, only);
                }
                Err(_) => drop(reply.send(self.ended.tell(&session))),
            },
            Command::LocalCandidates(session, reply) => {
                let candidates = self.sessions.get(&session).map(|found| found.local_candidates.clone());
                drop(reply.send(candidates));
            }
            Command::Close(session, reply) => {
                let _ = reply.send(self.close(now, &session, End::Requested, "closed by request"));
            }
            Command::CloseAll(reply) => {
                let all: Vec<_> = self.sessions.iter().map(|(id, _)| id.clone()).collect();
                let count = all
                    .iter()
                    .filter(|id| self.close(now, id, End::Requested, "all sessions closed by request"))
                    .count();
                let _ = reply.send(count);
            }
            Command::References(reply) => drop(reply.send(self.references())),
            Command::Start(request, reply) => self.start(now, request, reply),
            Command::Stop(device, reply) => {
                let result = self.stop(now, &device);
                drop(reply.send(result));
            }
            Command::Status(device, reply) => drop(reply.send(self.status(now, &device))),
            Command::StopSensor(device, sensor, reply) => {
                let result = self.stop_sensor(now, &device, sensor);
                drop(reply.send(result));
            }
            Command::SensorStatus(device, sensor, reply) => drop(reply.send(self.sensor_status(&device, sensor))),
            Command::PointCloud(device, active, reply) => drop(reply.send(self.set_point_cloud(device, active))),
            Command::DepthRange(device, range, reply) => drop(reply.send(self.set_depth_range(device, range))),
            Command::StartRecording(request, reply) => self.start_recording(now, request, reply),
            Command::StopRecording(device, reply) => drop(reply.send(self.stop_recording(now, &device))),
            Command::Shutdown(_) => unreachable!("the loop takes it"),
        }
    }

    /// Refuses what the media side would refuse, before anything changes.
    pub(super) fn check_media(&self) -> Result<()> {
        self.media.refusal().map_or(Ok(()), Err)
    }

    fn begin_answer(&mut self, now: Instant, session: &SessionId) -> Result<()> {
        self.sessions.get(session)?;
        self.check_media()?;
        self.sessions.begin_answer(now, session)
    }

    fn candidate(&mut self, now: Instant, session: &SessionId, candidate: IceCandidate) -> Result<()> {
        let lines = self.sessions.get(session)?.mlines();
        if let Some(index) = candidate.sdp_mline_index.filter(|index| *index as usize >= lines) {
            return Err(Error::invalid(format!(
                "sdpMLineIndex {index} does not exist: session {session} has {lines} m-line(s), counted from 0."
            )));
        }
        self.check_media()?;
        let Some(text) = candidate::parse(&candidate.candidate)? else {
            debug!(session = session.short(), candidate = %candidate.candidate, "candidate of an unknown kind ignored");
            return Ok(());
        };
        let parsed = IceCandidate { candidate: text, ..candidate };
        if let CandidateFate::Forward(candidate) = self.sessions.candidate(now, session, parsed)? {
            self.media.add_candidate(session.clone(), candidate);
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        let now = now();
        match event {
            Event::Camera(event) => self.camera_event(now, event),
            Event::Media(event) => self.media_event(now, event),
        }
    }

    fn timeout(&mut self) {
        let now = now();
        for (session, why) in self.sessions.expired(now) {
            self.close(now, &session, why.into(), &why.to_string());
        }
        self.streams.handle_timeout(now);
    }

    /// Ends a session: its references first, then its media. False if there was none.
    pub(super) fn close(&mut self, now: Instant, id: &SessionId, end: End, why: &str) -> bool {
        let Some(session) = self.sessions.remove(id) else { return false };
        self.channels.remove(id);
        self.metrics.sessions.ended(end);
        self.ended.add(id.clone(), end.label());
        self.streams.release(now, &session.device, &Holder::Session(id.clone()));
        self.media.close_session(id.clone());
        let lasted = now.saturating_duration_since(session.created);
        info!(session = id.short(), why, seconds = lasted.as_secs(), "session ended");
        let ended = || Error::unavailable(format!("Session {id} ended before this was done: {why}."));
        self.end_changes(now, id, &ended());
        // Whoever still waits for this session hears of its end.
        if let Some(offer) = self.offers.remove(id) {
            drop(offer.reply.send(Err(ended())));
        }
        if let Some(reply) = self.answers.remove(id) {
            drop(reply.send(Err(ended())));
        }
        true
    }

    pub(super) fn carry_out_effects(&mut self) {
        // Carrying out one effect can cause others: a failed stream closes sessions, which frees other streams.
        loop {
            let effects = self.streams.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Apply { device, generation, wanted } => self.apply(&device, generation, wanted),
            Effect::Running { key, config, restarted } => {
                info!(stream = %key, profile = %config.profile, format = %config.format, "stream runs");
                if key.stream.is_video() {
                    self.media.stream_running(key.clone(), config.profile);
                }
                if restarted {
                    // Nobody may be listening.
                    let _ = self.notices.send(Notice::Restarted { key, profile: config.profile });
                }
                self.stream_is_running();
            }
            Effect::RestartRefused { key, error, by } => self.restart_refused(now(), &key, &error, by),
            Effect::Failed { key, error, holders } => {
                warn!(stream = %key, error = error.for_log(), "stream could not start");
                self.stream_failed(now(), &key, &error, &holders);
            }
            Effect::Interrupted { key, error } => {
                warn!(stream = %key, error = error.for_log(), "stream interrupted; its sessions stay");
            }
            Effect::Stopped { key } => {
                info!(stream = %key, "stream stopped");
                if key.stream.is_video() {
                    self.media.stream_stopped(key);
                }
            }
        }
    }

    /// The time of day of a past moment.
    pub(super) fn wall_time(&self, at: Instant) -> SystemTime {
        self.epoch.1 + at.saturating_duration_since(self.epoch.0)
    }

    /// Follows a step of the machine's clock: a robot may boot in 1970 and hear the time later. Not called for less than
    /// [`CLOCK_STEP`], so that what was told of a session does not change from one request to the next.
    fn follow_clock(&mut self) {
        let (now, clock) = (now(), SystemTime::now());
        let reckoned = self.wall_time(now);
        let apart = clock.duration_since(reckoned).unwrap_or_else(|behind| behind.duration());
        if apart > CLOCK_STEP {
            let since_start = now.saturating_duration_since(self.epoch.0);
            self.epoch.1 = clock.checked_sub(since_start).unwrap_or(SystemTime::UNIX_EPOCH);
        }
    }

    pub(super) fn key(device: &DeviceId, stream: crate::model::StreamType) -> StreamKey {
        StreamKey::new(device.clone(), stream)
    }

    /// Shows what changed to those who watch the snapshot.
    fn publish(&self) {
        // A restart is no stop.
        let running: BTreeMap<_, Vec<_>> = self
            .devices
            .keys()
            .map(|id| (id.clone(), self.streams.shown(id)))
            .filter(|(_, configs)| !configs.is_empty())
            .collect();
        let states: Vec<_> = self.sessions.iter().map(|(id, session)| (id.clone(), session.state)).collect();
        self.snapshot.send_if_modified(|shown| {
            let next = Snapshot {
                running,
                point_clouds: self.point_clouds.clone(),
                channels: self.channels.clone(),
                depth_ranges: self.depth_ranges.clone(),
                references: self.streams.references(),
                session_states: states,
                failing: self.troubles.lately().cloned().collect(),
                devices: self.devices.iter().map(|(id, device)| (id.clone(), device.trouble.is_none())).collect(),
                attached: self.attached(),
                revision: shown.revision,
            };
            if **shown == next {
                return false;
            }
            *shown = Arc::new(Snapshot { revision: shown.revision + 1, ..next });
            true
        });
    }

    async fn shutdown(&mut self) {
        let now = now();
        // First: closing their files takes longest, and nothing else waits for it.
        self.cameras.end_recordings();
        let all: Vec<_> = self.sessions.iter().map(|(id, _)| id.clone()).collect();
        info!(sessions = all.len(), "closing every session");
        for id in &all {
            self.close(now, id, End::Shutdown, "the server is shutting down");
        }
        for start in self.starts.drain(..) {
            drop(start.reply.send(Err(Error::stopping())));
        }
        for device in self.recordings.keys().cloned().collect::<Vec<_>>() {
            self.fail_recording(now, &device, &Error::stopping());
        }
        self.publish();
        let (done, finished) = oneshot::channel();
        self.media.shutdown(done);
        if tokio::time::timeout(MEDIA_SHUTDOWN, finished).await.is_err() {
            warn!("the media side did not finish within {MEDIA_SHUTDOWN:?}");
        }
    }
}
