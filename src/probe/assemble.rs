//! Puts RTP packets back together into access units and keeps a stream's counters. Pure: the time is an argument, nothing
//! here knows sockets, str0m or SDP. Decodes nothing; it reads just enough of H.264 and VP8 to know a key frame.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::payload::unpack;
use crate::model::Codec;

/// How long a missing packet may still come, by NACK, before its frame is given up. A retransmission on a LAN takes a
/// few ms; browsers give up after about this long too and ask for a key frame.
const REPAIR_WAIT: Duration = Duration::from_millis(500);

/// Most packets kept behind a gap: two seconds at 2 Mbit/s.
const MAX_WAITING: usize = 512;

/// Number of frame intervals whose median counts as the stream's interval.
const INTERVALS: usize = 31;

/// One packet of a stream, out of its SRTP.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Extended sequence number.
    pub seq: u64,
    /// Extended RTP timestamp at 90 kHz.
    pub rtp_time: u64,
    /// Last packet of its frame.
    pub marker: bool,
    /// Payload.
    pub payload: Arc<[u8]>,
    /// Header bytes, for the byte count.
    pub header_len: usize,
}

/// A complete frame as it was encoded.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// The m-line's id.
    pub mid: String,
    /// Codec.
    pub codec: Codec,
    /// Extended RTP timestamp at 90 kHz.
    pub rtp_time: u64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// H.264 with Annex B start codes, or a VP8 frame.
    pub data: Vec<u8>,
    /// When its last packet arrived.
    pub received_at: Instant,
}

/// Counters of one m-line.
#[derive(Debug, Clone)]
pub struct ReceivedStats {
    /// The m-line's id.
    pub mid: String,
    /// Codec, once a packet came.
    pub codec: Option<Codec>,
    /// First packet.
    pub first_packet_at: Option<Instant>,
    /// First complete frame.
    pub first_frame_at: Option<Instant>,
    /// First complete key frame: the first picture a browser could show.
    pub first_keyframe_at: Option<Instant>,
    /// Whether the first complete frame was a key frame.
    pub started_with_keyframe: bool,
    /// Last complete frame.
    pub last_frame_at: Option<Instant>,
    /// Complete frames.
    pub frames: u64,
    /// Complete key frames.
    pub keyframes: u64,
    /// Frames given up because a packet never came.
    pub broken: u64,
    /// Frames the sender left out, told by jumps of the RTP timestamp.
    pub missed: u64,
    /// Packets, each counted once.
    pub packets: u64,
    /// Payload and RTP header bytes of these packets.
    pub bytes: u64,
    /// Packets that never came, in spite of NACK.
    pub lost: u64,
    /// Packets that came late or by retransmission and filled a gap.
    pub repaired: u64,
    /// Generic NACKs sent.
    pub nacks: u64,
    /// Picture loss indications sent.
    pub plis: u64,
    /// Longest time between two complete frames since the start or since it was last taken.
    pub longest_gap: Duration,
}

impl ReceivedStats {
    /// Counters of an m-line on which nothing came yet.
    pub fn new(mid: impl Into<String>) -> Self {
        Self {
            mid: mid.into(),
            codec: None,
            first_packet_at: None,
            first_frame_at: None,
            first_keyframe_at: None,
            started_with_keyframe: false,
            last_frame_at: None,
            frames: 0,
            keyframes: 0,
            broken: 0,
            missed: 0,
            packets: 0,
            bytes: 0,
            lost: 0,
            repaired: 0,
            nacks: 0,
            plis: 0,
            longest_gap: Duration::ZERO,
        }
    }

    /// The longest time between frames, the one that is open now included.
    pub fn gap(&self, now: Instant) -> Duration {
        let open = self.last_frame_at.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.longest_gap.max(open)
    }
}

/// What taking in a packet brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Frames that became complete.
    pub frames: Vec<AccessUnit>,
    /// Whether a frame was given up, so that a key frame is needed.
    pub broke: bool,
}

/// Reassembles one stream.
pub struct Assembler {
    stats: ReceivedStats,
    keep_data: bool,
    next: Option<u64>,
    waiting: BTreeMap<u64, Packet>,
    gap_since: Option<Instant>,
    frame: Option<Frame>,
    broken_time: Option<u64>,
    config_seen: bool,
    last_time: Option<u64>,
    intervals: VecDeque<u64>,
}

struct Frame {
    rtp_time: u64,
    key: bool,
    data: Vec<u8>,
}

impl Assembler {
    /// An assembler for an m-line; `keep_data` makes access units carry their bytes.
    pub fn new(mid: impl Into<String>, keep_data: bool) -> Self {
        Self {
            stats: ReceivedStats::new(mid),
            keep_data,
            next: None,
            waiting: BTreeMap::new(),
            gap_since: None,
            frame: None,
            broken_time: None,
            config_seen: false,
            last_time: None,
            intervals: VecDeque::with_capacity(INTERVALS),
        }
    }

    /// The counters.
    pub fn stats(&self) -> &ReceivedStats {
        &self.stats
    }

    /// The counters, to add what only the driver knows.
    pub fn stats_mut(&mut self) -> &mut ReceivedStats {
        &mut self.stats
    }

    /// Gives the longest gap since the last call, the open one included, and starts anew.
    pub fn take_gap(&mut self, now: Instant) -> Duration {
        let gap = self.stats.gap(now);
        self.stats.longest_gap = Duration::ZERO;
        gap
    }

    /// Takes in a packet, in whatever order it came.
    pub fn packet(&mut self, now: Instant, codec: Codec, packet: Packet) -> Outcome {
        let mut outcome = Outcome::default();
        self.stats.codec = Some(codec);
        self.stats.first_packet_at.get_or_insert(now);
        let next = *self.next.get_or_insert(packet.seq);
        if packet.seq < next || self.waiting.contains_key(&packet.seq) {
            return outcome;
        }
        self.stats.packets += 1;
        self.stats.bytes += (packet.payload.len() + packet.header_len) as u64;
        if self.waiting.last_key_value().is_some_and(|(last, _)| packet.seq < *last) {
            self.stats.repaired += 1;
        }
        self.waiting.insert(packet.seq, packet);
        self.advance(now, codec, &mut outcome);
        outcome
    }

    /// Gives up what waited too long. Call now and then; without it a gap is only noticed by the next packet.
    pub fn tick(&mut self, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(codec) = self.stats.codec {
            self.advance(now, codec, &mut outcome);
        }
        outcome
    }

    fn advance(&mut self, now: Instant, codec: Codec, outcome: &mut Outcome) {
        loop {
            let Some((&seq, _)) = self.waiting.first_key_value() else {
                self.gap_since = None;
                return;
            };
            let next = self.next.unwrap_or(seq);
            if seq == next {
                self.gap_since = None;
                self.next = Some(next + 1);
                if let Some((_, packet)) = self.waiting.pop_first() {
                    self.in_order(now, codec, packet, outcome);
                }
                continue;
            }
            let since = *self.gap_since.get_or_insert(now);
            if now.saturating_duration_since(since) < REPAIR_WAIT && self.waiting.len() < MAX_WAITING {
                return;
            }
            self.stats.lost += seq - next;
            self.next = Some(seq);
            self.break_frame(seq, outcome);
        }
    }

    /// Gives up the frame under way, and the one the first packet behind the gap belongs to: what is missing may have
    /// been its beginning.
    fn break_frame(&mut self, seq: u64, outcome: &mut Outcome) {
        outcome.broke = true;
        if let Some(frame) = self.frame.take() {
            self.stats.broken += 1;
            self.last_time = Some(frame.rtp_time);
        }
        let time = self.waiting.get(&seq).map(|packet| packet.rtp_time);
        if time != self.broken_time {
            self.stats.broken += 1;
            self.broken_time = time;
        }
    }

    fn in_order(&mut self, now: Instant, codec: Codec, packet: Packet, outcome: &mut Outcome) {
        if self.broken_time == Some(packet.rtp_time) {
            self.last_time = Some(packet.rtp_time);
            return;
        }
        if self.frame.as_ref().is_some_and(|frame| frame.rtp_time != packet.rtp_time) {
            // A sender that sets no marker: the next timestamp ends the frame.
            self.finish(now, codec, outcome);
        }
        let frame = self.frame.get_or_insert(Frame { rtp_time: packet.rtp_time, key: false, data: Vec::new() });
        let marks = unpack(codec, &packet.payload, self.keep_data.then_some(&mut frame.data));
        self.config_seen |= marks.config;
        frame.key |= marks.key;
        if packet.marker {
            self.finish(now, codec, outcome);
        }
    }

    fn finish(&mut self, now: Instant, codec: Codec, outcome: &mut Outcome) {
        let Some(frame) = self.frame.take() else { return };
        let keyframe = frame.key && (self.config_seen || codec != Codec::H264);
        self.count_missed(frame.rtp_time);
        let stats = &mut self.stats;
        stats.frames += 1;
        if let Some(last) = stats.last_frame_at {
            stats.longest_gap = stats.longest_gap.max(now.saturating_duration_since(last));
        }
        stats.last_frame_at = Some(now);
        if stats.first_frame_at.is_none() {
            stats.first_frame_at = Some(now);
            stats.started_with_keyframe = keyframe;
        }
        if keyframe {
            stats.keyframes += 1;
            stats.first_keyframe_at.get_or_insert(now);
        }
        outcome.frames.push(AccessUnit {
            mid: stats.mid.clone(),
            codec,
            rtp_time: frame.rtp_time,
            keyframe,
            data: frame.data,
            received_at: now,
        });
    }

    /// A frame that was never sent leaves no gap in the sequence numbers, but one in the timestamps.
    fn count_missed(&mut self, time: u64) {
        let last = self.last_time.replace(time);
        let Some(interval) = last.and_then(|last| time.checked_sub(last)).filter(|interval| *interval > 0) else {
            return;
        };
        if self.intervals.len() == INTERVALS {
            let mut sorted: Vec<u64> = self.intervals.iter().copied().collect();
            sorted.sort_unstable();
            let median = sorted[INTERVALS / 2].max(1);
            self.stats.missed += ((interval + median / 2) / median).saturating_sub(1);
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, frame: u64, marker: bool, payload: &[u8]) -> Packet {
        Packet { seq, rtp_time: frame * 3000, marker, payload: payload.into(), header_len: 12 }
    }

    const KEY: &[u8] = &[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68, 0, 2, 0x65, 9];
    const FU_START: &[u8] = &[0x7c, 0x81, 1];
    const FU_END: &[u8] = &[0x7c, 0x41, 2];

    #[test]
    fn frames_come_out_whole_and_in_annex_b() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", true);
        let first = assembler.packet(now, Codec::H264, packet(7, 0, true, KEY)).frames;
        assert!(first[0].keyframe);
        assert_eq!(first[0].data, [0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 9]);
        assert!(assembler.packet(now, Codec::H264, packet(8, 1, false, FU_START)).frames.is_empty());
        let second = assembler.packet(now, Codec::H264, packet(9, 1, true, FU_END)).frames;
        assert!(!second[0].keyframe);
        assert_eq!(second[0].data, [0, 0, 0, 1, 0x61, 1, 2]);
        assert!(assembler.stats().started_with_keyframe);
        assert_eq!((assembler.stats().frames, assembler.stats().keyframes, assembler.stats().packets), (2, 1, 3));
    }

    #[test]
    fn a_late_packet_repairs_its_frame() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", false);
        assembler.packet(now, Codec::H264, packet(1, 0, true, KEY));
        assert!(assembler.packet(now, Codec::H264, packet(3, 1, true, FU_END)).frames.is_empty());
        assert!(assembler.packet(now, Codec::H264, packet(4, 2, true, &[0x61])).frames.is_empty());
        let outcome = assembler.packet(now + REPAIR_WAIT / 2, Codec::H264, packet(2, 1, false, FU_START));
        assert_eq!(outcome.frames.len(), 2);
        let stats = assembler.stats();
        assert_eq!((stats.repaired, stats.lost, stats.broken, stats.frames), (1, 0, 0, 3));
        assert_eq!(stats.longest_gap, REPAIR_WAIT / 2);
    }

    #[test]
    fn a_packet_that_never_comes_breaks_its_frame_only() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", false);
        assembler.packet(now, Codec::H264, packet(1, 0, true, KEY));
        assembler.packet(now, Codec::H264, packet(3, 1, true, FU_END));
        assembler.packet(now, Codec::H264, packet(4, 2, true, &[0x61]));
        assert!(!assembler.tick(now + REPAIR_WAIT / 2).broke);
        let outcome = assembler.tick(now + REPAIR_WAIT);
        assert!(outcome.broke);
        assert_eq!(outcome.frames.len(), 1);
        let stats = assembler.stats();
        assert_eq!((stats.lost, stats.broken, stats.frames), (1, 1, 2));
    }

    #[test]
    fn duplicates_count_once() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", false);
        for seq in [1, 1, 3, 3, 2, 2] {
            assembler.packet(now, Codec::H264, packet(seq, seq, true, &[0x61]));
        }
        assert_eq!((assembler.stats().packets, assembler.stats().frames), (3, 3));
    }

    #[test]
    fn frames_the_sender_left_out_are_counted() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", false);
        let mut seq = 0;
        for frame in (0..40).chain(43..50) {
            seq += 1;
            assembler.packet(now, Codec::H264, packet(seq, frame, true, &[0x61]));
        }
        assert_eq!(assembler.stats().missed, 3);
    }

    #[test]
    fn an_idr_without_parameters_is_no_start() {
        let now = Instant::now();
        let mut assembler = Assembler::new("v", false);
        assembler.packet(now, Codec::H264, packet(1, 0, true, &[0x65, 1]));
        assert_eq!(assembler.stats().keyframes, 0);
        assert_eq!(assembler.stats().first_keyframe_at, None);
    }
}
