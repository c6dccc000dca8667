//! The actor's part about what the media side tells: offers, answers, connections, data channels, ends, and encoders that fail.

use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::state::Actor;
use crate::{
    core::wishes::sessions::Session,
    media::MediaEvent,
    metrics::End,
    model::{SessionEnd, SessionId, SessionState},
};

impl Actor {
    pub(super) fn media_event(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Offer { session, result } => self.offer_made(now, &session, result),
            MediaEvent::Answered { session, result } => {
                let reply = self.answers.remove(&session);
                let early = self.sessions.answered(now, &session, result.is_ok());
                for candidate in early {
                    self.media.add_candidate(session.clone(), candidate);
                }
                match &result {
                    Ok(codecs) => {
                        let lines: Vec<_> = codecs.iter().map(Option::is_some).collect();
                        let grown = self.sessions.grown(&session);
                        self.sessions.accepts(&session, &lines);
                        if let Some(grown) = grown {
                            self.finish_growth(now, &session, grown);
                        }
                        let chosen =
                            codecs.iter().map(|codec| codec.map_or_else(|| "none".into(), |codec| codec.to_string()));
                        let chosen: Vec<String> = chosen.collect();
                        info!(session = session.short(), codecs = chosen.join(" "), "answer applied");
                    }
                    Err(error) => info!(session = session.short(), error = error.for_log(), "answer refused"),
                }
                if let Some(reply) = reply {
                    drop(reply.send(result.map(drop)));
                }
            }
            MediaEvent::LocalCandidate { session, candidate } => self.sessions.local_candidate(&session, candidate),
            MediaEvent::Connected { session, remote_address } => {
                info!(session = session.short(), peer = remote_address.as_deref().unwrap_or("?"), "connected");
                self.count_connection(now, &session);
                self.sessions.connected(now, &session, remote_address);
            }
            MediaEvent::DataChannel { session, open } => {
                debug!(session = session.short(), open, "data channel");
                let device = self.sessions.get(&session).ok().filter(|_| open).map(|known| known.device.clone());
                match device {
                    Some(device) => drop(self.channels.insert(session, device)),
                    None => drop(self.channels.remove(&session)),
                }
            }
            MediaEvent::Disconnected { session } => {
                info!(session = session.short(), "the peer is silent");
                self.sessions.disconnected(now, &session);
            }
            MediaEvent::Activity { session } => {
                if self.sessions.activity(now, &session) {
                    info!(session = session.short(), "the peer is back");
                }
            }
            MediaEvent::Ended { session, reason } => {
                let end = End::from(&reason);
                let why = match reason {
                    SessionEnd::PeerClosed => "the peer closed the connection".to_owned(),
                    SessionEnd::PeerSilent(silence) => {
                        format!("nothing came from the peer for {} s", silence.as_secs())
                    }
                    SessionEnd::ConnectFailed(why) => format!("the connection failed: {why}"),
                    SessionEnd::PeerMisbehaved(why) => why,
                    SessionEnd::PipelineError(why) => format!("its pipeline failed: {why}"),
                };
                self.close(now, &session, end, &why);
            }
            MediaEvent::Failed => {
                error!("the media side ended by a bug or hangs; the server ends, too, so that it can be started again");
                self.broken = true;
            }
            MediaEvent::StreamError { key, codec, message, retry_in } => {
                warn!(stream = %key, %codec, message, ?retry_in, "the stream's pipeline failed; its sessions stay connected");
                let made = self.made(&key, codec);
                self.troubles.failed(now, key, codec, message, retry_in, made);
            }
        }
    }

    /// Counts a session's first connection; a silent peer that comes back is announced as connected, too.
    fn count_connection(&self, now: Instant, id: &SessionId) {
        let first = |session: &&Session| !matches!(session.state, SessionState::Connected | SessionState::Disconnected);
        if let Some(session) = self.sessions.get(id).ok().filter(first) {
            self.metrics.sessions.connected.inc();
            self.metrics.sessions.connect_seconds.observe_time(now.saturating_duration_since(session.created));
        }
    }
}
