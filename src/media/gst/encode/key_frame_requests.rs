//! Asks an encoder for key frames: for a session, as often as `core::peer::key_frames` lets it, and for all of them together no
//! more often than an encoder should make one.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use gst::prelude::*;

use super::counts::Counters;
use crate::{
    core::peer::key_frames::Requests,
    metrics::EncoderMetrics,
    sync::{Mutex, MutexGuard, lock},
};

/// Least milliseconds between two key frames of an encoder, however many viewers ask. Kept here and not by the encoder's
/// `min-force-key-unit-interval`: in 1.22 a request before x264enc's first frame is noted at a running time of 1000 hours,
/// and every later one counts as too early.
pub(super) const KEY_FRAME_INTERVAL_MS: u64 = 200;

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
        self.asked_by(counters, counters.requests(), now_ms);
    }

    pub(super) fn asked_by(&self, counters: &Counters, mut requests: MutexGuard<'_, Requests>, now_ms: u64) {
        let heeded = requests.ask(now_ms);
        // An event to an encoder is sent under no lock.
        drop(requests);
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
    pub(super) fn remember(&self, counters: &Counters, now_ms: u64) {
        if !counters.put_off.load(Relaxed) {
            return;
        }
        let peers = counters.requests().is_due(now_ms);
        let own = counters.own_requests().is_due(now_ms);
        if peers || own {
            counters.put_off.store(false, Relaxed);
            // One key frame serves both.
            counters.requests().served();
            counters.own_requests().served();
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
