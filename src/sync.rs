//! Threads and locks, as all parts use them. Owns no state.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::warn;

/// Locks, also after a thread panicked while it held the lock: what is kept behind our locks is whole after every statement, and one
/// panic, which the log has, must not become many.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
