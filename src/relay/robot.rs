//! One camera as a robot of a relay: which of the relay's sessions are which of the server's, what its viewers may do, and what is
//! answered. Decides and asks the session handle; `connection` carries what is said, and runs the work that takes time.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;
use tracing::{debug, info};

use super::messages::{Answer, Clouds, Create, Reply, Request, Start, Stop, Switch};
use crate::{
    config::Allow,
    error::{Error, Result},
    http::requests::{AnswerBody, CandidateBody, ChangeBody, OfferRequestBody, StartBody},
    model::{DeviceInfo, IceCandidate, SessionId, SessionState, StreamType},
    session::{
        Handle,
        api::{ChangeRequest, Offer, Snapshot},
    },
};

/// Most sessions of one camera that a relay may have on their way to a connection: what asks and never connects takes no more of
/// the server's sessions than these.
const MAX_OPENING: usize = 8;

/// Work for a request.
pub(super) type Work = BoxFuture<'static, Done>;

/// What work came to.
pub(super) enum Done {
    /// An offer for the relay's session.
    Offered(Ticket, Result<Offer>),
    /// The server's candidates of a session.
    Candidates(Ticket, Vec<IceCandidate>),
    /// The point cloud is on, by the relay's viewers or not, or off; what is said of it.
    Clouds {
        /// Whether it is on.
        on: bool,
        /// Whether it was off before its viewers wanted it.
        owned: bool,
        /// What is said.
        reply: Option<Reply>,
    },
    /// What is left is to say this, or nothing.
    Said(Option<Reply>),
}

/// Which of the relay's sessions work is for: ids may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    id: String,
    number: u64,
}

/// What a request or the end of work leads to.
#[derive(Default)]
pub(super) struct Step {
    /// What is said at once.
    pub(super) say: Vec<Reply>,
    /// What is to be done.
    pub(super) work: Vec<Work>,
}

/// The robot.
pub(super) struct Robot {
    handle: Handle,
    device: DeviceInfo,
    name: String,
    allow: Allow,
    /// By the relay's ids.
    sessions: BTreeMap<String, Relayed>,
    /// How many there ever were.
    count: u64,
    /// Offers that are being made.
    offers: usize,
    /// Whether the relay's viewers switched the device's point cloud on, which was off.
    clouds: bool,
}

/// A session that came through the relay.
#[derive(Default)]
struct Relayed {
    number: u64,
    /// The server's id; `None` until there is an offer.
    session: Option<SessionId>,
    connected: bool,
    /// How many of the server's candidates the relay has.
    told: usize,
}

impl Step {
    fn say(reply: Reply) -> Self {
        Self { say: vec![reply], work: Vec::new() }
    }

    fn work(work: impl Future<Output = Done> + Send + 'static) -> Self {
        Self { say: Vec::new(), work: vec![work.boxed()] }
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.say.extend(other.say);
        self.work.extend(other.work);
        self
    }
}

impl Robot {
    pub(super) fn new(handle: Handle, device: DeviceInfo, name: String, allow: Allow) -> Self {
        Self { handle, device, name, allow, sessions: BTreeMap::new(), count: 0, offers: 0, clouds: false }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What the relay knows it by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What makes it known; `now` is the time as it is written in messages.
    pub(super) fn register(&self, now: &str) -> Reply {
        let DeviceInfo { device_id, name, serial_number, firmware_version, sensors, .. } = &self.device;
        Reply {
            name: "robot-register",
            data: json!({"robotId": self.name, "deviceInfo": {
                "deviceId": device_id, "name": name, "serialNumber": serial_number, "firmwareVersion": firmware_version,
                "sensors": sensors, "capabilities": ["color", "depth", "infrared", "pointcloud"], "status": "available",
                "lastSeen": now,
            }}),
        }
    }

    /// Whether no session of the relay's is left.
    pub(super) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Acts on a request.
    pub(super) fn request(&mut self, request: Request) -> Step {
        match request {
            Request::Create(create) => self.create(create),
            Request::Answer(answer) => self.answer(answer),
            Request::Candidate { session, candidate } => self.candidate(&session, candidate),
            Request::Switch(switch) => self.switch(switch),
            Request::Closed(closed) => self.closed(&closed.session_id),
            Request::Clouds(clouds) => self.set_clouds(&clouds),
            Request::Start(start) => self.start(start),
            Request::Stop(stop) => self.stop(&stop),
        }
    }

    /// Acts on the end of work.
    pub(super) fn done(&mut self, done: Done) -> Step {
        match done {
            Done::Said(reply) => Step { say: reply.into_iter().collect(), work: Vec::new() },
            Done::Offered(ticket, result) => self.offered(&ticket, result),
            Done::Clouds { on, owned, reply } => {
                self.clouds = on && (self.clouds || owned);
                Step { say: reply.into_iter().collect(), work: Vec::new() }
            }
            Done::Candidates(Ticket { id, number }, candidates) => {
                let relayed = self.sessions.get_mut(&id).filter(|relayed| relayed.number == number);
                let Some(relayed) = relayed else { return Step::default() };
                let new = candidates.iter().skip(relayed.told);
                let say = new.map(|candidate| Reply {
                    name: "ice-candidate",
                    data: json!({"sessionId": id, "candidate": candidate}),
                });
                let say = say.collect();
                relayed.told = candidates.len().max(relayed.told);
                Step { say, work: Vec::new() }
            }
        }
    }

    /// Looks at what runs now; also tells whether the camera is there.
    pub(super) fn look_at(&mut self, now: &Snapshot) -> (Step, bool) {
        (self.look(&now.session_states), now.attached.contains(&self.device.device_id))
    }

    /// Whether its camera is there, or a session of the relay's goes on.
    pub(super) fn is_needed(&self, now: &Snapshot) -> bool {
        now.attached.contains(&self.device.device_id) || self.is_watched(now)
    }

    fn is_watched(&self, now: &Snapshot) -> bool {
        let lives = |session: &SessionId| now.session_states.iter().any(|(other, _)| other == session);
        self.sessions.values().filter_map(|relayed| relayed.session.as_ref()).any(lives)
    }

    /// Switches the point cloud off while there is no connection, once no session of the relay's goes on.
    pub(super) fn settle_unwatched(&self, now: &Snapshot) -> Step {
        if self.clouds && !self.is_watched(now) { self.clouds_off() } else { Step::default() }
    }

    /// Looks at the sessions as they are now.
    fn look(&mut self, states: &[(SessionId, SessionState)]) -> Step {
        let mut ended = Vec::new();
        for (id, relayed) in &mut self.sessions {
            let Some(session) = &relayed.session else { continue };
            match states.iter().find(|(other, _)| other == session) {
                Some((_, state)) => {
                    relayed.connected |= matches!(state, SessionState::Connected | SessionState::Disconnected);
                }
                None => ended.push(id.clone()),
            }
        }
        if ended.is_empty() {
            return Step::default();
        }
        self.sessions.retain(|id, _| !ended.contains(id));
        let say = ended.iter().map(|id| Reply::close_session(id)).collect();
        Step { say, work: Vec::new() }.and(self.settle_clouds())
    }

    /// Whether [`Self::candidates`] has something to look for.
    pub(super) fn gathers(&self) -> bool {
        self.sessions.values().any(|relayed| relayed.session.is_some() && !relayed.connected)
    }

    /// Asks for the candidates of the sessions that are not connected: more of them may have come.
    pub(super) fn candidates(&self) -> Step {
        let gathering = self.sessions.iter().filter(|(_, relayed)| !relayed.connected);
        let ticket = |id: &String, number| Ticket { id: id.clone(), number };
        let work = gathering.filter_map(|(id, relayed)| {
            Some(self.ask_candidates(ticket(id, relayed.number), relayed.session.as_ref()?))
        });
        Step { say: Vec::new(), work: work.collect() }
    }

    /// The connection is lost, and with it the work that was under way: what was not offered yet is gone. The other sessions go on;
    /// their viewers are connected to this server. `done` is work that has ended and that nobody hears of any more.
    pub(super) fn lost(&mut self, done: Vec<Done>) -> Step {
        self.sessions.retain(|_, relayed| relayed.session.is_some());
        self.offers = 0;
        let unheard = done.into_iter().filter_map(|done| match done {
            Done::Offered(_, Ok(offer)) => Some(self.close(offer.session)),
            _ => None,
        });
        let unheard = Step { say: Vec::new(), work: unheard.collect() };
        unheard.and(self.settle_clouds())
    }

    /// This robot ends, and its sessions with it.
    pub(super) fn leave(&mut self) -> Step {
        let sessions = std::mem::take(&mut self.sessions);
        let say = sessions.keys().map(|id| Reply::close_session(id)).collect();
        let work = sessions.into_values().filter_map(|relayed| relayed.session).map(|session| self.close(session));
        Step { say, work: work.collect() }.and(self.settle_clouds())
    }

    /// Refuses a device that is not this robot's.
    fn check_device(&self, device: &str) -> Result<()> {
        if device == self.device.device_id.as_str() {
            return Ok(());
        }
        let shown: String = device.chars().take(40).collect();
        Err(Error::not_found(format!(
            "This robot is the camera {} ({}); it has no device '{shown}'.",
            self.device.device_id, self.device.name
        )))
    }

    fn check_control(&self) -> Result<()> {
        match self.allow {
            Allow::Control => Ok(()),
            Allow::View => Err(Error::conflict(
                "Viewers that come through the relay may not start and stop streams here; relay.allow = \"control\" in the \
                 server's configuration lets them. A session starts the streams that it needs.",
            )),
        }
    }

    fn session(&self, id: &str) -> Result<SessionId> {
        let session = self.sessions.get(id).and_then(|relayed| relayed.session.clone());
        session.ok_or_else(|| Error::unknown_session(&id.chars().take(40).collect::<String>()))
    }

    fn create(&mut self, create: Create) -> Step {
        let Create { session_id: id, device_id, stream_types } = create;
        let request = self.check_device(&device_id).and_then(|()| self.check_room(&id)).and_then(|()| {
            let body = OfferRequestBody {
                device_id: self.device.device_id.to_string(),
                stream_types,
                codecs: None,
                profiles: None,
                data_channels: None,
                spare_streams: None,
            };
            body.parse(None)
        });
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return Step::say(Reply::session_error(&id, error.public())),
        };
        // The demo's 3-D page asks for depth, and expects the channel without asking for it.
        request.data_channel = request.streams.contains(&StreamType::Depth);
        request.relayed = true;
        self.count += 1;
        self.offers += 1;
        let ticket = Ticket { id: id.clone(), number: self.count };
        self.sessions.insert(id, Relayed { number: self.count, ..Relayed::default() });
        let handle = self.handle.clone();
        Step::work(async move { Done::Offered(ticket, handle.offer(request).await) })
    }

    fn check_room(&self, id: &str) -> Result<()> {
        if self.sessions.contains_key(id) {
            return Err(Error::conflict("There is a session of that id already."));
        }
        // Those that are offered, and offers under way, also for sessions that were closed meanwhile.
        let offered = self.sessions.values().filter(|relayed| relayed.session.is_some() && !relayed.connected).count();
        if offered + self.offers >= MAX_OPENING {
            return Err(Error::busy(format!(
                "{MAX_OPENING} sessions of this camera are being connected through the relay; try again in a moment."
            )));
        }
        Ok(())
    }

    fn offered(&mut self, ticket: &Ticket, result: Result<Offer>) -> Step {
        self.offers = self.offers.saturating_sub(1);
        let id = &ticket.id;
        let relayed = self.sessions.get_mut(id).filter(|relayed| relayed.number == ticket.number);
        match (result, relayed) {
            (Ok(offer), Some(relayed)) => {
                info!(session = offer.session.short(), robot = self.name, "The relay asked for this session");
                relayed.session = Some(offer.session.clone());
                let data = json!({"sessionId": id, "offer": {"sdp": offer.sdp, "type": "offer"}});
                let candidates = self.ask_candidates(ticket.clone(), &offer.session);
                Step { say: vec![Reply { name: "webrtc-offer", data }], work: vec![candidates] }
            }
            // The viewer left meanwhile.
            (Ok(offer), None) => Step { say: Vec::new(), work: vec![self.close(offer.session)] },
            (Err(error), Some(_)) => {
                self.sessions.remove(id);
                Step::say(Reply::session_error(id, error.public())).and(self.settle_clouds())
            }
            (Err(_), None) => Step::default(),
        }
    }

    fn answer(&self, answer: Answer) -> Step {
        let Answer { session_id: id, answer } = answer;
        let (handle, session) = (self.handle.clone(), self.session(&id));
        Step::work(async move {
            let apply = async {
                let session = session?;
                let body = AnswerBody { session_id: session.to_string(), sdp: answer.sdp, kind: answer.kind };
                body.check()?;
                handle.answer(session, body.sdp).await
            };
            Done::Said(apply.await.err().map(|error| Reply::session_error(&id, error.public())))
        })
    }

    fn candidate(&self, id: &str, candidate: CandidateBody) -> Step {
        // Those that come after the end of a session are nobody's fault.
        let Ok(session) = self.session(id) else { return Step::default() };
        let handle = self.handle.clone();
        Step::work(async move {
            if let Err(error) = handle.add_candidate(session.clone(), candidate.into()).await {
                debug!(session = session.short(), "A candidate from the relay is not used: {}", error.for_log());
            }
            Done::Said(None)
        })
    }

    fn switch(&self, switch: Switch) -> Step {
        let Switch { session_id: id, stream_types } = switch;
        let (handle, session) = (self.handle.clone(), self.session(&id));
        Step::work(async move {
            let change = async {
                let body = ChangeBody { stream_types: Some(stream_types), profiles: None };
                // A relay's page has no way to answer a second offer.
                let request = ChangeRequest { renegotiate: false, ..body.parse(session?.as_str())? };
                handle.change(request).await
            };
            Done::Said(Some(match change.await {
                Ok(changed) => {
                    let streams: Vec<_> = changed.streams.iter().map(|stream| stream.stream_type.to_string()).collect();
                    Reply { name: "stream-type-switched", data: json!({"sessionId": id, "streamTypes": streams}) }
                }
                Err(error) => Reply::switch_error(&id, error.public()),
            }))
        })
    }

    fn closed(&mut self, id: &str) -> Step {
        let Some(relayed) = self.sessions.remove(id) else { return Step::default() };
        let work = relayed.session.map(|session| self.close(session)).into_iter().collect();
        Step { say: Vec::new(), work }.and(self.settle_clouds())
    }

    fn set_clouds(&mut self, clouds: &Clouds) -> Step {
        if let Err(error) = self.check_device(&clouds.device_id) {
            return Step::say(Reply::device_error(error.public()));
        }
        let (on, device) = (clouds.enabled.unwrap_or(true), self.device.device_id.clone());
        let is_on = self.handle.snapshot().borrow().point_clouds.contains(&device);
        let activated = |active: bool| Reply {
            name: "pointcloud-activated",
            data: json!({"device_id": device, "is_active": active}),
        };
        if !on && !self.clouds {
            // Who switched it on is none of the relay's viewers, and still wants it.
            return Step::say(activated(is_on));
        }
        let owned = on && (self.clouds || !is_on);
        self.clouds |= owned;
        let (handle, reply, device) = (self.handle.clone(), activated(on), device.clone());
        Step::work(async move {
            match handle.set_point_cloud(device, on).await {
                Ok(()) => Done::Clouds { on, owned, reply: Some(reply) },
                Err(error) => Done::Said(Some(Reply::device_error(error.public()))),
            }
        })
    }

    /// Switches the point cloud off again that nobody of the relay looks at any more: the demo's relay never says so. Asked again
    /// until it is done.
    fn settle_clouds(&self) -> Step {
        if !self.sessions.is_empty() || !self.clouds {
            return Step::default();
        }
        self.clouds_off()
    }

    fn clouds_off(&self) -> Step {
        let (handle, device) = (self.handle.clone(), self.device.device_id.clone());
        Step::work(async move {
            if let Err(error) = handle.set_point_cloud(device, false).await {
                debug!("The point cloud was not switched off: {}", error.for_log());
            }
            Done::Clouds { on: false, owned: false, reply: None }
        })
    }

    fn start(&self, start: Start) -> Step {
        if let Err(error) = self.check_control().and_then(|()| self.check_device(&start.device_id)) {
            return Step::say(Reply::device_error(error.public()));
        }
        let (handle, device) = (self.handle.clone(), self.device.device_id.clone());
        Step::work(async move {
            let run = async {
                // One after the other, as they were asked for.
                let _turn = handle.turns.take(&device).await?;
                let sensors = handle.sensors(&device).await?;
                let configs = start.stream_configs;
                let body = StartBody { configs, align_to: None, apply_filters: None, reuse_cache: None };
                handle.start(body.parse(&device, &sensors)?).await
            };
            Done::Said(Some(match run.await {
                Ok(started) => {
                    Reply { name: "device-stream-started", data: json!({"deviceId": device, "result": started.status}) }
                }
                Err(error) => Reply::device_error(error.public()),
            }))
        })
    }

    fn stop(&self, stop: &Stop) -> Step {
        if let Err(error) = self.check_control().and_then(|()| self.check_device(&stop.device_id)) {
            return Step::say(Reply::device_error(error.public()));
        }
        let (handle, device) = (self.handle.clone(), self.device.device_id.clone());
        Step::work(async move {
            let stop = async {
                let _turn = handle.turns.take(&device).await?;
                handle.stop(device.clone()).await
            };
            Done::Said(Some(match stop.await {
                Ok(stopped) => {
                    Reply { name: "device-stream-stopped", data: json!({"deviceId": device, "result": stopped.status}) }
                }
                Err(error) => Reply::device_error(error.public()),
            }))
        })
    }

    fn ask_candidates(&self, ticket: Ticket, session: &SessionId) -> Work {
        let (handle, session) = (self.handle.clone(), session.clone());
        // A session that has ended has none.
        async move { Done::Candidates(ticket, handle.local_candidates(session).await.unwrap_or_default()) }.boxed()
    }

    fn close(&self, session: SessionId) -> Work {
        let handle = self.handle.clone();
        async move {
            // It may have ended already.
            let _ = handle.close(session).await;
            Done::Said(None)
        }
        .boxed()
    }
}
