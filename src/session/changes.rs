//! The actor's part about changing what a session carries: other streams on the m-lines that it has, and streams that are to run
//! otherwise. Where these are too few, a new offer of the session has more. A change that is refused leaves everything as it was.

use std::{collections::BTreeMap, time::Instant};

use tracing::info;

use super::{
    api::{ChangeRequest, Changed, OfferedStream},
    command::Reply,
    state::{Actor, Choice, PendingChange},
};
use crate::{
    core::wishes::{lines, profile, references::Holder},
    error::{Error, Result},
    media::{MAX_LINES, NewLine},
    model::{Profile, SessionId, StreamConfig, StreamType},
};

/// What a change comes to.
struct Plan {
    /// What each m-line of streams carries then, those included that the session does not have yet.
    lines: Vec<Option<StreamType>>,
    new: Vec<NewLine>,
    /// The streams in the order of their m-lines.
    choices: Vec<Choice>,
    /// What runs and is to run otherwise.
    otherwise: Vec<StreamConfig>,
}

impl Actor {
    pub(super) fn change(&mut self, now: Instant, request: &ChangeRequest, reply: Reply<Changed>) {
        // What nobody waits for any more is in nobody's way.
        self.finish_starts();
        self.finish_changes(now);
        let plan = match self.plan(request) {
            Ok(plan) => plan,
            // A requester that went away needs no answer.
            Err(error) => return drop(reply.send(Err(error))),
        };
        let Ok(session) = self.sessions.get(&request.session) else { return };
        let (device, held) = (session.device.clone(), session.streams());
        let mlines: Vec<_> = (0..plan.lines.len()).map(|line| session.mline(line)).collect();
        self.start_count += 1;
        let (number, holder) = (self.start_count, Holder::Start(self.start_count));
        for Choice { sensor, config, .. } in plan.choices.iter().filter(|choice| !held.contains(&choice.config.stream))
        {
            let key = Self::key(&device, config.stream);
            if let Err(error) = self.streams.acquire(now, &key, holder.clone(), *sensor, *config) {
                self.streams.release(now, &device, &holder);
                return drop(reply.send(Err(error)));
            }
        }
        self.restart(now, &device, &plan.otherwise, &holder);
        let mut places = plan.lines.iter().enumerate().filter_map(|(at, stream)| stream.map(|_| mlines[at]));
        let streams = plan.choices.into_iter().map(|choice| OfferedStream {
            stream_type: choice.config.stream,
            profile: choice.config.profile,
            note: choice.note,
            mline_index: places.next().unwrap_or_default(),
        });
        let (session, streams) = (request.session.clone(), streams.collect());
        let (lines, new) = (plan.lines, plan.new);
        self.changes.push(PendingChange { reply, number, session, device, lines, new, asked: false, streams });
        self.finish_changes(now);
    }

    /// Everything that can be refused is refused here, before anything changes.
    fn plan(&self, request: &ChangeRequest) -> Result<Plan> {
        let id = &request.session;
        let session = self.sessions.get(id)?;
        if !session.is_answered() {
            return Err(Error::conflict(format!(
                "Session {id} has no answer yet. Answer its offer before you change it."
            )));
        }
        if self.changes.iter().any(|pending| pending.session == *id) {
            return Err(Error::conflict(format!("Session {id} is being changed already. Wait for that answer first.")));
        }
        if session.is_reoffered() {
            return Err(Error::conflict(format!(
                "Session {id} has a new offer that is not answered yet. Answer that before you change the session again."
            )));
        }
        let device = &session.device;
        let sensors = self.usable(device)?;
        self.check_media()?;
        let wanted = request.streams.clone().unwrap_or_else(|| session.streams());
        if let Some(stray) = request.profiles.keys().find(|stream| !wanted.contains(stream)) {
            return Err(Error::invalid(format!("'profiles' names {stray}, which the session is not to carry.")));
        }
        let lines = lines::assign(&session.lines, &wanted);
        let grows = lines.len() > session.lines.len();
        if grows && (!request.renegotiate || lines.len() > MAX_LINES) {
            let usable = session.lines.iter().filter(|line| line.accepted).count();
            return Err(Error::conflict(format!(
                "Session {id} has {usable} m-line(s) that its peer takes, for {} streams. Open another session for all of them, and \
                 close this one when its pictures are there; an offer with \"spare_streams\" leaves room for more.",
                wanted.len()
            )));
        }
        let mut otherwise = Vec::new();
        let mut wishes: BTreeMap<usize, (StreamType, Profile)> = BTreeMap::new();
        for stream in lines.iter().flatten() {
            let key = Self::key(device, *stream);
            self.streams.check(&key)?;
            let Some(wish) = request.profiles.get(stream).copied() else { continue };
            let (sensor, config) =
                profile::choose(sensors, *stream, wish).map_err(|error| self.with_usb_hint(device, error))?;
            if self.streams.held_config(&key).is_some_and(|running| running.profile != wish) {
                self.check_started(&key)?;
                otherwise.push(config);
            }
            let (first, profile) = *wishes.entry(sensor).or_insert((*stream, wish));
            if profile != wish {
                return Err(Error::invalid(format!(
                    "{first} and {stream} come from the same sensor and must have the same resolution and framerate."
                )));
            }
        }
        for (sensor, (_, profile)) in &wishes {
            self.add_siblings(device, sensors, *sensor, *profile, &mut otherwise)?;
        }
        self.check_not_recorded(device, &otherwise)?;
        let mut choices: Vec<Choice> = Vec::with_capacity(wanted.len());
        for stream in lines.iter().flatten() {
            let key = Self::key(device, *stream);
            let of_sensor = profile::sensor_of(sensors, *stream);
            let restarted = otherwise.iter().find(|config| config.stream == *stream);
            let choice = match (restarted, of_sensor.and_then(|sensor| wishes.get(&sensor))) {
                (Some(config), _) => Choice { sensor: of_sensor.unwrap_or_default(), config: *config, note: None },
                // New beside what its sensor is asked to run at.
                (None, Some((_, profile))) => {
                    let (sensor, config) = profile::choose(sensors, *stream, *profile)?;
                    Choice { sensor, config, note: None }
                }
                (None, None) => self.choose_stream(&key, sensors, None, &choices)?,
            };
            choices.push(choice);
        }
        let new = lines.iter().skip(session.lines.len()).flatten().filter_map(|stream| {
            let profile = choices.iter().find(|choice| choice.config.stream == *stream)?.config.profile;
            Some(NewLine { stream: *stream, profile, largest: profile::largest(sensors, *stream).unwrap_or(profile) })
        });
        Ok(Plan { new: new.collect(), lines, choices, otherwise })
    }

    /// Carries out the changes whose streams all run.
    pub(super) fn finish_changes(&mut self, now: Instant) {
        let mut waiting = std::mem::take(&mut self.changes);
        let ready = |change: &mut PendingChange| {
            let runs = |stream: &OfferedStream| self.streams.is_running(&Self::key(&change.device, stream.stream_type));
            !change.asked && (change.reply.is_closed() || change.streams.iter().all(runs))
        };
        let ready: Vec<_> = waiting.extract_if(.., ready).collect();
        self.changes = waiting;
        for change in ready {
            self.finish_change(now, change);
        }
    }

    fn finish_change(&mut self, now: Instant, change: PendingChange) {
        if !change.new.is_empty() && !change.reply.is_closed() {
            return self.ask_for_more(now, change);
        }
        let PendingChange { reply, number, session: id, device, lines, mut streams, .. } = change;
        if let (false, Ok(session)) = (reply.is_closed(), self.sessions.get(&id)) {
            let (before, holder) = (session.streams(), Holder::Session(id.clone()));
            for stream in &mut streams {
                let key = Self::key(&device, stream.stream_type);
                // It runs, so nothing refuses this; what it runs at may have changed since.
                if let Some((sensor, config)) = self.streams.sensor_and_config(&key) {
                    stream.profile = config.profile;
                    let _ = self.streams.acquire(now, &key, holder.clone(), sensor, config);
                }
            }
            let profile_of = |stream: StreamType| {
                let config = self.streams.config(&Self::key(&device, stream));
                config.map(|config| (stream, config.profile))
            };
            let carried: Vec<_> = lines.iter().map(|stream| stream.and_then(profile_of)).collect();
            self.media.switch_session(id.clone(), carried);
            self.sessions.carries(&id, &lines);
            for stream in before.into_iter().filter(|stream| !lines.contains(&Some(*stream))) {
                self.streams.release_one(now, &Self::key(&device, stream), &holder);
            }
            let names: Vec<_> = streams.iter().map(|stream| stream.stream_type.to_string()).collect();
            info!(session = id.short(), streams = names.join("+"), "session changed");
            // Who went away in this moment has what was asked for all the same.
            drop(reply.send(Ok(Changed { session: id, streams, sdp: None })));
        }
        self.let_go(now, &device, number);
    }

    /// The streams run: the media side makes a new offer with m-lines for them.
    fn ask_for_more(&mut self, now: Instant, mut change: PendingChange) {
        let holder = Holder::Session(change.session.clone());
        for stream in &mut change.streams {
            let key = Self::key(&change.device, stream.stream_type);
            // It runs, so nothing refuses this; what it runs at may have changed since.
            if let Some((sensor, config)) = self.streams.sensor_and_config(&key) {
                stream.profile = config.profile;
                let _ = self.streams.acquire(now, &key, holder.clone(), sensor, config);
            }
        }
        change.asked = true;
        // The session holds them from here on.
        self.let_go(now, &change.device, change.number);
        self.media.grow_session(change.session.clone(), change.new.clone());
        self.changes.push(change);
    }

    /// The media side has made the new offer.
    pub(super) fn reoffered(&mut self, now: Instant, id: &SessionId, sdp: String) {
        let Some(at) = self.changes.iter().position(|change| change.asked && change.session == *id) else { return };
        let PendingChange { reply, lines, streams, .. } = self.changes.swap_remove(at);
        self.sessions.reoffered(now, id, lines);
        info!(session = id.short(), "session offered again with more m-lines");
        if reply.send(Ok(Changed { session: id.clone(), streams, sdp: Some(sdp) })).is_err() {
            info!(session = id.short(), "the requester went away before the offer was ready; nobody will answer it");
        }
    }

    /// A new offer with more m-lines was answered: they carry what they are for, unless the peer refused them.
    pub(super) fn finish_growth(&mut self, now: Instant, id: &SessionId, wanted: Vec<Option<StreamType>>) {
        let Ok(session) = self.sessions.get(id) else { return };
        let (device, mut left) = (session.device.clone(), session.streams());
        let lines = wanted.iter().zip(&session.lines);
        let lines: Vec<_> = lines.map(|(stream, line)| stream.filter(|_| line.accepted)).collect();
        left.extend(wanted.into_iter().flatten());
        let carried = lines.iter().map(|stream| {
            let stream = (*stream)?;
            let config = self.streams.held_config(&Self::key(&device, stream))?;
            Some((stream, config.profile))
        });
        let carried = carried.collect();
        self.media.switch_session(id.clone(), carried);
        self.sessions.carries(id, &lines);
        let holder = Holder::Session(id.clone());
        for stream in left.into_iter().filter(|stream| !lines.contains(&Some(*stream))) {
            self.streams.release_one(now, &Self::key(&device, stream), &holder);
        }
    }

    /// Takes changes back; the clients that wait for them are told why.
    pub(super) fn refuse_changes(&mut self, now: Instant, which: impl Fn(&PendingChange) -> bool, why: &Error) {
        for change in self.changes.extract_if(.., |change| which(change)).collect::<Vec<_>>() {
            self.let_go(now, &change.device, change.number);
            drop(change.reply.send(Err(why.clone())));
        }
    }

    /// Takes the changes of a session back that is no more.
    pub(super) fn end_changes(&mut self, now: Instant, id: &SessionId, why: &Error) {
        self.refuse_changes(now, |change| change.session == *id, why);
    }
}
