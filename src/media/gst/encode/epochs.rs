//! Which of a session's encoders a gate passes access units of, and from which unit on. Owns the order: nothing of an older
//! encoder comes behind anything of a newer one, each begins with a key frame, and behind a lost unit comes a key frame. Nobody
//! waits here. `tests/loom` runs it under every order in which threads can meet.

use crate::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// The number of no encoder: it counts from 1.
const NOBODY: u64 = 0;

/// The encoders of one gate, by the number that each got when it was attached.
pub(super) struct Epochs {
    /// Counts the encoders; only what the newest makes passes.
    newest: AtomicU64,
    /// The encoder whose key frame opened the gate; any other number means that it waits for one.
    open_for: AtomicU64,
    /// Whether an access unit is being delivered. Two encoders meet here when a unit of the old one is still under way while
    /// the new one begins.
    delivering: AtomicBool,
    /// A unit of the encoder that it is open for was lost: what refers to it would not decode.
    broken: AtomicBool,
}

/// What becomes of a unit that wants to pass.
pub(super) enum Entry<'a> {
    /// It may, and is alone.
    Alone(Alone<'a>),
    /// It is lost, because a unit of an older encoder is being passed. What follows is withheld up to a key frame.
    Lost,
    /// Its encoder has been replaced.
    Old,
}

/// Held while one unit is under way; its holder is alone at the gate.
pub(super) struct Alone<'a> {
    epochs: &'a Epochs,
    epoch: u64,
}

impl Epochs {
    pub(super) fn new() -> Self {
        Self {
            newest: AtomicU64::new(NOBODY),
            open_for: AtomicU64::new(NOBODY),
            delivering: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// A new encoder is being attached: its number, by which its units are told from those that an older one has under way.
    pub(super) fn restart(&self) -> u64 {
        self.newest.fetch_add(1, SeqCst) + 1
    }

    /// A unit of the encoder with this number wants to pass.
    pub(super) fn enter(&self, epoch: u64) -> Entry<'_> {
        if self.delivering.swap(true, SeqCst) {
            // The other unit takes microseconds; waiting for it could be waiting for an encoder that hangs.
            if self.newest.load(SeqCst) != epoch {
                return Entry::Old;
            }
            self.broken.store(true, SeqCst);
            return Entry::Lost;
        }
        let alone = Alone { epochs: self, epoch };
        // Looked at only now: an encoder that was replaced meanwhile has nothing to say any more.
        if self.newest.load(SeqCst) == epoch { Entry::Alone(alone) } else { Entry::Old }
    }
}

impl Alone<'_> {
    /// Closes the gate when a unit was lost since the last one, so that this one would not decode; a key frame needs none before it.
    /// Says once that it did.
    pub(super) fn shut_if_broken(&self, is_key: bool) -> bool {
        let broken = self.epochs.broken.swap(false, SeqCst) && !is_key;
        if broken {
            self.shut();
        }
        broken
    }

    /// Whether a key frame of this encoder has opened the gate.
    pub(super) fn is_open(&self) -> bool {
        self.epochs.open_for.load(Relaxed) == self.epoch
    }

    /// Opens the gate for this encoder, whose key frame this is.
    pub(super) fn open(&self) {
        self.epochs.open_for.store(self.epoch, Relaxed);
    }

    /// Closes the gate up to the next key frame.
    pub(super) fn shut(&self) {
        self.epochs.open_for.store(NOBODY, Relaxed);
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.epochs.delivering.store(false, SeqCst);
    }
}
