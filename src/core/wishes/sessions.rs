//! The table of sessions: states, deadlines, limits. Takes `now`, returns what is due; owns no connection.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    model::{DeviceId, IceCandidate, SessionId, SessionState, StreamType},
    peer::silence,
    wishes::lines::Line,
};

/// Most candidates of a peer kept before its answer, and of ours kept for reading. Browsers send under 30.
pub const MAX_CANDIDATES: usize = 100;

/// Limits and timeouts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most sessions at once.
    pub sessions: usize,
    /// From the request to the answer.
    pub answer_timeout: Duration,
    /// From the answer to DTLS being up.
    pub connect_timeout: Duration,
    /// Without activity.
    pub idle_timeout: Duration,
    /// In all; `None` for no limit.
    pub max_lifetime: Option<Duration>,
}

/// What a session begins with.
#[derive(Debug)]
pub struct Opening {
    /// Device.
    pub device: DeviceId,
    /// One m-line each, in this order.
    pub streams: Vec<StreamType>,
    /// How many m-lines behind them carry nothing yet.
    pub spare: usize,
    /// Whether there is an m-line of data channels behind those.
    pub data_channel: bool,
    /// The requester's `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether it came through a relay.
    pub relayed: bool,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Device.
    pub device: DeviceId,
    /// The m-lines of its streams, spare ones behind them.
    pub lines: Vec<Line>,
    /// Which of its offer's m-lines is of data channels, if one is. It stands behind those that the first offer had for streams.
    data_line: Option<usize>,
    /// State.
    pub state: SessionState,
    /// The answer is being applied, and may still be refused.
    applying: bool,
    /// Created.
    pub created: Instant,
    /// Last packet or request.
    pub last_activity: Instant,
    /// The peer's address.
    pub remote_address: Option<String>,
    /// The requester's `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether it came through a relay.
    pub relayed: bool,
    /// Our candidates.
    pub local_candidates: Vec<IceCandidate>,
    state_since: Instant,
    offered: Instant,
    early_candidates: Vec<IceCandidate>,
    /// A later offer that is not answered yet.
    reoffer: Option<Reoffer>,
}

/// A later offer of a session, with more m-lines.
#[derive(Debug)]
struct Reoffer {
    at: Instant,
    /// What each m-line of streams is to carry once it is answered.
    lines: Vec<Option<StreamType>>,
}

/// Why a session's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Never answered.
    NoAnswer,
    /// Answered, but never connected.
    NoConnection,
    /// Connected once, lost and not found again.
    Lost,
    /// Idle.
    Idle,
    /// Lived its whole time.
    Lifetime,
}

impl std::fmt::Display for Expired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "the offer was never answered",
            Self::NoConnection => "the answer came but no connection",
            Self::Lost => "the peer was lost and did not come back",
            Self::Idle => "no activity",
            Self::Lifetime => "it reached the longest time a session may last",
        })
    }
}

/// What to do with a candidate.
#[derive(Debug, PartialEq, Eq)]
pub enum CandidateFate {
    /// Kept until the answer is applied.
    Kept,
    /// To be given to the media side now.
    Forward(IceCandidate),
}

/// The table.
#[derive(Debug)]
pub struct Sessions {
    limits: Limits,
    table: BTreeMap<SessionId, Session>,
}

impl Sessions {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self { limits, table: BTreeMap::new() }
    }

    /// Refuses when the limit is reached.
    ///
    /// # Errors
    /// Limit, with the time until the next session's time is over.
    pub fn check_limit(&self, now: Instant) -> Result<()> {
        if self.table.len() < self.limits.sessions {
            return Ok(());
        }
        let next = self.next_timeout().map_or(Duration::from_secs(5), |at| at.saturating_duration_since(now));
        let retry_after = next.clamp(Duration::from_secs(1), Duration::from_secs(30));
        Err(Error::limit(
            format!(
                "The limit of {} sessions is reached. Close one, try again later, or raise sessions.limit.",
                self.limits.sessions
            ),
            retry_after,
        ))
    }

    /// Adds a session in state New. The caller has checked the limit.
    pub fn insert(&mut self, now: Instant, id: SessionId, opening: Opening) {
        let Opening { device, streams, spare, data_channel, user_agent, relayed } = opening;
        let data_line = data_channel.then_some(streams.len() + spare);
        // Until it answers otherwise, the peer takes what it is offered.
        let line = |stream| Line { stream, accepted: true };
        let lines = streams.into_iter().map(Some).chain(std::iter::repeat_n(None, spare)).map(line).collect();
        let session = Session {
            device,
            lines,
            data_line,
            state: SessionState::New,
            applying: false,
            created: now,
            last_activity: now,
            remote_address: None,
            user_agent,
            relayed,
            local_candidates: Vec::new(),
            state_since: now,
            offered: now,
            early_candidates: Vec::new(),
            reoffer: None,
        };
        self.table.insert(id, session);
    }

    /// Removes a session; `None` if there was none.
    pub fn remove(&mut self, id: &SessionId) -> Option<Session> {
        self.table.remove(id)
    }

    /// A session.
    ///
    /// # Errors
    /// NotFound.
    pub fn get(&self, id: &SessionId) -> Result<&Session> {
        self.table.get(id).ok_or_else(|| Error::unknown_session(id))
    }

    /// Every session.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.table.iter()
    }

    /// The offer went out.
    pub fn offered(&mut self, now: Instant, id: &SessionId, candidates: Vec<IceCandidate>) {
        if let Some(session) = self.table.get_mut(id) {
            session.local_candidates = candidates;
            session.local_candidates.truncate(MAX_CANDIDATES);
            session.offered = now;
            session.enter(now, SessionState::Offered);
        }
    }

    /// A later candidate of ours.
    pub fn local_candidate(&mut self, id: &SessionId, candidate: IceCandidate) {
        if let Some(session) = self.table.get_mut(id)
            && session.local_candidates.len() < MAX_CANDIDATES
        {
            session.local_candidates.push(candidate);
        }
    }

    /// Takes an answer in hand.
    ///
    /// # Errors
    /// NotFound, Invalid when there is an answer already or no offer yet.
    pub fn begin_answer(&mut self, now: Instant, id: &SessionId) -> Result<()> {
        let session = self.get_mut(id)?;
        match session.state {
            SessionState::Offered => {
                session.enter(now, SessionState::Connecting);
                session.applying = true;
                session.last_activity = now;
                Ok(())
            }
            _ if session.reoffer.is_some() && !session.applying => {
                session.applying = true;
                session.last_activity = now;
                Ok(())
            }
            SessionState::New => {
                Err(Error::invalid(format!("Session {id} has no offer yet. Wait for the offer before you answer.")))
            }
            _ => Err(Error::invalid(format!(
                "Session {id} was answered already. Ask for a new offer to connect again; an offer takes one answer."
            ))),
        }
    }

    /// The answer was applied: gives back the candidates that came before it. A refused one may be tried again.
    pub fn answered(&mut self, now: Instant, id: &SessionId, accepted: bool) -> Vec<IceCandidate> {
        let Some(session) = self.table.get_mut(id).filter(|session| session.applying) else {
            return Vec::new();
        };
        session.applying = false;
        if session.reoffer.is_some() {
            // It goes on as it is. The deadline keeps running here, too.
            return if accepted { mem::take(&mut session.early_candidates) } else { Vec::new() };
        }
        if !accepted {
            // The deadline for an answer keeps running from the offer, so a peer cannot stay by sending bad ones.
            session.state = SessionState::Offered;
            session.state_since = session.offered;
            return Vec::new();
        }
        session.enter(now, SessionState::Connecting);
        mem::take(&mut session.early_candidates)
    }

    /// A later offer went out. Once it is answered, the m-lines carry these streams.
    pub fn reoffered(&mut self, now: Instant, id: &SessionId, lines: Vec<Option<StreamType>>) {
        if let Some(session) = self.table.get_mut(id) {
            session.reoffer = Some(Reoffer { at: now, lines });
        }
    }

    /// The later offer is answered: the session has its m-lines, which carry nothing yet. Gives what they are to carry.
    pub fn grown(&mut self, id: &SessionId) -> Option<Vec<Option<StreamType>>> {
        let session = self.table.get_mut(id)?;
        let Reoffer { lines, .. } = session.reoffer.take()?;
        session.lines.resize(lines.len().max(session.lines.len()), Line { stream: None, accepted: true });
        Some(lines)
    }

    /// Which of its m-lines the peer takes pictures on.
    pub fn accepts(&mut self, id: &SessionId, lines: &[bool]) {
        let Some(session) = self.table.get_mut(id) else { return };
        for (line, accepted) in session.lines.iter_mut().zip(lines) {
            line.accepted = *accepted;
        }
    }

    /// Its m-lines carry other streams from now on.
    pub fn carries(&mut self, id: &SessionId, streams: &[Option<StreamType>]) {
        let Some(session) = self.table.get_mut(id) else { return };
        for (line, stream) in session.lines.iter_mut().zip(streams) {
            line.stream = *stream;
        }
    }

    /// A candidate of the peer came.
    ///
    /// # Errors
    /// NotFound, Limit when too many came before the answer.
    pub fn candidate(&mut self, now: Instant, id: &SessionId, candidate: IceCandidate) -> Result<CandidateFate> {
        let session = self.get_mut(id)?;
        session.last_activity = now;
        match session.state {
            _ if session.is_unanswered() => {
                if session.early_candidates.len() >= MAX_CANDIDATES {
                    return Err(Error::limit(
                        format!("Session {id} has {MAX_CANDIDATES} candidates waiting already; send the answer first."),
                        Duration::from_secs(1),
                    ));
                }
                session.early_candidates.push(candidate);
                Ok(CandidateFate::Kept)
            }
            _ => Ok(CandidateFate::Forward(candidate)),
        }
    }

    /// DTLS is up.
    pub fn connected(&mut self, now: Instant, id: &SessionId, remote_address: Option<String>) {
        if let Some(session) = self.table.get_mut(id) {
            session.enter(now, SessionState::Connected);
            session.last_activity = now;
            if remote_address.is_some() {
                session.remote_address = remote_address;
            }
        }
    }

    /// The peer went silent.
    pub fn disconnected(&mut self, now: Instant, id: &SessionId) {
        if let Some(session) = self.table.get_mut(id).filter(|session| session.state == SessionState::Connected) {
            session.enter(now, SessionState::Disconnected);
        }
    }

    /// Something came from the peer. True when that brought a silent one back.
    pub fn activity(&mut self, now: Instant, id: &SessionId) -> bool {
        let Some(session) = self.table.get_mut(id) else { return false };
        session.last_activity = now;
        let back = session.state == SessionState::Disconnected;
        if back {
            session.enter(now, SessionState::Connected);
        }
        back
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.table.values().map(|session| session.due(&self.limits).0).min()
    }

    /// The sessions whose time is over. The caller removes them.
    pub fn expired(&self, now: Instant) -> Vec<(SessionId, Expired)> {
        let due = self.table.iter().map(|(id, session)| (id, session.due(&self.limits)));
        due.filter(|(_, (at, _))| *at <= now).map(|(id, (_, why))| (id.clone(), why)).collect()
    }

    fn get_mut(&mut self, id: &SessionId) -> Result<&mut Session> {
        self.table.get_mut(id).ok_or_else(|| Error::unknown_session(id))
    }
}

impl Session {
    /// Its streams in m-line order.
    pub fn streams(&self) -> Vec<StreamType> {
        self.lines.iter().filter_map(|line| line.stream).collect()
    }

    /// How many m-lines its last answered offer has: one for each stream, spare ones, and one for data channels where it has some.
    pub fn mlines(&self) -> usize {
        self.lines.len() + usize::from(self.data_line.is_some())
    }

    /// Which m-line of the offer is the one of streams with that number.
    pub fn mline(&self, line: usize) -> usize {
        line + usize::from(self.data_line.is_some_and(|data| line >= data))
    }

    /// Whether a later offer of it is not answered yet.
    pub fn is_reoffered(&self) -> bool {
        self.reoffer.is_some()
    }

    /// Whether its answer was applied, so that its m-lines are known.
    pub fn is_answered(&self) -> bool {
        !self.is_unanswered()
    }

    /// Whether no answer was applied yet.
    fn is_unanswered(&self) -> bool {
        self.applying || matches!(self.state, SessionState::New | SessionState::Offered)
    }

    fn enter(&mut self, now: Instant, state: SessionState) {
        self.state = state;
        self.state_since = now;
    }

    fn due(&self, limits: &Limits) -> (Instant, Expired) {
        let by_state = match self.state {
            // The streams' own start deadline ends a slow New; this is only the net below it.
            SessionState::New => (self.state_since + limits.answer_timeout * 2, Expired::NoAnswer),
            SessionState::Offered => (self.state_since + limits.answer_timeout, Expired::NoAnswer),
            // The offer's own time is over while the answer is applied; a media side that hangs is not waited for for ever.
            SessionState::Connecting if self.applying => {
                (self.state_since + limits.answer_timeout * 2, Expired::NoAnswer)
            }
            SessionState::Connecting => (self.state_since + limits.connect_timeout, Expired::NoConnection),
            SessionState::Connected => (self.last_activity + limits.idle_timeout, Expired::Idle),
            // The media side gives a silent peer up by its rhythm; this is only the net below it.
            SessionState::Disconnected => {
                (self.state_since + limits.connect_timeout.max(silence::LONGEST), Expired::Lost)
            }
        };
        // As with the first offer, a media side that hangs while it applies the answer is not waited for for ever.
        let patience = limits.answer_timeout * if self.applying { 2 } else { 1 };
        let by_offer = self.reoffer.as_ref().map(|reoffer| (reoffer.at + patience, Expired::NoAnswer));
        let by_life = limits.max_lifetime.map(|life| (self.created + life, Expired::Lifetime));
        by_life.into_iter().chain(by_offer).chain([by_state]).min_by_key(|(at, _)| *at).unwrap_or(by_state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 2,
        answer_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(1800),
        max_lifetime: Some(Duration::from_secs(3600)),
    };

    fn candidate(text: &str) -> IceCandidate {
        IceCandidate { candidate: text.into(), sdp_mid: None, sdp_mline_index: None }
    }

    fn opening(streams: Vec<StreamType>) -> Opening {
        Opening { device: DeviceId::new("1"), streams, spare: 0, data_channel: false, user_agent: None, relayed: false }
    }

    fn with_one(now: Instant) -> (Sessions, SessionId) {
        let mut sessions = Sessions::new(LIMITS);
        let id = SessionId::new("a");
        sessions.insert(now, id.clone(), opening(vec![StreamType::Color]));
        (sessions, id)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_unanswered_offer_expires_and_bad_answers_do_not_prolong_it() {
        let t0 = Instant::now();
        let (mut sessions, id) = with_one(t0);
        sessions.offered(t0, &id, vec![]);
        sessions.begin_answer(t0 + secs(29), &id).unwrap();
        sessions.answered(t0 + secs(29), &id, false);
        assert!(sessions.expired(t0 + secs(29)).is_empty());
        assert_eq!(sessions.next_timeout(), Some(t0 + secs(30)));
        assert_eq!(sessions.expired(t0 + secs(30)), [(id, Expired::NoAnswer)]);
    }

    #[test]
    fn candidates_wait_for_the_answer_and_a_second_answer_is_refused() {
        let t0 = Instant::now();
        let (mut sessions, id) = with_one(t0);
        assert!(sessions.begin_answer(t0, &id).is_err(), "no offer yet");
        sessions.offered(t0, &id, vec![candidate("ours")]);
        assert_eq!(sessions.candidate(t0, &id, candidate("1")).unwrap(), CandidateFate::Kept);
        sessions.begin_answer(t0, &id).unwrap();
        assert_eq!(sessions.candidate(t0, &id, candidate("2")).unwrap(), CandidateFate::Kept);
        assert_eq!(sessions.answered(t0, &id, true), [candidate("1"), candidate("2")]);
        assert_eq!(sessions.candidate(t0, &id, candidate("3")).unwrap(), CandidateFate::Forward(candidate("3")));
        assert!(sessions.begin_answer(t0, &id).unwrap_err().public().contains("answered already"));
    }

    #[test]
    fn waiting_candidates_are_bounded() {
        let t0 = Instant::now();
        let (mut sessions, id) = with_one(t0);
        for n in 0..MAX_CANDIDATES {
            sessions.candidate(t0, &id, candidate(&n.to_string())).unwrap();
        }
        assert!(sessions.candidate(t0, &id, candidate("one more")).is_err());
    }

    #[test]
    fn silence_idleness_and_old_age_end_a_session() {
        let t0 = Instant::now();
        let (mut sessions, id) = with_one(t0);
        sessions.offered(t0, &id, vec![]);
        sessions.begin_answer(t0, &id).unwrap();
        sessions.answered(t0, &id, true);
        assert_eq!(sessions.expired(t0 + secs(10)), [(id.clone(), Expired::NoConnection)]);
        sessions.connected(t0 + secs(1), &id, Some("192.0.2.1:9".into()));
        sessions.disconnected(t0 + secs(100), &id);
        assert!(sessions.expired(t0 + secs(159)).is_empty(), "a peer with a slow rhythm is waited for");
        assert_eq!(sessions.expired(t0 + secs(160)), [(id.clone(), Expired::Lost)]);
        assert!(sessions.activity(t0 + secs(105), &id), "it came back");
        assert_eq!(sessions.expired(t0 + secs(105 + 1800)), [(id.clone(), Expired::Idle)]);
        for n in 2..40 {
            sessions.activity(t0 + secs(n * 90), &id);
        }
        assert_eq!(sessions.expired(t0 + secs(3600)), [(id, Expired::Lifetime)]);
    }

    #[test]
    fn the_limit_says_when_to_come_back() {
        let t0 = Instant::now();
        let (mut sessions, id) = with_one(t0);
        sessions.offered(t0, &id, vec![]);
        sessions.check_limit(t0).unwrap();
        sessions.insert(t0, SessionId::new("b"), opening(vec![]));
        let error = sessions.check_limit(t0 + secs(12)).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Limit { retry_after: secs(18) });
        sessions.remove(&id);
        sessions.check_limit(t0).unwrap();
    }
}
