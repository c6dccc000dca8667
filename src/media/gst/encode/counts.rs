//! Counts what an encoder makes and what its sessions get. Owns the two probes on the encoder and each session's share of the
//! sums; decides nothing. The probes run on the encoder's threads and hold their lock for a few instructions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use gst::prelude::*;

use crate::{
    core::{
        matching::{Matcher, Reorder},
        peer::key_frames::Requests,
    },
    media::StreamStats,
    metrics::{EncoderMetrics, StreamMetrics},
    sync::{Mutex, MutexGuard, lock},
};

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
    pub(super) put_off: AtomicBool,
    /// How often the peer's requests are heeded.
    requests: Mutex<Requests>,
    /// How often the gate's own are.
    own_requests: Mutex<Requests>,
    /// When the last packet left the payloader; 0 for never.
    pub(in crate::media::gst) sent_ms: AtomicU64,
}

impl Counters {
    /// Held for a few instructions each time.
    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        lock(&self.requests)
    }

    pub(super) fn own_requests(&self) -> MutexGuard<'_, Requests> {
        lock(&self.own_requests)
    }
}

/// Counts an encoder's frames, bytes, key frames and the time it takes for each, from now on.
pub(super) fn watch_encoder(pipeline: &gst::Pipeline, metrics: &Arc<EncoderMetrics>) {
    let Some(encoder) = pipeline.by_name("encoder") else { return };
    let (Some(sink), Some(src)) = (encoder.sink_pads().into_iter().next(), encoder.src_pads().into_iter().next())
    else {
        return;
    };
    let inside = Arc::new(Mutex::new(Matcher::new(Reorder::CODEC)));
    let entering = inside.clone();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            let now = Instant::now();
            lock(&entering).came(buffer.pts().map(gst::ClockTime::nseconds), now);
        }
        gst::PadProbeReturn::Ok
    });
    let metrics = metrics.clone();
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            let unit = lock(&inside).left(buffer.pts().map(gst::ClockTime::nseconds));
            metrics.frames.inc();
            metrics.bytes.add(buffer.size() as u64);
            if !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                metrics.key_frames.inc();
            }
            if let Some(unit) = unit {
                metrics.encode_seconds.observe_time(unit.entered.elapsed());
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Takes a peer's report into the stream's histograms.
pub(in crate::media::gst) fn observe_report(metrics: &StreamMetrics, report: &StreamStats) {
    if let Some(ms) = report.round_trip_time_ms {
        metrics.round_trip_seconds.observe(ms / 1e3);
    }
    if let Some(ms) = report.jitter_ms {
        metrics.jitter_seconds.observe(ms / 1e3);
    }
    if let Some(lost) = report.fraction_lost {
        metrics.loss_ratio.observe(lost);
    }
}

/// A session's share of an encoder's sums. What came since the last look is added when somebody asks, and the rest when the
/// session ends, so that nothing is counted twice for each packet.
pub(in crate::media::gst) struct Share {
    metrics: Arc<EncoderMetrics>,
    counters: Arc<Counters>,
    added: Sums,
}

#[derive(Default, Clone, Copy)]
struct Sums {
    frames: u64,
    behind: u64,
    for_key: u64,
    packets: u64,
    bytes: u64,
    nacks: u64,
    plis: u64,
    lost: u64,
}

impl Share {
    pub(in crate::media::gst) fn new(metrics: Arc<EncoderMetrics>, counters: Arc<Counters>) -> Self {
        metrics.sessions.inc();
        Self { metrics, counters, added: Sums::default() }
    }

    /// The encoder's figures.
    pub(in crate::media::gst) fn encoder(&self) -> &EncoderMetrics {
        &self.metrics
    }

    /// Adds what came since the last time, with what the peer last reported.
    pub(in crate::media::gst) fn add(&mut self, peer: &StreamStats) {
        let counters = &self.counters;
        // In this order: `behind` is counted after `dropped` and is never more.
        let behind = counters.behind.load(Relaxed);
        let now = Sums {
            frames: counters.frames.load(Relaxed),
            behind,
            for_key: counters.dropped.load(Relaxed).saturating_sub(behind),
            packets: counters.packets.load(Relaxed),
            bytes: counters.bytes.load(Relaxed),
            nacks: peer.nack_count,
            plis: peer.pli_count.max(counters.plis.load(Relaxed)),
            // A peer may take a loss back when the packet comes late; a counter cannot.
            lost: u64::try_from(peer.packets_lost).unwrap_or(0),
        };
        let before = self.added;
        let mut grow = |counter: &crate::metrics::Counter, field: fn(&mut Sums) -> &mut u64| {
            let (mut now, mut before) = (now, before);
            let (now, before) = (*field(&mut now), *field(&mut before));
            counter.add(now.saturating_sub(before));
            *field(&mut self.added) = now.max(before);
        };
        let metrics = &self.metrics;
        grow(&metrics.frames_sent, |sums| &mut sums.frames);
        grow(&metrics.withheld_behind, |sums| &mut sums.behind);
        grow(&metrics.withheld_for_key, |sums| &mut sums.for_key);
        grow(&metrics.packets, |sums| &mut sums.packets);
        grow(&metrics.packet_bytes, |sums| &mut sums.bytes);
        grow(&metrics.nacks, |sums| &mut sums.nacks);
        grow(&metrics.plis, |sums| &mut sums.plis);
        grow(&metrics.lost, |sums| &mut sums.lost);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.metrics.sessions.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::Metrics,
        model::{Codec, DeviceId, StreamKey, StreamType},
    };

    #[test]
    fn a_share_is_added_once_and_a_loss_taken_back_is_kept() {
        let metrics = Metrics::default();
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let encoder = metrics.encoder(&key, Codec::H264);
        let counters = Arc::<Counters>::default();
        let mut share = Share::new(encoder.clone(), counters.clone());
        assert_eq!(encoder.sessions.get(), 1);
        counters.frames.store(10, Relaxed);
        counters.dropped.store(5, Relaxed);
        counters.behind.store(2, Relaxed);
        let reported = |packets_lost| StreamStats { packets_lost, nack_count: 3, ..StreamStats::default() };
        share.add(&reported(7));
        share.add(&reported(4));
        counters.frames.store(11, Relaxed);
        counters.dropped.store(7, Relaxed);
        counters.behind.store(3, Relaxed);
        share.add(&reported(8));
        share.add(&reported(-2));
        assert_eq!((encoder.frames_sent.get(), encoder.nacks.get(), encoder.lost.get()), (11, 3, 8));
        assert_eq!((encoder.withheld_behind.get(), encoder.withheld_for_key.get()), (3, 4));
        drop(share);
        assert_eq!(encoder.sessions.get(), 0);
    }
}
