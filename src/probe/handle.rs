//! The door to a running receiver: its counters, waiting for them, and how it ends. Owns what the task and its handle
//! share; never touches the socket.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    assemble::{Assembler, ReceivedStats},
    rtcp::Rtcp,
};
use crate::{
    error::Result,
    sync::{Mutex, MutexGuard, lock},
};

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// ICE or DTLS is not up yet.
    Connecting,
    /// DTLS is up.
    Connected,
    /// ICE lost the server.
    Disconnected,
    /// Closed by either side, or vanished.
    Closed,
}

/// What a receiver has seen so far.
#[derive(Debug, Clone)]
pub struct Stats {
    /// When the answer was made.
    pub started_at: Instant,
    /// Where the connection stands.
    pub phase: Phase,
    /// When DTLS came up.
    pub connected_at: Option<Instant>,
    /// When the connection ended.
    pub closed_at: Option<Instant>,
    /// Whether it was the server that closed.
    pub closed_by_server: bool,
    /// Media packets dropped on purpose.
    pub dropped: u64,
    /// One per m-line, in SDP order.
    pub streams: Vec<ReceivedStats>,
}

/// What the receiver's task and its handle share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) changed: watch::Sender<u64>,
}

/// The counters under the lock.
pub(super) struct State {
    pub(super) started_at: Instant,
    pub(super) phase: Phase,
    pub(super) connected_at: Option<Instant>,
    pub(super) closed_at: Option<Instant>,
    pub(super) closed_by_server: bool,
    pub(super) dropped: u64,
    pub(super) streams: Vec<Assembler>,
}

/// What a handle asks of its receiver.
pub(super) enum Command {
    Keyframe(usize),
    Rtcp(Rtcp),
    Offer(String, oneshot::Sender<Result<String>>),
    Close,
    FallSilent,
    Vanish,
}

/// The door to a running receiver. Dropping it ends the receiver the way a killed process ends: without good-bye.
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) task: JoinHandle<()>,
    pub(super) local: SocketAddr,
}

impl Shared {
    pub(super) fn new(started_at: Instant, streams: Vec<Assembler>) -> Self {
        let state = State {
            started_at,
            phase: Phase::Connecting,
            connected_at: None,
            closed_at: None,
            closed_by_server: false,
            dropped: 0,
            streams,
        };
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the counters whole, so a poisoned lock is still usable.
        lock(&self.state)
    }

    fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            started_at: state.started_at,
            phase: state.phase,
            connected_at: state.connected_at,
            closed_at: state.closed_at,
            closed_by_server: state.closed_by_server,
            dropped: state.dropped,
            streams: state.streams.iter().map(|stream| stream.stats().clone()).collect(),
        }
    }

    pub(super) fn notify(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }
}

impl Handle {
    /// Everything seen so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Waits until `wanted` holds and gives the stats at that moment; `Err` with the last ones when the time is up or the
    /// receiver ended first.
    ///
    /// # Errors
    /// The stats that did not satisfy `wanted`.
    pub async fn wait(&self, limit: Duration, wanted: impl Fn(&Stats) -> bool) -> std::result::Result<Stats, Stats> {
        let end = tokio::time::Instant::now() + limit;
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let stats = self.stats();
            if wanted(&stats) {
                return Ok(stats);
            }
            if !matches!(tokio::time::timeout_at(end, changed.changed()).await, Ok(Ok(()))) {
                let stats = self.stats();
                return if wanted(&stats) { Ok(stats) } else { Err(stats) };
            }
        }
    }

    /// The longest time between two frames of any stream since the last call, open gaps included; starts anew.
    pub fn take_longest_gap(&self) -> Duration {
        let now = Instant::now();
        self.shared.lock().streams.iter_mut().map(|stream| stream.take_gap(now)).max().unwrap_or_default()
    }

    /// Asks for a key frame (PLI) on the m-line with this index.
    pub async fn request_keyframe(&self, stream: usize) {
        let _ = self.commands.send(Command::Keyframe(stream)).await;
    }

    /// Sends RTCP that no receiver should. Only for receivers with [`Options::rtcp`](super::receiver::Options::rtcp), and
    /// only once media has come; false when the receiver has ended.
    pub async fn send_rtcp(&self, rtcp: Rtcp) -> bool {
        self.commands.send(Command::Rtcp(rtcp)).await.is_ok()
    }

    /// Takes a later offer of the session and gives the answer's SDP; `None` when the receiver has ended.
    ///
    /// # Errors
    /// Invalid when the SDP does not parse or cannot be accepted.
    pub async fn accept(&self, sdp: &str) -> Option<Result<String>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Offer(sdp.to_owned(), reply)).await.ok()?;
        answer.await.ok()
    }

    /// Says good-bye (RTCP BYE, DTLS close_notify) and ends.
    pub async fn close(self) -> Stats {
        self.end(Command::Close).await
    }

    /// Ends like a killed process: no good-bye, the port closed.
    pub async fn vanish(self) -> Stats {
        self.end(Command::Vanish).await
    }

    /// Falls silent like a machine whose cable was pulled: no good-bye, the port stays open until the handle is dropped.
    pub async fn fall_silent(&self) {
        let _ = self.commands.send(Command::FallSilent).await;
    }

    /// The receiver's own address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn end(self, command: Command) -> Stats {
        let _ = self.commands.send(command).await;
        let shared = self.shared.clone();
        let Self { task, commands, changed, .. } = self;
        let _ = task.await;
        drop((commands, changed));
        shared.stats()
    }
}
