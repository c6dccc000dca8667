//! A place for the newest of what one thread makes and another uses: what was not used in time is replaced. Owns the wait.
//! `tests/loom` runs it under every order in which threads can meet.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{Condvar, Mutex, lock};

/// The newest value, and what became of those before it.
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: Option<T>,
    replaced: u64,
    closed: bool,
}

/// What a wait gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    /// The newest value that was not taken yet.
    Value(T),
    /// Nothing came within the time given.
    Timeout,
    /// The slot was closed.
    Closed,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { value: None, replaced: 0, closed: false }), changed: Condvar::new() }
    }
}

impl<T> Slot<T> {
    /// Puts the newest value in. Returns the one that nobody took in time. Never waits for the one who takes.
    pub(crate) fn put(&self, value: T) -> Option<T> {
        let replaced = {
            let mut state = lock(&self.state);
            let replaced = state.value.replace(value);
            state.replaced += u64::from(replaced.is_some());
            replaced
        };
        self.changed.notify_one();
        replaced
    }

    /// Waits for the next value.
    pub(crate) fn take(&self, timeout: Duration) -> Taken<T> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.state);
        while state.value.is_none() && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Timeout;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return Taken::Closed;
        }
        state.value.take().map_or(Taken::Timeout, Taken::Value)
    }

    /// How many values were replaced before they were taken.
    pub(crate) fn replaced(&self) -> u64 {
        lock(&self.state).replaced
    }

    /// Ends the present wait, and every later one at once.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken_and_the_others_are_counted() {
        let slot = Slot::default();
        assert_eq!(slot.take(Duration::ZERO), Taken::Timeout);
        assert_eq!([slot.put(1), slot.put(2), slot.put(3)], [None, Some(1), Some(2)]);
        assert_eq!((slot.take(Duration::ZERO), slot.replaced()), (Taken::Value(3), 2));
        slot.put(4);
        slot.close();
        assert_eq!(slot.take(Duration::from_secs(60)), Taken::Closed);
    }

    #[test]
    fn a_wait_ends_with_what_comes_and_with_the_end() {
        let slot = Slot::default();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| (slot.take(Duration::from_secs(60)), slot.take(Duration::from_secs(60))));
            slot.put('a');
            while lock(&slot.state).value.is_some() {
                std::thread::yield_now();
            }
            slot.close();
            assert_eq!(waits.join().expect("no panic"), (Taken::Value('a'), Taken::Closed));
        });
    }
}
