//! How the actor answers questions about sessions: it puts its own table, the media side's figures and the failures of encoders
//! together.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{api::SessionStatus, state::Actor};
use crate::{
    core::wishes::sessions::Session,
    media::SessionStats,
    model::{Codec, SessionId, StreamKey},
};

/// How long a status request waits for the media side's figures.
const STATS_TIMEOUT: Duration = Duration::from_millis(500);

impl Actor {
    pub(super) fn describe(&self, id: &SessionId, session: &Session) -> SessionStatus {
        SessionStatus {
            session: id.clone(),
            device: session.device.clone(),
            streams: session.streams(),
            state: session.state,
            created_at: self.wall_time(session.created),
            last_activity: self.wall_time(session.last_activity),
            remote_address: session.remote_address.clone(),
            user_agent: session.user_agent.clone(),
            relayed: session.relayed,
            stats: SessionStats::default(),
        }
    }

    /// How many pictures an encoder has made in all.
    pub(super) fn made(&self, key: &StreamKey, codec: Codec) -> u64 {
        self.metrics.encoder(key, codec).frames.get()
    }

    /// What is wrong with the encoders of these sessions' streams.
    fn troubles_of(&self, now: Instant, statuses: &[SessionStatus]) -> Vec<(StreamKey, Codec, String)> {
        if self.troubles.is_empty() {
            return Vec::new();
        }
        let streams = statuses.iter().flat_map(|status| status.streams.iter().map(|s| Self::key(&status.device, *s)));
        let keys: std::collections::BTreeSet<_> = streams.collect();
        let all = keys.into_iter().flat_map(|key| Codec::ALL.map(|codec| (key.clone(), codec)));
        all.filter_map(|(key, codec)| {
            let message = self.troubles.of(now, &key, codec, self.made(&key, codec))?.message.clone();
            Some((key, codec, message))
        })
        .collect()
    }

    /// Answers once the media side gave its figures, without holding the actor up.
    pub(super) fn with_stats<T: Send + 'static>(
        &self,
        now: Instant,
        mut statuses: Vec<SessionStatus>,
        reply: oneshot::Sender<T>,
        finish: impl FnOnce(Vec<SessionStatus>) -> T + Send + 'static,
    ) {
        let troubles = self.troubles_of(now, &statuses);
        let (stats_reply, stats) = oneshot::channel();
        self.media.stats(statuses.iter().map(|status| status.session.clone()).collect(), stats_reply);
        tokio::spawn(async move {
            if let Ok(Ok(stats)) = tokio::time::timeout(STATS_TIMEOUT, stats).await {
                let mut by_session: HashMap<_, _> = stats.into_iter().collect();
                for status in &mut statuses {
                    status.stats = by_session.remove(&status.session).unwrap_or_default();
                    let of_session = troubles.iter().filter(|(key, ..)| key.device == status.device);
                    for (key, codec, message) in of_session {
                        let name = key.stream.to_string();
                        let streams = status.stats.streams.iter_mut();
                        streams
                            .filter(|stream| stream.stream_type == name && stream.codec == Some(*codec))
                            .for_each(|stream| stream.trouble = Some(message.clone()));
                    }
                }
            }
            drop(reply.send(finish(statuses)));
        });
    }
}
