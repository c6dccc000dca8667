//! What of the packets from a peer's address goes on to the decryption. The server only sends media, so that is the DTLS
//! handshake and encrypted RTCP of a few sources: `srtpdec` sets a source up for whatever SSRC a packet names, before it knows
//! whether the packet is genuine, and keeps it. Owns the bounds; reads no clock and decrypts nothing.

use std::collections::BTreeSet;

/// Most sources (SSRCs) of a session whose packets are decrypted: twice as many as end it when they are genuine
/// (`core::rtcp`), because forged ones must end nobody's session. Browsers use one, or one per m-line.
const MAX_SOURCES: usize = 128;

/// The first byte of DTLS records (RFC 7983, section 7).
const DTLS: std::ops::RangeInclusive<u8> = 20..=63;
/// The first two bits of RTP and RTCP: their version, 2 (RFC 3550, sections 5.1 and 6.4.1).
const VERSION_BITS: u8 = 0b1000_0000;
/// Kinds of RTCP that a receiver's packet begins with: reports (RFC 3550, section 12.1) and, where its size is reduced, feedback
/// (RFC 5506, section 3.4.2; RFC 4585, section 6.1). Of each of them the sender's SSRC is in bytes 4 to 8.
const REPORTS: [u8; 4] = [200, 201, 205, 206];

/// Looks at one session's packets.
#[derive(Debug, Default)]
pub struct Arrivals {
    sources: BTreeSet<u32>,
}

impl Arrivals {
    /// Whether a packet goes on.
    pub fn admits(&mut self, packet: &[u8]) -> bool {
        match packet {
            [first, ..] if DTLS.contains(first) => true,
            [first, kind, _, _, a, b, c, d, ..] if first & 0b1100_0000 == VERSION_BITS && REPORTS.contains(kind) => {
                let source = u32::from_be_bytes([*a, *b, *c, *d]);
                self.sources.contains(&source) || (self.sources.len() < MAX_SOURCES && self.sources.insert(source))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: u8, source: u32) -> Vec<u8> {
        [&[0x80, kind, 0, 7], source.to_be_bytes().as_slice(), &[0; 24]].concat()
    }

    #[test]
    fn the_handshake_and_reports_pass_and_nothing_else() {
        let mut arrivals = Arrivals::default();
        for kind in REPORTS {
            assert!(arrivals.admits(&report(kind, 1)), "{kind}");
        }
        for first in [20, 22, 23, 63] {
            assert!(arrivals.admits(&[first, 0xfe, 0xfd]), "{first}");
        }
        // Media, of which nobody was asked; descriptions and byes, whose source is read from behind them; other protocols.
        for kind in [96, 111, 0x80 | 96, 192, 202, 203, 204, 207] {
            assert!(!arrivals.admits(&report(kind, 1)), "{kind}");
        }
        for packet in
            [&[][..], &[0x80], &[0x80, 201, 0, 1, 0, 0, 0], &[0; 40], &[64; 40], &[0xc0, 201, 0, 1, 0, 0, 0, 1]]
        {
            assert!(!arrivals.admits(packet), "{packet:?}");
        }
    }

    #[test]
    fn made_up_sources_are_bounded_and_the_first_ones_stay() {
        let mut arrivals = Arrivals::default();
        assert!(arrivals.admits(&report(201, 7)));
        let admitted = (1000..101_000).filter(|source| arrivals.admits(&report(201, *source))).count();
        assert_eq!(admitted, MAX_SOURCES - 1);
        assert_eq!(arrivals.sources.len(), MAX_SOURCES);
        assert!(arrivals.admits(&report(201, 7)) && arrivals.admits(&report(206, 1000)));
    }
}
