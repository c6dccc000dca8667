//! The error kinds of the whole server. Owns the split between what the client is told and what the log is told;
//! never knows an HTTP status (`http::errors` has the one table from kind to status).

use std::time::Duration;

/// What sort of failure this is, from the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request asks for something that does not exist in this form: unknown stream type, format, size, bad SDP.
    Invalid,
    /// The device, sensor, option, session or route is not known.
    NotFound,
    /// The request contradicts what runs (a start with other parameters).
    Conflict,
    /// A limit is reached; worth trying again after the given time.
    Limit {
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// The device is known but cannot do it now: unplugged, busy, failed to start, shutting down.
    Unavailable {
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// A bug or a broken installation: the details go to the log, never to the client.
    Internal,
}

/// An error with a sentence the person at the other end can act on, and optionally more for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{public}")]
pub struct Error {
    kind: Kind,
    public: String,
    log: Option<String>,
    reason: Option<&'static str>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How long a client should wait before it asks an unavailable device again.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a client should wait before it asks again what the server was too busy for: queues here empty within a second.
const BUSY_FOR: Duration = Duration::from_secs(1);

impl Error {
    /// The request is wrong in itself.
    pub fn invalid(public: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, public)
    }

    /// The thing named is not known.
    pub fn not_found(public: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, public)
    }

    /// A session that is not known (any more).
    pub fn unknown_session(session: &impl std::fmt::Display) -> Self {
        Self::not_found(format!("Session {session} is not known; it may have ended. Ask for a new offer."))
    }

    /// A device that is known but not plugged in.
    pub fn unplugged(device: &impl std::fmt::Display) -> Self {
        Self::unavailable(format!("Device {device} is unplugged. Plug it in again; its streams resume by themselves."))
    }

    /// A device that is not known.
    pub fn unknown_device(device: &impl std::fmt::Display) -> Self {
        Self::not_found(format!("Device {device} is not known. GET /api/devices lists the devices that are there."))
    }

    /// The request contradicts what runs.
    pub fn conflict(public: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, public)
    }

    /// A limit is reached.
    pub fn limit(public: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Kind::Limit { retry_after }, public)
    }

    /// Known, but not possible now.
    pub fn unavailable(public: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable { retry_after: RETRY_AFTER }, public)
    }

    /// Known, but not possible before this has passed.
    pub fn unavailable_for(public: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Kind::Unavailable { retry_after }, public)
    }

    /// Too much is being done at once; worth asking again soon. The sentence says what there is too much of.
    pub fn busy(public: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable { retry_after: BUSY_FOR }, public)
    }

    /// The server ends: for that one cause only. What else goes wrong has a sentence of its own.
    pub fn stopping() -> Self {
        Self::unavailable("The server is shutting down; try again once it is back.")
    }

    /// The system gave no thread for what was asked. The log has the system's own words.
    pub fn no_thread(consequence: &str) -> Self {
        Self::unavailable(format!(
            "The system allows the server no more threads, so {consequence}. The server's log says why; raise the limit \
             of processes (LimitNPROC, TasksMax, pids), or close sessions, and try again."
        ))
    }

    /// A bug or a broken installation; `log` is written to the log and never sent.
    pub fn internal(log: impl Into<String>) -> Self {
        Self {
            kind: Kind::Internal,
            public: "Internal error; the server's log has the details.".into(),
            log: Some(log.into()),
            reason: None,
        }
    }

    fn new(kind: Kind, public: impl Into<String>) -> Self {
        Self { kind, public: public.into(), log: None, reason: None }
    }

    /// Adds one word that tells programs why, where the sentence alone would have to be read for it.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The word for programs, where there is one.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Adds detail for the log only.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for the client.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// What the log should say: the private detail where there is one, else the public sentence.
    pub fn for_log(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.public)
    }
}
