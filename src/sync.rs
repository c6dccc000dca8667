//! Threads and locks, as all parts use them. Owns no state.

use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::warn;

/// Joins a thread unless it is still busy at the deadline; then it is left to end by itself.
pub(crate) fn join_until(thread: JoinHandle<()>, deadline: Instant) {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            warn!(thread = thread.thread().name(), "still busy in the SDK; left behind");
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // A panic was logged by the panic hook already.
    let _ = thread.join();
}
