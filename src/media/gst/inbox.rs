//! The control thread's inbox, and its pulse. Owns the policy for each message; the sender never waits for the control
//! thread, whatever that does.
//!
//! * What is asked on behalf of a request (an offer, an answer, a candidate, statistics, a look inside) is refused while
//!   [`MAX_ASKED`](crate::core::mailbox::MAX_ASKED) such messages wait, and at once while the thread hangs. Its sender says so.
//! * What GStreamer's threads report of a session or an encoder waits once for each of them: that its state changed, that it
//!   failed. Local candidates wait up to [`MAX_CANDIDATES`] for each session.
//! * The rest must not be lost: ends of sessions, streams that run and stop, finished starts, unlinked branches, the
//!   shutdown. There is one for each thing that was begun, so what was admitted bounds it.
//! * 100,000 in all are the end: nothing more is taken, and the watchdog ends the process.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    encode::encoder,
    messages::{Msg, Told},
    pipelines::folder::FileRead,
    port::{Port, busy},
    session::signals::{Report, Signal},
};
use crate::{
    core::{
        mailbox::{Mailbox, Policy, Posted},
        watchdog::{DEAD_AFTER, LOOK_EVERY, STALLED_AFTER, Standing, Watchdog},
    },
    error::Error,
    metrics::ControlMetrics,
    model::SessionId,
    sync::{Condvar, Mutex, MutexGuard, lock},
};

/// Local candidates of one session that may wait. A machine with 8 addresses has 8 to 24.
const MAX_CANDIDATES: usize = 64;

/// What makes two messages the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Candidates(u64),
    Gathering(u64),
    Connection(u64),
    Dtls(u64),
    SessionError(u64),
    Encoder(u64),
    File(String),
    Channel(u64),
    Data(SessionId),
}

impl Msg {
    fn policy(&self) -> Policy<Key> {
        match self {
            Self::Open(_)
            | Self::Answer(..)
            | Self::Candidate(..)
            | Self::DepthRange(..)
            | Self::Stats(..)
            | Self::Pipelines(_)
            | Self::Reload(..)
            | Self::Running(_) => Policy::Asked,
            Self::Session(Report::Signal(serial, Signal::LocalCandidate(..))) => {
                Policy::AtMost(MAX_CANDIDATES, Key::Candidates(*serial))
            }
            Self::Session(Report::Signal(serial, Signal::GatheringComplete)) => Policy::Once(Key::Gathering(*serial)),
            Self::Session(Report::Signal(serial, Signal::ConnectionState)) => Policy::Once(Key::Connection(*serial)),
            Self::Session(Report::Signal(serial, Signal::DataChannelState)) => Policy::Once(Key::Channel(*serial)),
            Self::Data(session, _) => Policy::Newest(Key::Data(session.clone())),
            Self::Session(Report::Signal(serial, Signal::DtlsClosed)) => Policy::Once(Key::Dtls(*serial)),
            // The first says what happened.
            Self::Session(Report::Signal(serial, Signal::Error(_))) => Policy::Once(Key::SessionError(*serial)),
            Self::Encoder(encoder::Report::Failed(serial, _)) => Policy::Once(Key::Encoder(*serial)),
            Self::FileRead(FileRead { name, reply: None, .. }) => Policy::Newest(Key::File(name.clone())),
            _ => Policy::Kept,
        }
    }

    /// What the control thread does with it, for the log.
    fn doing(&self) -> &'static str {
        match self {
            Self::Open(_) => "opens a session",
            Self::Answer(..) => "applies an answer",
            Self::Candidate(..) => "takes a candidate",
            Self::Data(..) => "sends on a data channel",
            Self::Grow(..) => "gives a session more m-lines",
            Self::Switch(..) => "gives a session other streams",
            Self::Close(_) => "closes a session",
            Self::StreamRunning(..) | Self::StreamStopped(_) | Self::DepthRange(..) | Self::DeviceForgotten(_) => {
                "follows a stream of the camera"
            }
            Self::Stats(..) | Self::Session(Report::Stats(..)) => "collects statistics",
            Self::Shutdown(_) => "shuts down",
            Self::Session(Report::Signal(..)) => "acts on what a session reports",
            Self::Pipelines(_) | Self::Reload(..) | Self::FileRead(_) => "looks at pipeline files",
            Self::Started(_) | Self::Encoder(encoder::Report::Failed(..)) => "changes an encoder",
            Self::Running(_) => "tells what runs",
            Self::Encoder(encoder::Report::Unlinked(_)) => "takes a session off an encoder",
            #[cfg(test)]
            Self::Hang(_) => "is held by a test",
        }
    }
}

/// Makes an inbox: the sender's side, to be cloned, and the control thread's.
pub(super) fn inbox(metrics: Arc<ControlMetrics>) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { metrics, ..Shared::default() });
    (Sender(shared.clone()), Receiver(shared))
}

/// Where messages to the control thread are posted; cheap to clone.
#[derive(Clone)]
pub(super) struct Sender(Arc<Shared>);

/// The control thread's side. Dropped, everything is refused.
pub(super) struct Receiver(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A message came.
    posted: Condvar,
    /// Turns that the control thread has taken.
    turns: AtomicU64,
    metrics: Arc<ControlMetrics>,
    watch: Mutex<Watch>,
    /// The watch ends.
    unwatched: Condvar,
}

#[derive(Default)]
struct State {
    mailbox: Mailbox<Msg, Key>,
    ended: bool,
}

#[derive(Default)]
struct Watch {
    /// What the control thread does.
    doing: Option<&'static str>,
    /// How long it has taken no turn.
    age: Duration,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions; nothing of GStreamer's is called or freed under it.
        lock(&self.state)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }
}

impl Sender {
    /// Posts a message; never waits.
    ///
    /// # Errors
    /// The message, when it is refused: too much waits, the control thread hangs, or it has ended.
    pub(super) fn send(&self, message: Msg) -> Result<(), Box<Msg>> {
        let policy = message.policy();
        let hangs = policy == Policy::Asked && self.0.watch().age >= STALLED_AFTER;
        let posted = {
            let mut state = self.0.lock();
            let posted =
                if state.ended || hangs { Posted::Refused(message) } else { state.mailbox.post(message, policy) };
            self.0.metrics.waiting.set(i64::try_from(state.mailbox.len()).unwrap_or(i64::MAX));
            posted
        };
        match posted {
            Posted::Waits => {
                self.0.posted.notify_one();
                Ok(())
            }
            // Dropped here, where no lock is held.
            Posted::Instead(_superfluous) => Ok(()),
            Posted::Refused(message) => {
                self.0.metrics.refused.inc();
                Err(Box::new(message))
            }
        }
    }

    /// Where a part posts what it has to tell.
    pub(super) fn port<T: Told>(&self) -> Port<T> {
        let sender = self.clone();
        // What is refused is the message that was posted, so it is of this kind.
        Port::new(move |told: T| match sender.send(told.message()) {
            Ok(()) => Ok(()),
            Err(refused) => T::of(*refused).map_or(Ok(()), |told| Err(Box::new(told))),
        })
    }

    /// Why what is asked now would be refused; `None` when it would be taken.
    pub(super) fn refusal(&self) -> Option<Error> {
        (self.trouble().is_some() || self.0.lock().mailbox.is_busy()).then(busy)
    }

    /// In words for a person why nobody is served: the control thread hangs.
    pub(super) fn trouble(&self) -> Option<String> {
        let watch = self.0.watch();
        (watch.age >= STALLED_AFTER).then(|| {
            format!(
                "The media side does not answer: for {} s its control thread has hung while it {}. If it does not come \
                 back within {} s, the server ends, so that it can be started again.",
                watch.age.as_secs(),
                watch.doing.unwrap_or("waited"),
                DEAD_AFTER.as_secs()
            )
        })
    }

    /// Watches the control thread from a thread of its own until that ends, or does not come back: then `lost` is called.
    /// Tests look more often than every [`LOOK_EVERY`].
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn watch(&self, look_every: Duration, lost: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let shared = self.0.clone();
        let run = move || {
            if shared.keep_watch(look_every) {
                lost();
            }
        };
        std::thread::Builder::new().name("media-watch".into()).spawn(run).map(drop)
    }
}

impl Shared {
    /// Looks at the control thread until it ends (false) or does not come back (true).
    fn keep_watch(&self, look_every: Duration) -> bool {
        let mut watchdog = Watchdog::default();
        let mut told = false;
        loop {
            let watch = self.watch();
            // A wait that the system prolongs, because the process is stopped, still counts as one look.
            let waited = self.unwatched.wait_timeout_while(watch, look_every, |watch| !watch.ended);
            let (mut watch, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if watch.ended {
                return false;
            }
            let standing = watchdog.look(self.turns.load(Relaxed));
            watch.age = watchdog.age();
            let doing = watch.doing.unwrap_or("waited");
            drop(watch);
            self.metrics.age_s.set(i64::try_from(watchdog.age().as_secs()).unwrap_or(i64::MAX));
            let (waiting, overrun) = {
                let state = self.lock();
                (state.mailbox.len(), state.mailbox.is_overrun())
            };
            match standing {
                Standing::Well => {
                    if std::mem::replace(&mut told, false) {
                        tracing::warn!("The media control thread goes on after all");
                    }
                }
                Standing::Stalled => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            waiting,
                            "The media control thread has hung for {} s while it {doing}; nobody new is served",
                            STALLED_AFTER.as_secs()
                        );
                    }
                }
                Standing::Dead => {
                    tracing::error!(
                        waiting,
                        "The media control thread has hung for {} s while it {doing}, and is given up",
                        DEAD_AFTER.as_secs()
                    );
                    return true;
                }
            }
            if overrun {
                tracing::error!(waiting, "More messages wait for the media control thread than can be right");
                return true;
            }
        }
    }
}

impl Receiver {
    /// The next message; `None` when none came until `until`. Each call is a turn.
    pub(super) fn next(&self, until: Option<Instant>) -> Option<Msg> {
        // An idle thread takes turns, too, so that it can be told from one that hangs.
        let idle = Instant::now() + LOOK_EVERY / 2;
        let until = until.map_or(idle, |until| until.min(idle));
        self.turn(None);
        let message = {
            let wait = until.saturating_duration_since(Instant::now());
            let waited = self.0.posted.wait_timeout_while(self.0.lock(), wait, |state| state.mailbox.is_empty());
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let message = state.mailbox.take();
            self.0.metrics.waiting.set(i64::try_from(state.mailbox.len()).unwrap_or(i64::MAX));
            message
        };
        self.turn(Some(message.as_ref().map_or("does what is due", Msg::doing)));
        message
    }

    /// Everything that waits.
    pub(super) fn drain(&self) -> impl Iterator<Item = Msg> {
        std::iter::from_fn(|| self.0.lock().mailbox.take())
    }

    fn turn(&self, doing: Option<&'static str>) {
        self.0.turns.fetch_add(1, Relaxed);
        self.0.watch().doing = doing;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.lock();
            state.ended = true;
            std::mem::take(&mut state.mailbox)
        };
        // Outside the lock: what waits may hold pipelines.
        drop(left);
        self.0.watch().ended = true;
        self.0.unwatched.notify_all();
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
