//! The RTCP packets of peers that misbehave, as bytes. Pure; `srtcp` protects them and `receiver` sends them.

/// What a misbehaving peer sends in one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtcp {
    /// Asks this many times over for the 17 newest packets of the first stream to be sent again.
    Nacks(u16),
    /// Says that the picture of the first stream is lost.
    PictureLoss,
    /// A sender report of a source with this SSRC, which has never sent anything.
    SenderReport(u32),
    /// The same, as somebody sends it who does not have the session's keys.
    Forged(u32),
}

/// The source that the probe's own feedback comes from.
const SELF: u32 = 0x5052_4f42;

impl Rtcp {
    /// The packet, about a stream with this SSRC whose newest packet has this sequence number.
    pub(super) fn packet(self, media: u32, newest: u16) -> Vec<u8> {
        match self {
            Self::Nacks(entries) => {
                let entry = u32::from(newest.wrapping_sub(16)) << 16 | 0xffff;
                packet(205, 1, [SELF, media].into_iter().chain((0..entries).map(|_| entry)))
            }
            Self::PictureLoss => packet(206, 1, [SELF, media]),
            Self::SenderReport(source) | Self::Forged(source) => packet(200, 0, [source, 1, 2, 3, 4, 5]),
        }
    }
}

/// RFC 3550, section 6.4, and RFC 4585, section 6.1: version 2, a count or format, the type, the length in words less one.
fn packet(kind: u8, count: u8, words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let body: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let length = u16::try_from(body.len() / 4).unwrap_or(u16::MAX);
    let mut out = vec![0x80 | count, kind];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nack_names_the_newest_packets() {
        let packet = Rtcp::Nacks(2).packet(7, 20);
        assert_eq!(packet[..4], [0x81, 205, 0, 4]);
        assert_eq!(packet[8..12], [0, 0, 0, 7]);
        // 4 to 20, twice.
        assert_eq!(packet[12..], [0, 4, 0xff, 0xff, 0, 4, 0xff, 0xff]);
    }

    #[test]
    fn a_report_names_its_source() {
        let packet = Rtcp::SenderReport(9).packet(7, 20);
        assert_eq!((packet.len(), &packet[..8]), (28, &[0x80, 200, 0, 6, 0, 0, 0, 9][..]));
        assert_eq!(Rtcp::PictureLoss.packet(7, 20)[..4], [0x81, 206, 0, 2]);
    }
}
