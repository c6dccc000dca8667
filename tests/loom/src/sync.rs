//! What `src/sync.rs` is in the server: loom's locks and atomics.

pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics in a model")
}

#[path = "../../../src/sync/slot.rs"]
pub(crate) mod slot;
