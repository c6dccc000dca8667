//! Where a session takes access units from an encoder. Owns the decision to pass, withhold or ask for a key frame, and a
//! stream's counters. Runs on the encoder's thread, so it waits for no I/O and no other session; the locks it meets (the
//! session's queue, the key-frame target, the encoder's list of events) are each held for a few instructions.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use gst::prelude::*;

use super::context::Context;
use crate::metrics::EncoderMetrics;

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
pub(super) struct KeyFrames {
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
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = pad;
    }

    /// Asks for a key frame, now or as soon as the interval allows.
    pub(super) fn request(&self, now_ms: u64) {
        if let Some(metrics) = self.metrics.get() {
            metrics.key_frames_requested.inc();
        }
        self.wanted.store(true, Relaxed);
        self.poll(now_ms);
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
        let Some(pad) = self.target.lock().unwrap_or_else(PoisonError::into_inner).upgrade() else { return };
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
pub(super) struct Gate {
    ctx: Arc<Context>,
    source: gst_app::AppSrc,
    pub(super) key_frames: Arc<KeyFrames>,
    waiting_for_key: AtomicBool,
    /// Counts the encoders it was attached to; only what the newest makes passes.
    epoch: AtomicU64,
    closed: AtomicBool,
    asked_ms: AtomicU64,
    pub(super) counters: Arc<Counters>,
}

/// A stream's counters in one session.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) frames: AtomicU64,
    /// Frames withheld for whatever reason.
    pub(super) dropped: AtomicU64,
    /// Those of them that were withheld because the queue was full.
    pub(super) behind: AtomicU64,
    /// Key frames handed over.
    pub(super) keys: AtomicU64,
    /// Key frames asked for by the gate; the peer's own requests are `plis`.
    pub(super) asked: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) plis: AtomicU64,
    /// When the last packet left the payloader; 0 for never.
    pub(super) sent_ms: AtomicU64,
}

impl Gate {
    pub(super) fn new(
        ctx: Arc<Context>,
        source: gst_app::AppSrc,
        key_frames: Arc<KeyFrames>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            source,
            key_frames,
            waiting_for_key: AtomicBool::new(true),
            epoch: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            asked_ms: AtomicU64::new(0),
            counters,
        })
    }

    /// Starts over with a key frame: the session is being attached to an encoder. Gives back that encoder's number, by which
    /// its access units are told from those that an older one still has under way.
    pub(super) fn restart(&self) -> u64 {
        let epoch = self.epoch.fetch_add(1, Relaxed) + 1;
        self.waiting_for_key.store(true, Relaxed);
        epoch
    }

    /// Lets nothing pass any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Access units waiting in the session.
    pub(super) fn queued(&self) -> u64 {
        self.source.current_level_buffers()
    }

    /// Passes an access unit of the encoder with this number on, or withholds it.
    pub(super) fn deliver(&self, epoch: u64, unit: &gst::BufferRef, shared: gst::Buffer) {
        if self.epoch.load(Relaxed) != epoch {
            return;
        }
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        self.key_frames.saw(is_key, self.ctx.now_ms());
        if self.closed.load(Relaxed) {
            return;
        }
        let queued = self.queued();
        if self.waiting_for_key.load(Relaxed) {
            if queued > RESUME_QUEUED {
                self.counters.dropped.fetch_add(1, Relaxed);
                self.counters.behind.fetch_add(1, Relaxed);
                return;
            }
            if !is_key {
                self.counters.dropped.fetch_add(1, Relaxed);
                if self.ctx.now_ms().saturating_sub(self.asked_ms.load(Relaxed)) >= ASK_AGAIN_MS {
                    self.ask();
                }
                return;
            }
            self.waiting_for_key.store(false, Relaxed);
        } else if queued >= MAX_QUEUED {
            // Behind: what was encoded from here to the next key frame would not decode.
            self.waiting_for_key.store(true, Relaxed);
            self.counters.dropped.fetch_add(1, Relaxed);
            self.counters.behind.fetch_add(1, Relaxed);
            return;
        }
        // A session on its way out refuses; that is no concern of the encoder's.
        if self.source.push_buffer(shared).is_ok() {
            self.counters.frames.fetch_add(1, Relaxed);
            self.counters.keys.fetch_add(u64::from(is_key), Relaxed);
        }
    }

    /// Asks for a key frame.
    pub(super) fn ask(&self) {
        let now = self.ctx.now_ms();
        self.asked_ms.store(now, Relaxed);
        self.counters.asked.fetch_add(1, Relaxed);
        self.key_frames.request(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Files;
    use super::*;
    use crate::{camera::hub::FrameHub, config::Config};

    fn unit(key: bool) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_slice([0u8; 16]);
        if !key {
            buffer.get_mut().expect("one owner").set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        buffer
    }

    /// A session that cannot send: its sink waits in PAUSED with the first unit.
    fn blocked() -> (gst::Pipeline, Arc<Gate>) {
        gst::init().expect("GStreamer");
        let (control, _) = super::super::inbox::inbox(Arc::default());
        let ctx = Context::new(
            Arc::new(Config::default()),
            Arc::new(FrameHub::default()),
            Arc::default(),
            Files::idle(),
            Arc::new(|_| {}),
            control,
        );
        let pipeline = gst::Pipeline::new();
        let source = super::super::wiring::session_source(crate::model::Codec::H264);
        let sink = gst::ElementFactory::make("fakesink").build().expect("fakesink");
        pipeline.add_many([source.upcast_ref(), &sink]).expect("adds");
        source.link(&sink).expect("links");
        pipeline.set_state(gst::State::Paused).expect("pauses");
        let gate = Gate::new(Arc::new(ctx), source, Arc::default(), Arc::default());
        assert_eq!(gate.restart(), 1);
        (pipeline, gate)
    }

    fn deliver(gate: &Gate, key: bool) -> bool {
        let before = gate.counters.frames.load(Relaxed);
        gate.deliver(1, unit(key).as_ref(), unit(key));
        gate.counters.frames.load(Relaxed) > before
    }

    #[test]
    fn a_gate_opens_with_a_key_frame_and_a_slow_session_waits_for_the_next() {
        let (pipeline, gate) = blocked();
        assert!(!deliver(&gate, false), "nothing before a key frame");
        assert!(deliver(&gate, true) && deliver(&gate, false));
        let passed = (0..100).take_while(|_| deliver(&gate, false)).count() as u64;
        assert!((MAX_QUEUED - 3..=MAX_QUEUED + 1).contains(&passed), "about {MAX_QUEUED} may wait, not {passed}");
        assert!(!deliver(&gate, true), "still behind: not even a key frame");
        assert!(gate.counters.dropped.load(Relaxed) >= 3);
        pipeline.set_state(gst::State::Playing).expect("plays");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while gate.queued() > 0 {
            assert!(std::time::Instant::now() < deadline, "the queue drains");
            std::thread::yield_now();
        }
        assert!(!deliver(&gate, false), "what depends on dropped frames stays out");
        assert!(deliver(&gate, true) && deliver(&gate, false), "a key frame opens it again");
        let before = gate.counters.frames.load(Relaxed);
        assert_eq!(gate.restart(), 2);
        assert!(
            !deliver(&gate, true) && before == gate.counters.frames.load(Relaxed),
            "an older encoder's unit is late"
        );
        gate.close();
        assert!(!deliver(&gate, true));
        pipeline.set_state(gst::State::Null).expect("stops");
    }

    #[test]
    fn key_frames_are_asked_for_once_per_interval_and_only_of_a_running_encoder() {
        gst::init().expect("GStreamer");
        let fanout = gst::ElementFactory::make("tee").build().expect("tee");
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let upstream = gst::Pad::builder(gst::PadDirection::Src)
            .event_function(move |_, _, event| {
                count
                    .fetch_add(u32::from(gst_video::UpstreamForceKeyUnitEvent::parse(event.as_ref()).is_ok()), Relaxed);
                true
            })
            .build();
        upstream.set_active(true).expect("activates");
        let sink = fanout.static_pad("sink").expect("sink");
        sink.set_active(true).expect("activates");
        upstream.link(&sink).expect("links");
        let key_frames = KeyFrames::default();
        key_frames.set_target(&fanout);
        key_frames.request(1000);
        assert_eq!(asked.load(Relaxed), 0, "the first frame is a key frame by itself");
        key_frames.saw(true, 1010);
        key_frames.poll(2000);
        assert_eq!(asked.load(Relaxed), 0, "and served the request");
        key_frames.request(2000);
        key_frames.request(2001);
        assert_eq!(asked.load(Relaxed), 1);
        key_frames.poll(2000 + KEY_FRAME_INTERVAL_MS - 1);
        assert_eq!(asked.load(Relaxed), 1, "the second waits");
        key_frames.poll(2000 + KEY_FRAME_INTERVAL_MS);
        key_frames.poll(9000);
        assert_eq!(asked.load(Relaxed), 2, "and is sent once");
    }
}
