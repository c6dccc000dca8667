//! Where a session takes access units from an encoder. Owns the decision to pass, withhold or ask for a key frame, and a
//! stream's counters. Runs on the encoder's thread, so it waits for no I/O and no other session; the locks it meets (the
//! session's queue, the key-frame target, the encoder's list of events) are each held for a few instructions. None is held
//! over a push: two encoders at one gate are kept apart by a flag that nobody waits for.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use gst::prelude::*;

use super::epochs::{Alone, Entry, Epochs};
use crate::{
    core::peer::key_frames::Patience,
    media::gst::context::Context,
    metrics::EncoderMetrics,
    sync::{Mutex, MutexGuard, lock},
};

/// Access units that may wait in a session before it counts as behind: half a second at 30 fps. On a network that keeps
/// up, none waits.
const MAX_QUEUED: u64 = 15;
/// A session that fell behind gets pictures again once no more than this many wait.
const RESUME_QUEUED: u64 = 2;
/// How often at most a waiting session asks for a key frame.
const ASK_AGAIN_MS: u64 = 500;
/// Least milliseconds between two key frames of an encoder, however many viewers ask. Kept here and not by the encoder's
/// `min-force-key-unit-interval`: in 1.22 a request before x264enc's first frame is noted at a running time of 1000 hours,
/// and every later one counts as too early.
const KEY_FRAME_INTERVAL_MS: u64 = 200;

/// Asks an encoder for key frames, no more often than it should; outlives the encoder's restarts.
#[derive(Default)]
pub(in crate::media::gst) struct KeyFrames {
    /// The tee's sink pad: an event pushed there goes upstream to the encoder. Held only long enough to clone it.
    target: Mutex<gst::glib::WeakRef<gst::Pad>>,
    wanted: AtomicBool,
    /// Whether the encoder has put out anything; what comes first is a key frame anyway.
    running: AtomicBool,
    last_ms: AtomicU64,
    count: AtomicU32,
    metrics: OnceLock<Arc<EncoderMetrics>>,
}

impl KeyFrames {
    /// Where requests are counted.
    pub(super) fn count_in(&self, metrics: &Arc<EncoderMetrics>) {
        self.metrics.get_or_init(|| metrics.clone());
    }

    pub(super) fn set_target(&self, fanout: &gst::Element) {
        let pad = fanout.static_pad("sink").map(|pad| pad.downgrade()).unwrap_or_default();
        self.running.store(false, Relaxed);
        *lock(&self.target) = pad;
    }

    /// Asks for a key frame, now or as soon as the interval allows.
    pub(in crate::media::gst) fn request(&self, now_ms: u64) {
        if let Some(metrics) = self.metrics.get() {
            metrics.key_frames_requested.inc();
        }
        self.wanted.store(true, Relaxed);
        self.poll(now_ms);
    }

    /// A peer asks for a key frame (PLI, FIR): counts it, and asks the encoder unless this peer asks too often.
    pub(in crate::media::gst) fn asked_by_peer(&self, counters: &Counters, now_ms: u64) {
        counters.plis.fetch_add(1, Relaxed);
        self.asked_by(counters, counters.patience(), now_ms);
    }

    fn asked_by(&self, counters: &Counters, mut patience: MutexGuard<'_, Patience>, now_ms: u64) {
        let heeded = patience.ask(now_ms);
        // An event to an encoder is sent under no lock.
        drop(patience);
        if heeded {
            return self.request(now_ms);
        }
        counters.put_off.store(true, Relaxed);
        counters.refused.fetch_add(1, Relaxed);
        if let Some(metrics) = self.metrics.get() {
            metrics.key_frames_refused.inc();
        }
    }

    /// Asks for what was asked for too early, once its time has come; called with every frame of the session's.
    fn remember(&self, counters: &Counters, now_ms: u64) {
        if !counters.put_off.load(Relaxed) {
            return;
        }
        let peers = counters.patience().is_due(now_ms);
        let own = counters.own_patience().is_due(now_ms);
        if peers || own {
            counters.put_off.store(false, Relaxed);
            // One key frame serves both.
            counters.patience().served();
            counters.own_patience().served();
            self.request(now_ms);
        }
    }

    /// Notes an access unit of the encoder's; a key frame serves everybody who waits.
    pub(super) fn saw(&self, is_key: bool, now_ms: u64) {
        self.running.store(true, Relaxed);
        if is_key {
            self.wanted.store(false, Relaxed);
            self.last_ms.store(now_ms.max(1), Relaxed);
        }
    }

    /// Sends a request that had to wait for the interval; called with every frame.
    pub(super) fn poll(&self, now_ms: u64) {
        if !self.wanted.load(Relaxed) || !self.running.load(Relaxed) {
            return;
        }
        let last = self.last_ms.load(Relaxed);
        if last != 0 && now_ms.saturating_sub(last) < KEY_FRAME_INTERVAL_MS {
            return;
        }
        // Whoever wins the exchange sends; the others have been served by it.
        if self.last_ms.compare_exchange(last, now_ms.max(1), Relaxed, Relaxed).is_err() {
            return;
        }
        let Some(pad) = lock(&self.target).upgrade() else { return };
        self.wanted.store(false, Relaxed);
        // all_headers=true would make the payloaders answer with requests of their own, for ever.
        let event = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(false)
            .count(self.count.fetch_add(1, Relaxed))
            .build();
        pad.push_event(event);
        if let Some(metrics) = self.metrics.get() {
            metrics.key_frames_forced.inc();
        }
    }
}

/// One stream's way into one session.
pub(in crate::media::gst) struct Gate {
    ctx: Arc<Context>,
    source: gst_app::AppSrc,
    pub(in crate::media::gst) key_frames: Arc<KeyFrames>,
    epochs: Epochs,
    closed: AtomicBool,
    asked_ms: AtomicU64,
    pub(in crate::media::gst) counters: Arc<Counters>,
    /// What a test does between the decision to pass a unit and passing it.
    #[cfg(test)]
    before_push: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// A stream's counters in one session.
#[derive(Default)]
pub(in crate::media::gst) struct Counters {
    pub(in crate::media::gst) frames: AtomicU64,
    /// Frames withheld for whatever reason.
    pub(in crate::media::gst) dropped: AtomicU64,
    /// Those of them that were withheld because the queue was full.
    pub(in crate::media::gst) behind: AtomicU64,
    /// Key frames handed over.
    pub(in crate::media::gst) keys: AtomicU64,
    /// Key frames asked for by the gate; the peer's own requests are `plis`.
    pub(in crate::media::gst) asked: AtomicU64,
    pub(in crate::media::gst) packets: AtomicU64,
    pub(in crate::media::gst) bytes: AtomicU64,
    pub(in crate::media::gst) plis: AtomicU64,
    /// Requests of both that were refused because they came too often; the last one is put off.
    pub(in crate::media::gst) refused: AtomicU64,
    put_off: AtomicBool,
    /// How often the peer's requests are heeded.
    patience: Mutex<Patience>,
    /// How often the gate's own are.
    own_patience: Mutex<Patience>,
    /// When the last packet left the payloader; 0 for never.
    pub(in crate::media::gst) sent_ms: AtomicU64,
}

impl Counters {
    /// Held for a few instructions each time.
    fn patience(&self) -> MutexGuard<'_, Patience> {
        lock(&self.patience)
    }

    fn own_patience(&self) -> MutexGuard<'_, Patience> {
        lock(&self.own_patience)
    }
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
            key_frames,
            epochs: Epochs::new(),
            closed: AtomicBool::new(false),
            asked_ms: AtomicU64::new(0),
            counters,
            #[cfg(test)]
            before_push: Mutex::default(),
        })
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
        self.key_frames.saw(is_key, self.ctx.now_ms());
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
                self.key_frames.remember(&self.counters, now);
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
                self.counters.patience().served();
                self.counters.own_patience().served();
            }
        }
        self.key_frames.remember(&self.counters, self.ctx.now_ms());
    }

    /// Asks for a key frame: at once, or later where this session needs one again and again, because its network is too thin.
    pub(in crate::media::gst) fn ask(&self) {
        let now = self.ctx.now_ms();
        self.asked_ms.store(now, Relaxed);
        self.counters.asked.fetch_add(1, Relaxed);
        self.key_frames.asked_by(&self.counters, self.counters.own_patience(), now);
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
