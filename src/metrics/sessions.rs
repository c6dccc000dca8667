//! What is counted about sessions and offers.

use super::values::{Counter, Histogram};
use crate::{
    core::wishes::sessions::Expired,
    error::{Error, Kind},
    model::SessionEnd,
};

/// Seconds from the request to DTLS. Most of it is the browser's and the network's.
const CONNECT_SECONDS: &[f64] = &[0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0];

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Somebody asked for it.
    Requested,
    /// The peer closed its connection.
    PeerClosed,
    /// Nothing came from the peer any more.
    PeerSilent,
    /// ICE or DTLS failed.
    ConnectFailed,
    /// The peer did what no receiver has to.
    PeerMisbehaved,
    /// Its pipeline failed.
    PipelineError,
    /// A stream of it did not start, or no offer could be made.
    NotStarted,
    /// The requester went away before the offer was ready.
    RequesterGone,
    /// The offer was never answered.
    NoAnswer,
    /// Answered, but never connected.
    NoConnection,
    /// Lost, and not found again.
    Lost,
    /// No activity.
    Idle,
    /// It reached the longest time a session may last.
    Lifetime,
    /// The server shut down.
    Shutdown,
}

impl End {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 14] = [
        Self::Requested,
        Self::PeerClosed,
        Self::PeerSilent,
        Self::ConnectFailed,
        Self::PeerMisbehaved,
        Self::PipelineError,
        Self::NotStarted,
        Self::RequesterGone,
        Self::NoAnswer,
        Self::NoConnection,
        Self::Lost,
        Self::Idle,
        Self::Lifetime,
        Self::Shutdown,
    ];

    /// The value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Requested => "closed_by_request",
            Self::PeerClosed => "closed_by_peer",
            Self::PeerSilent => "peer_silent",
            Self::ConnectFailed => "connect_failed",
            Self::PeerMisbehaved => "peer_misbehaved",
            Self::PipelineError => "pipeline_error",
            Self::NotStarted => "not_started",
            Self::RequesterGone => "requester_gone",
            Self::NoAnswer => "no_answer",
            Self::NoConnection => "no_connection",
            Self::Lost => "peer_lost",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Shutdown => "shutdown",
        }
    }
}

impl From<&SessionEnd> for End {
    fn from(reason: &SessionEnd) -> Self {
        match reason {
            SessionEnd::PeerClosed => Self::PeerClosed,
            SessionEnd::PeerSilent(_) => Self::PeerSilent,
            SessionEnd::ConnectFailed(_) => Self::ConnectFailed,
            SessionEnd::PeerMisbehaved(_) => Self::PeerMisbehaved,
            SessionEnd::PipelineError(_) => Self::PipelineError,
        }
    }
}

impl From<Expired> for End {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::NoAnswer => Self::NoAnswer,
            Expired::NoConnection => Self::NoConnection,
            Expired::Lost => Self::Lost,
            Expired::Idle => Self::Idle,
            Expired::Lifetime => Self::Lifetime,
        }
    }
}

/// The values of the label `reason` of a refused offer.
pub(super) const REFUSALS: [&str; 6] = ["invalid", "not_found", "conflict", "limit", "unavailable", "internal"];

fn refusal_index(error: &Error) -> usize {
    match error.kind() {
        Kind::Invalid => 0,
        Kind::NotFound => 1,
        Kind::Conflict => 2,
        Kind::Limit { .. } => 3,
        Kind::Unavailable { .. } => 4,
        Kind::Internal => 5,
    }
}

/// What is counted about sessions and offers.
#[derive(Debug)]
pub struct SessionMetrics {
    /// Sessions made.
    pub opened: Counter,
    /// Sessions whose DTLS came up.
    pub connected: Counter,
    /// From the request to DTLS.
    pub connect_seconds: Histogram,
    /// Times that a session's peer reports were looked at.
    pub report_polls: Counter,
    ended: [Counter; End::ALL.len()],
    refused: [Counter; REFUSALS.len()],
}

impl Default for SessionMetrics {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            connected: Counter::default(),
            connect_seconds: Histogram::new(CONNECT_SECONDS),
            report_polls: Counter::default(),
            ended: Default::default(),
            refused: Default::default(),
        }
    }
}

impl SessionMetrics {
    /// A session ended.
    pub fn ended(&self, why: End) {
        self.ended[why as usize].inc();
    }

    /// An offer was refused.
    pub fn refused(&self, error: &Error) {
        self.refused[refusal_index(error)].inc();
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        End::ALL.into_iter().map(|why| (why.label(), self.ended[why as usize].get()))
    }

    pub(super) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSALS.into_iter().zip(self.refused.iter().map(Counter::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_and_every_refusal_has_a_place_of_its_own() {
        for (index, why) in End::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index, "{why:?} stands where it is counted");
        }
        let metrics = SessionMetrics::default();
        metrics.ended(End::Lifetime);
        metrics.refused(&Error::unavailable("x"));
        assert_eq!(metrics.ends().find(|(_, count)| *count > 0), Some(("lifetime", 1)));
        assert_eq!(metrics.refusals().find(|(_, count)| *count > 0), Some(("unavailable", 1)));
    }
}
