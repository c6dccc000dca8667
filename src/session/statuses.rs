//! The actor's part about telling how sessions are: from its table and from the media side's figures.

use std::{collections::HashMap, time::Duration};

use tokio::sync::oneshot;

use super::{
    actor::Actor,
    handle::{SessionState, SessionStatus},
};
use crate::{
    core::sessions::{Session, State},
    media::SessionStats,
    model::SessionId,
};

/// How long a status request waits for the media side's figures.
const STATS_TIMEOUT: Duration = Duration::from_millis(500);

impl Actor {
    pub(super) fn describe(&self, id: &SessionId, session: &Session) -> SessionStatus {
        let state = match session.state {
            State::New => SessionState::New,
            State::Offered => SessionState::Offered,
            State::Answering | State::Connecting => SessionState::Connecting,
            State::Connected => SessionState::Connected,
            State::Disconnected => SessionState::Disconnected,
        };
        SessionStatus {
            session: id.clone(),
            device: session.device.clone(),
            streams: session.streams.clone(),
            state,
            created_at: self.wall_time(session.created),
            last_activity: self.wall_time(session.last_activity),
            remote_address: session.remote_address.clone(),
            user_agent: session.user_agent.clone(),
            stats: SessionStats::default(),
        }
    }

    /// Answers once the media side gave its figures, without holding the actor up.
    pub(super) fn with_stats<T: Send + 'static>(
        &self,
        mut statuses: Vec<SessionStatus>,
        reply: oneshot::Sender<T>,
        finish: impl FnOnce(Vec<SessionStatus>) -> T + Send + 'static,
    ) {
        let (stats_reply, stats) = oneshot::channel();
        self.media.stats(statuses.iter().map(|status| status.session.clone()).collect(), stats_reply);
        tokio::spawn(async move {
            if let Ok(Ok(stats)) = tokio::time::timeout(STATS_TIMEOUT, stats).await {
                let mut by_session: HashMap<_, _> = stats.into_iter().collect();
                for status in &mut statuses {
                    status.stats = by_session.remove(&status.session).unwrap_or_default();
                }
            }
            drop(reply.send(finish(statuses)));
        });
    }
}
