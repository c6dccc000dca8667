//! What of a peer's RTCP this server has a use for. The server only sends media, so that is little: reports on its own
//! streams, and requests for their packets and key frames. Everything else, and what asks for more than it should, is left
//! out before `rtpsession` and `rtprtxsend` see it: both keep state for whatever a peer names, without a bound. Owns the
//! bounds; reads no clock and sends nothing.

use std::collections::BTreeSet;

/// Most sources (SSRCs) that may send RTCP in one session. Browsers use one, or one per m-line; `srtpdec` and `rtpsession`
/// keep about 18 KB for each.
const MAX_SOURCES: usize = 64;
/// Least milliseconds between two retransmissions of the same packet. libwebrtc takes the round trip for it; this is a short one.
const SAME_PACKET_MS: u64 = 20;
/// Packets of a stream whose last retransmission is remembered: twice what `rtprtxsend` keeps at 1000 packets a second.
const REMEMBERED: usize = 1024;
/// Retransmissions a second that a session always gets, in thousandths a millisecond, which is the same number.
const RATE_PER_S: u64 = 100;
/// Share of the packets sent that may be sent again, in thousandths.
const SHARE_MILLI: u64 = 500;
/// Retransmissions that may come at once, in thousandths: more than a key frame of 720p has packets.
const BURST_MILLI: u64 = 250_000;
/// A peer that asks for more packets a second than this, and for [`STORM_FACTOR`] times what it is sent, storms. A browser
/// asks for a lost packet once a round trip and ten times at most, so even on a link that loses half it stays below.
const STORM_PER_S: u64 = 2000;
const STORM_FACTOR: u64 = 10;
/// Seconds in a row that a peer may storm before its session ends.
const STORM_SECONDS: u32 = 2;

/// RTCP packet types (RFC 3550, section 12.1; RFC 4585, section 6.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
/// Feedback formats (RFC 4585, sections 6.2.1 and 6.3.1; RFC 5104, section 4.3.1).
const NACK: u8 = 1;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA_REQUEST: u8 = 4;
/// Bytes of a report block, of the sender's part of a sender report, and of an entry of a full intra request.
const REPORT_BLOCK: usize = 24;
const SENDER_INFO: usize = 20;
const FIR_ENTRY: usize = 8;

/// What becomes of a compound packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This is what is left of it, written anew.
    Pass(Vec<u8>),
    /// Nothing of it is of use.
    Drop,
    /// The peer misbehaves so that its session should end.
    End(Misuse),
}

/// What a peer does that no receiver has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// It sends RTCP from more and more sources.
    Sources,
    /// It asks for many times more retransmissions than it is sent packets.
    Retransmissions,
    /// It opens data channels of its own.
    DataChannels,
}

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sources => "the peer sends RTCP from more sources than a receiver has",
            Self::Retransmissions => "the peer asks for many times more retransmissions than it is sent packets",
            Self::DataChannels => "the peer opens data channels of its own, for which the server has no use",
        })
    }
}

/// Judges the RTCP of one session's peer.
#[derive(Debug)]
pub struct Filter {
    own: Vec<Own>,
    sources: BTreeSet<u32>,
    budget: Budget,
    refused: u64,
}

/// A stream of ours, by what was sent again of it and when.
#[derive(Debug)]
struct Own {
    ssrc: u32,
    /// By sequence number modulo the length: the number, and when in milliseconds. Empty until something is sent again.
    again: Vec<Option<(u16, u64)>>,
}

#[derive(Debug)]
struct Budget {
    tokens_milli: u64,
    at_ms: u64,
    sent: u64,
    second_ms: u64,
    second_sent: u64,
    asked: u64,
    storming: u32,
}

impl Filter {
    /// For a session that sends streams with these SSRCs, from this moment on.
    pub fn new(own: &[u32], now_ms: u64) -> Self {
        let own = own.iter().map(|ssrc| Own { ssrc: *ssrc, again: Vec::new() }).collect();
        let budget = Budget {
            tokens_milli: BURST_MILLI,
            at_ms: now_ms,
            sent: 0,
            second_ms: now_ms,
            second_sent: 0,
            asked: 0,
            storming: 0,
        };
        Self { own, sources: BTreeSet::new(), budget, refused: 0 }
    }

    /// Packets that were asked for and are not sent again, so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Judges a compound packet. `sent` counts the media packets that the session has sent so far.
    pub fn judge(&mut self, now_ms: u64, sent: u64, compound: &[u8]) -> Verdict {
        self.budget.refill(now_ms, sent);
        let mut out = Vec::with_capacity(compound.len());
        let mut rest = compound;
        while let Some((packet, behind)) = Packet::split(rest) {
            rest = behind;
            let Some(sender) = word(packet.body, 0) else { continue };
            if !self.sources.contains(&sender) {
                if self.sources.len() >= MAX_SOURCES {
                    return Verdict::End(Misuse::Sources);
                }
                self.sources.insert(sender);
            }
            match (packet.kind, packet.count) {
                (SENDER_REPORT, _) => self.report(&mut out, sender, packet.body.get(4 + SENDER_INFO..)),
                (RECEIVER_REPORT, _) => self.report(&mut out, sender, packet.body.get(4..)),
                (TRANSPORT_FEEDBACK, NACK) => self.nack(&mut out, now_ms, sender, packet.body),
                (PAYLOAD_FEEDBACK, PICTURE_LOSS) if self.is_own(word(packet.body, 4)) => {
                    write(&mut out, PAYLOAD_FEEDBACK, PICTURE_LOSS, &packet.body[..8]);
                }
                (PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST) => self.full_intra(&mut out, sender, packet.body),
                _ => {}
            }
        }
        if self.budget.storms() {
            return Verdict::End(Misuse::Retransmissions);
        }
        if out.is_empty() { Verdict::Drop } else { Verdict::Pass(out) }
    }

    fn is_own(&self, ssrc: Option<u32>) -> bool {
        self.own.iter().any(|own| Some(own.ssrc) == ssrc)
    }

    /// Writes a receiver report with those blocks that are on our streams; a sender's report has the same blocks.
    fn report(&self, out: &mut Vec<u8>, sender: u32, blocks: Option<&[u8]>) {
        let blocks = blocks.unwrap_or_default().chunks_exact(REPORT_BLOCK);
        let ours: Vec<_> = blocks.filter(|block| self.is_own(word(block, 0))).take(31).collect();
        if ours.is_empty() {
            return;
        }
        let mut body = sender.to_be_bytes().to_vec();
        ours.iter().for_each(|block| body.extend_from_slice(block));
        let count = u8::try_from(ours.len()).unwrap_or(31);
        write(out, RECEIVER_REPORT, count, &body);
    }

    fn full_intra(&self, out: &mut Vec<u8>, sender: u32, body: &[u8]) {
        let entries = body.get(8..).unwrap_or_default().chunks_exact(FIR_ENTRY);
        let ours: Vec<_> = entries.filter(|entry| self.is_own(word(entry, 0))).take(self.own.len()).collect();
        if ours.is_empty() {
            return;
        }
        // The media source is unused and 0.
        let mut body = sender.to_be_bytes().to_vec();
        body.extend_from_slice(&[0; 4]);
        ours.iter().for_each(|entry| body.extend_from_slice(entry));
        write(out, PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST, &body);
    }

    /// Writes a NACK for those packets that may be sent again now.
    fn nack(&mut self, out: &mut Vec<u8>, now_ms: u64, sender: u32, body: &[u8]) {
        let Some(media) = word(body, 4) else { return };
        let Some(own) = self.own.iter_mut().find(|own| own.ssrc == media) else { return };
        // First sequence number and a bit for each of the 16 behind it, as they came and as they go on.
        let mut entries: Vec<(u16, u16)> = Vec::new();
        for entry in body.get(8..).unwrap_or_default().chunks_exact(4) {
            let first = u16::from_be_bytes([entry[0], entry[1]]);
            let bits = u16::from_be_bytes([entry[2], entry[3]]);
            let behind = (0..16u16).filter(|bit| bits & (1 << bit) != 0).map(|bit| first.wrapping_add(bit + 1));
            for number in std::iter::once(first).chain(behind) {
                self.budget.asked += 1;
                if !(own.may_go(now_ms, number) && self.budget.take()) {
                    self.refused += 1;
                    continue;
                }
                own.note(now_ms, number);
                match entries.last_mut() {
                    Some((start, bits)) if (1..=16).contains(&number.wrapping_sub(*start)) => {
                        *bits |= 1 << (number.wrapping_sub(*start) - 1);
                    }
                    _ => entries.push((number, 0)),
                }
            }
        }
        if entries.is_empty() {
            return;
        }
        let mut body = sender.to_be_bytes().to_vec();
        body.extend_from_slice(&media.to_be_bytes());
        for (first, bits) in entries {
            body.extend_from_slice(&first.to_be_bytes());
            body.extend_from_slice(&bits.to_be_bytes());
        }
        write(out, TRANSPORT_FEEDBACK, NACK, &body);
    }
}

impl Own {
    fn may_go(&self, now_ms: u64, number: u16) -> bool {
        let last = self.again.get(usize::from(number) % REMEMBERED).copied().flatten();
        last.is_none_or(|(known, at)| known != number || now_ms.saturating_sub(at) >= SAME_PACKET_MS)
    }

    fn note(&mut self, now_ms: u64, number: u16) {
        self.again.resize(REMEMBERED, None);
        if let Some(place) = self.again.get_mut(usize::from(number) % REMEMBERED) {
            *place = Some((number, now_ms));
        }
    }
}

impl Budget {
    fn refill(&mut self, now_ms: u64, sent: u64) {
        let by_time = now_ms.saturating_sub(self.at_ms) * RATE_PER_S;
        let by_share = sent.saturating_sub(self.sent) * SHARE_MILLI;
        self.tokens_milli = (self.tokens_milli + by_time.max(by_share)).min(BURST_MILLI);
        (self.at_ms, self.sent) = (now_ms, sent);
        let seconds = now_ms.saturating_sub(self.second_ms) / 1000;
        if seconds == 0 {
            return;
        }
        let went = sent.saturating_sub(self.second_sent);
        let stormed = self.asked > (STORM_PER_S * seconds).max(went * STORM_FACTOR);
        // A second in which nothing came at all ends the row.
        self.storming = if stormed && seconds == 1 { self.storming + 1 } else { 0 };
        (self.second_ms, self.second_sent, self.asked) = (now_ms, sent, 0);
    }

    fn take(&mut self) -> bool {
        match self.tokens_milli.checked_sub(1000) {
            Some(left) => {
                self.tokens_milli = left;
                true
            }
            None => false,
        }
    }

    fn storms(&self) -> bool {
        self.storming >= STORM_SECONDS
    }
}

/// One packet of a compound (RFC 3550, section 6.1).
struct Packet<'a> {
    kind: u8,
    /// Report count, or the feedback's format.
    count: u8,
    /// Behind the header, without padding.
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes the first packet off; `None` at the end and at the first that is none.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [first, kind, high, low, ..] = *bytes else { return None };
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        if first >> 6 != 2 || !(192..=223).contains(&kind) || length > bytes.len() {
            return None;
        }
        let (packet, rest) = bytes.split_at(length);
        let mut body = packet.get(4..)?;
        if first & 0x20 != 0 {
            let padding = usize::from(*body.last()?);
            body = body.get(..body.len().checked_sub(padding.max(1))?)?;
        }
        Some((Self { kind, count: first & 0x1f, body }, rest))
    }
}

fn write(out: &mut Vec<u8>, kind: u8, count: u8, body: &[u8]) {
    let words = u16::try_from(body.len() / 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0x80 | (count & 0x1f), kind]);
    out.extend_from_slice(&words.to_be_bytes());
    out.extend_from_slice(body);
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
#[path = "rtcp_tests.rs"]
mod tests;
