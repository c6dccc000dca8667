//! The way of an encoder's access units into one session. Owns the decision to pass, withhold or ask for a key frame. Runs on
//! the encoder's thread, so it waits for no I/O and no other session; the locks it meets (the session's queue, the key-frame
//! target, the encoder's list of events) are each held for a few instructions. None is held over a push: two encoders at one
//! gate are kept apart by a flag that nobody waits for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::{
    counts::Counters,
    epochs::{Alone, Entry, Epochs},
    key_frame_requests::KeyFrames,
};
use crate::{
    media::gst::context::Context,
    sync::{Mutex, lock},
};

/// Access units that may wait in a session before it counts as behind: half a second at 30 fps. On a network that keeps
/// up, none waits.
const MAX_QUEUED: u64 = 15;
/// A session that fell behind gets pictures again once no more than this many wait.
const RESUME_QUEUED: u64 = 2;
/// How often at most a waiting session asks for a key frame.
const ASK_AGAIN_MS: u64 = 500;
/// One stream's way into one session.
pub(in crate::media::gst) struct Gate {
    ctx: Arc<Context>,
    source: gst_app::AppSrc,
    /// Who is asked for key frames: another when the session's m-line gets another stream.
    key_frames: Mutex<Arc<KeyFrames>>,
    epochs: Epochs,
    closed: AtomicBool,
    asked_ms: AtomicU64,
    pub(in crate::media::gst) counters: Arc<Counters>,
    /// What a test does between the decision to pass a unit and passing it.
    #[cfg(test)]
    before_push: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Gate {
    pub(in crate::media::gst) fn new(
        ctx: Arc<Context>,
        source: gst_app::AppSrc,
        key_frames: Arc<KeyFrames>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            source,
            key_frames: Mutex::new(key_frames),
            epochs: Epochs::new(),
            closed: AtomicBool::new(false),
            asked_ms: AtomicU64::new(0),
            counters,
            #[cfg(test)]
            before_push: Mutex::default(),
        })
    }

    /// Who is asked for key frames now.
    pub(in crate::media::gst) fn key_frames(&self) -> Arc<KeyFrames> {
        lock(&self.key_frames).clone()
    }

    /// The m-line gets another stream, whose key frames are asked for there. What the encoder before still has under way is lost.
    pub(in crate::media::gst) fn redirect(&self, key_frames: Arc<KeyFrames>) {
        *lock(&self.key_frames) = key_frames;
        self.epochs.restart();
    }

    /// Starts over with a key frame: the session is being attached to an encoder. Gives back that encoder's number, by which
    /// its access units are told from those that an older one still has under way.
    pub(in crate::media::gst) fn restart(&self) -> u64 {
        self.epochs.restart()
    }

    /// Lets nothing pass any more.
    pub(in crate::media::gst) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Access units waiting in the session.
    pub(in crate::media::gst) fn queued(&self) -> u64 {
        self.source.current_level_buffers()
    }

    /// Passes an access unit of the encoder with this number on, or withholds it. While a unit of an older encoder is still being
    /// passed, nothing else is: so no unit of the old one can come behind one of the new one.
    pub(super) fn deliver(&self, epoch: u64, unit: &gst::BufferRef, shared: gst::Buffer) {
        match self.epochs.enter(epoch) {
            Entry::Alone(alone) => self.pass(&alone, unit, shared),
            Entry::Lost => {
                self.counters.dropped.fetch_add(1, Relaxed);
            }
            Entry::Old => {}
        }
    }

    fn pass(&self, alone: &Alone<'_>, unit: &gst::BufferRef, shared: gst::Buffer) {
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let key_frames = self.key_frames();
        key_frames.saw(is_key, self.ctx.now_ms());
        if self.closed.load(Relaxed) {
            return;
        }
        let queued = self.queued();
        if alone.shut_if_broken(is_key) {
            self.asked_ms.store(0, Relaxed);
        }
        if !alone.is_open() {
            if queued > RESUME_QUEUED {
                self.counters.dropped.fetch_add(1, Relaxed);
                self.counters.behind.fetch_add(1, Relaxed);
                return;
            }
            if !is_key {
                self.counters.dropped.fetch_add(1, Relaxed);
                let now = self.ctx.now_ms();
                if now.saturating_sub(self.asked_ms.load(Relaxed)) >= ASK_AGAIN_MS {
                    self.ask();
                }
                key_frames.remember(&self.counters, now);
                return;
            }
            alone.open();
        } else if queued >= MAX_QUEUED {
            // Behind: what was encoded from here to the next key frame would not decode.
            alone.shut();
            self.counters.dropped.fetch_add(1, Relaxed);
            self.counters.behind.fetch_add(1, Relaxed);
            return;
        }
        #[cfg(test)]
        if let Some(first) = lock(&self.before_push).take() {
            first();
        }
        // A session on its way out refuses; that is no concern of the encoder's.
        if self.source.push_buffer(shared).is_ok() {
            self.counters.frames.fetch_add(1, Relaxed);
            self.counters.keys.fetch_add(u64::from(is_key), Relaxed);
            if is_key && self.counters.put_off.swap(false, Relaxed) {
                self.counters.requests().served();
                self.counters.own_requests().served();
            }
        }
        key_frames.remember(&self.counters, self.ctx.now_ms());
    }

    /// Asks for a key frame: at once, or later where this session needs one again and again, because its network is too thin.
    pub(in crate::media::gst) fn ask(&self) {
        let now = self.ctx.now_ms();
        self.asked_ms.store(now, Relaxed);
        self.counters.asked.fetch_add(1, Relaxed);
        self.key_frames().asked_by(&self.counters, self.counters.own_requests(), now);
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
