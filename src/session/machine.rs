//! The actor's part about the machine: whether there is room for another session. Owns the words for a refusal.

use std::{fmt, sync::Arc};

use super::state::Actor;
use crate::{
    config::Config,
    core::wishes::machine_room::{Free, Limits, Room, Young},
    error::{Error, Result},
    metrics::Metrics,
    model::{DeviceId, SessionState, StreamType},
    process,
};

/// The machine, as far as a session needs it. Without limits by default.
#[derive(Clone)]
pub struct Machine {
    room: Room,
    free: Arc<dyn Fn() -> Free + Send + Sync>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.room)
    }
}

impl Default for Machine {
    fn default() -> Self {
        let room = Room { limits: Limits::default(), session_fds: 1 };
        Self { room, free: Arc::new(Free::default) }
    }
}

impl Machine {
    /// One with these rules, where `free` tells what is free.
    pub fn new(room: Room, free: impl Fn() -> Free + Send + Sync + 'static) -> Self {
        Self { room, free: Arc::new(free) }
    }

    /// The one that the server runs on, whose open HTTP connections are counted in `metrics`; `session_fds` are the file
    /// descriptors of a session. Says so in the log when it has no room for as many sessions as `config` allows.
    pub fn this(config: &Config, metrics: Arc<Metrics>, session_fds: u64) -> Self {
        let looker = process::limits::Looker::default();
        let free = move || {
            let connections = u64::try_from(metrics.http.connections.get()).unwrap_or(0);
            Free { connections, ..looker.free() }
        };
        let machine = Self::new(Room { limits: process::limits::limits(), session_fds }, free);
        if let Some((sessions, short)) = machine.room.sessions((machine.free)())
            && sessions < config.sessions.limit as u64
        {
            tracing::warn!(
                limit = config.sessions.limit,
                "Not all sessions of sessions.limit fit on this machine: about {sessions} do, then offers are refused (503) for \
                 lack of {}",
                short.advice()
            );
        }
        machine
    }
}

impl Actor {
    /// Refuses a session that the machine has no room for, with the streams that are to be started for it.
    pub(super) fn check_room(&self, device: &DeviceId, streams: &[StreamType]) -> Result<()> {
        let idle = streams.iter().filter(|stream| !self.streams.is_held(&Self::key(device, **stream)));
        let mut young = Young { streams: (idle.count() + self.streams.starting()) as u64, ..Young::default() };
        for (_, session) in self.sessions.iter() {
            match session.state {
                SessionState::New => young.new += 1,
                SessionState::Offered | SessionState::Connecting => young.unconnected += 1,
                SessionState::Connected | SessionState::Disconnected => {}
            }
        }
        self.machine.room.check((self.machine.free)(), young).map_err(|short| {
            Error::unavailable(format!(
                "The server cannot open another session: it has too few {}, or close a session.",
                short.advice()
            ))
        })
    }
}
