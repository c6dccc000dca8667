//! What of the packets from a peer's address goes on to the decryption. The server only sends media, so that is the DTLS
//! handshake and encrypted RTCP of a few sources: `srtpdec` sets a source up for whatever SSRC a packet names, before it knows
//! whether the packet is genuine, and keeps it. So a new source has to be genuine first. Owns that decision and the bound;
//! reads no clock and has no keys.

use std::collections::BTreeSet;

/// Most sources (SSRCs) of a session whose packets are decrypted. Twice as many as end it (`rtcp`), so it counts only
/// where nobody can tell what is genuine. Browsers use one, or one per m-line.
const MAX_SOURCES: usize = 128;

/// The first byte of DTLS records (RFC 7983, section 7).
const DTLS: std::ops::RangeInclusive<u8> = 20..=63;
/// The first two bits of RTP and RTCP are their version, 2 (RFC 3550, sections 5.1 and 6.4.1).
const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b1000_0000;
/// Kinds of RTCP that a receiver's packet begins with: reports (RFC 3550, section 12.1) and, where its size is reduced, feedback
/// (RFC 5506, section 3.4.2; RFC 4585, section 6.1). Of each of them the sender's SSRC is in bytes 4 to 8.
const REPORTS: [u8; 2] = [200, 201];
const FEEDBACK: [u8; 2] = [205, 206];

/// What a packet is, and so what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A report of the peer's, which comes in the peer's own rhythm: goes on.
    Report,
    /// Anything else that goes on: the handshake, and what the peer asks for.
    Other,
    /// The peer lives, but this goes no further: its session has too many sources already.
    Superfluous,
    /// Nothing that this server has a use for, or forged.
    Useless,
}

/// Looks at one session's packets.
#[derive(Debug, Default)]
pub struct Arrivals {
    sources: BTreeSet<u32>,
}

impl Arrivals {
    /// Judges a packet. Only of a source that is new, `is_genuine` is asked; it gives `None` where it cannot tell.
    pub fn judge(&mut self, packet: &[u8], is_genuine: impl FnOnce() -> Option<bool>) -> Arrival {
        let [first, rest @ ..] = packet else { return Arrival::Useless };
        if DTLS.contains(first) {
            return Arrival::Other;
        }
        let [kind, _, _, a, b, c, d, ..] = rest else { return Arrival::Useless };
        let is_report = REPORTS.contains(kind);
        if first & VERSION_MASK != VERSION || !(is_report || FEEDBACK.contains(kind)) {
            return Arrival::Useless;
        }
        let source = u32::from_be_bytes([*a, *b, *c, *d]);
        if !self.sources.contains(&source) {
            if is_genuine() == Some(false) {
                return Arrival::Useless;
            }
            if self.sources.len() >= MAX_SOURCES {
                return Arrival::Superfluous;
            }
            self.sources.insert(source);
        }
        if is_report { Arrival::Report } else { Arrival::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: u8, source: u32) -> Vec<u8> {
        [&[0x80, kind, 0, 7], source.to_be_bytes().as_slice(), &[0; 24]].concat()
    }

    #[test]
    fn the_handshake_reports_and_requests_pass_and_nothing_else() {
        let mut arrivals = Arrivals::default();
        for (kind, is) in [(200, Arrival::Report), (201, Arrival::Report), (205, Arrival::Other), (206, Arrival::Other)]
        {
            assert_eq!(arrivals.judge(&report(kind, 1), || Some(true)), is, "{kind}");
        }
        for first in [20, 22, 23, 63] {
            assert_eq!(arrivals.judge(&[first, 0xfe, 0xfd], || Some(false)), Arrival::Other, "{first}");
        }
        // Media, of which nobody was asked; descriptions and byes, whose source is read from behind them; other protocols.
        for kind in [96, 111, 0x80 | 96, 192, 202, 203, 204, 207] {
            assert_eq!(arrivals.judge(&report(kind, 1), || Some(true)), Arrival::Useless, "{kind}");
        }
        for packet in
            [&[][..], &[0x80], &[0x80, 201, 0, 1, 0, 0, 0], &[0; 40], &[64; 40], &[0xc0, 201, 0, 1, 0, 0, 0, 1]]
        {
            assert_eq!(arrivals.judge(packet, || Some(true)), Arrival::Useless, "{packet:?}");
        }
    }

    #[test]
    fn forged_sources_take_no_place_of_genuine_ones() {
        let mut arrivals = Arrivals::default();
        for source in 1000..101_000 {
            assert_eq!(arrivals.judge(&report(201, source), || Some(false)), Arrival::Useless);
        }
        assert_eq!(arrivals.judge(&report(206, 7), || Some(true)), Arrival::Other);
        assert_eq!(arrivals.sources.len(), 1);
        // Known ones are not asked again: the decryption tells what is forged of them.
        assert_eq!(arrivals.judge(&report(201, 7), || panic!("asked")), Arrival::Report);
    }

    #[test]
    fn where_nobody_can_tell_the_number_is_bounded_and_the_first_ones_stay() {
        let mut arrivals = Arrivals::default();
        let admitted = (0..100_000).filter(|source| arrivals.judge(&report(201, *source), || None) == Arrival::Report);
        assert_eq!(admitted.count(), MAX_SOURCES);
        assert_eq!(arrivals.sources.len(), MAX_SOURCES);
        assert_eq!(arrivals.judge(&report(201, 5), || None), Arrival::Report);
        assert_eq!(arrivals.judge(&report(201, 200_000), || None), Arrival::Superfluous);
    }
}
