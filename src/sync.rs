//! Locks and threads, as all parts use them. Owns no state.
//!
//! `Mutex`, `RwLock` and `Condvar` are those of `tracing_mutex`: in builds with debug assertions, and so in every test, each
//! remembers after which others it was taken, and a thread that takes two in the other order panics at once, with both places, even
//! if no other thread is there to be dead-locked with. In release builds they are those of the standard library.

mod pool;
mod slot;

use std::{
    sync::PoisonError,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::warn;
pub(crate) use tracing_mutex::stdsync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Atomics by the same way as the locks, so that `tests/loom` can put its own in their place.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

pub(crate) use self::{
    pool::Pool,
    slot::{Slot, Taken},
};

/// Locks, also after a thread panicked while it held the lock: what is kept behind our locks is whole after every statement, and one
/// panic, which the log has, must not become many.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, also after a panic, as [`lock`] does.
pub(crate) fn lock_read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, also after a panic, as [`lock`] does.
pub(crate) fn lock_write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Joins a thread unless it is still busy at the deadline; then it is left to end by itself.
pub(crate) fn join_until(thread: JoinHandle<()>, deadline: Instant) {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            warn!(thread = thread.thread().name(), "still busy; left behind");
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // A panic was logged by the panic hook already.
    let _ = thread.join();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn two_locks_taken_in_both_orders_are_a_bug_that_shows() {
        let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
        {
            let _first = lock(&locks.0);
            let _second = lock(&locks.1);
        }
        let other_order = std::thread::spawn(move || {
            let _second = lock(&locks.1);
            let _first = lock(&locks.0);
        });
        assert!(other_order.join().is_err(), "the other order must panic in a debug build");
    }
}
