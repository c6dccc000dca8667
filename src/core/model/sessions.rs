//! What sessions are called, where they are in their life, and how they end.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

/// A session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Streams are starting, or the offer is being made.
    New,
    /// The offer was sent; there is no answer yet.
    Offered,
    /// The answer has come; DTLS is not up yet.
    Connecting,
    /// DTLS is up.
    Connected,
    /// The peer is silent; it may come back.
    Disconnected,
}

impl SessionState {
    /// All of them, in the order of a session's life.
    pub const ALL: [Self; 5] = [Self::New, Self::Offered, Self::Connecting, Self::Connected, Self::Disconnected];

    /// As it reads on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Offered => "offered",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A session's identity: a random UUID in text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "5f0c1f3a-33a2-4fd1-9f53-6a2f6b1d3b5f")]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Takes any string: an id that was never given out is simply not found.
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// A fresh random id.
    pub fn random() -> Self {
        Self::new(uuid::Uuid::new_v4().to_string())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters: enough to tell sessions apart in a log line.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An ICE candidate as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IceCandidate {
    /// `candidate:…`, without `a=`; empty means end of candidates.
    pub candidate: String,
    /// The m-line's id, where the browser said it.
    #[serde(rename = "sdpMid")]
    pub sdp_mid: Option<String>,
    /// The m-line's index, where the browser said it.
    #[serde(rename = "sdpMLineIndex")]
    pub sdp_mline_index: Option<u32>,
}

/// Why the media side ended a session by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The peer closed its DTLS connection.
    PeerClosed,
    /// Nothing came from the peer for this long.
    PeerSilent(Duration),
    /// ICE or DTLS failed.
    ConnectFailed(String),
    /// The peer did what no receiver has to, and what would cost the others.
    PeerMisbehaved(String),
    /// An element of the session's pipeline failed.
    PipelineError(String),
}
