//! Reads RTP payloads of H.264, VP8 and VP9: just enough to know a key frame and to put access units back together.
//! Decodes nothing and trusts nothing: any bytes give some answer.

use crate::model::Codec;

/// What a payload says about the frame it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Part of a picture that decoding can start with.
    pub(super) key: bool,
    /// Carries the parameters a decoder needs (SPS).
    pub(super) config: bool,
}

/// Reads a payload's marks and, where bytes are wanted, appends its part of the access unit.
pub(super) fn unpack(codec: Codec, payload: &[u8], out: Option<&mut Vec<u8>>) -> Marks {
    match codec {
        Codec::H264 => unpack_h264(payload, out),
        Codec::VP8 => unpack_vp8(payload, out),
        Codec::VP9 => unpack_vp9(payload, out),
    }
}

/// RFC 6184: single NAL units, STAP-A and FU-A, which is what packetization-mode=1 allows.
fn unpack_h264(payload: &[u8], mut out: Option<&mut Vec<u8>>) -> Marks {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    const START: [u8; 4] = [0, 0, 0, 1];

    let mut marks = Marks::default();
    let mut nal = |unit: &[u8], marks: &mut Marks| {
        let Some(&head) = unit.first() else { return };
        marks.key |= head & 31 == IDR;
        marks.config |= head & 31 == SPS;
        if let Some(out) = out.as_deref_mut() {
            out.extend_from_slice(&START);
            out.extend_from_slice(unit);
        }
    };
    match payload {
        [head, rest @ ..] if head & 31 == STAP_A => {
            let mut rest = rest;
            while let [high, low, tail @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let Some((unit, tail)) = tail.split_at_checked(len) else { break };
                nal(unit, &mut marks);
                rest = tail;
            }
        }
        [indicator, head, data @ ..] if indicator & 31 == FU_A => {
            marks.key = head & 31 == IDR;
            marks.config = head & 31 == SPS;
            if let Some(out) = out {
                if head & 0x80 != 0 {
                    out.extend_from_slice(&START);
                    out.push((indicator & 0xe0) | (head & 31));
                }
                out.extend_from_slice(data);
            }
        }
        unit => nal(unit, &mut marks),
    }
    marks
}

/// RFC 7741: strips the payload descriptor.
fn unpack_vp8(payload: &[u8], out: Option<&mut Vec<u8>>) -> Marks {
    let Some(&head) = payload.first() else { return Marks::default() };
    let mut at = 1;
    if head & 0x80 != 0 {
        let extension = payload.get(at).copied().unwrap_or(0);
        at += 1;
        if extension & 0x80 != 0 {
            at += if payload.get(at).copied().unwrap_or(0) & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    let data = payload.get(at..).unwrap_or(&[]);
    if let Some(out) = out {
        out.extend_from_slice(data);
    }
    let begins = head & 0x10 != 0 && head & 0x07 == 0;
    let key = begins && data.first().is_some_and(|byte| byte & 1 == 0);
    Marks { key, config: key }
}

/// RFC 9628: strips the payload descriptor.
fn unpack_vp9(payload: &[u8], out: Option<&mut Vec<u8>>) -> Marks {
    const HAS_ID: u8 = 0x80;
    const PREDICTED: u8 = 0x40;
    const HAS_LAYERS: u8 = 0x20;
    const FLEXIBLE: u8 = 0x10;
    const BEGINS: u8 = 0x08;
    const HAS_STRUCTURE: u8 = 0x02;
    let byte = |at: usize| payload.get(at).copied().unwrap_or(0);
    let Some(&head) = payload.first() else { return Marks::default() };
    let mut at = 1;
    if head & HAS_ID != 0 {
        at += if byte(at) & 0x80 != 0 { 2 } else { 1 };
    }
    if head & HAS_LAYERS != 0 {
        at += if head & FLEXIBLE != 0 { 1 } else { 2 };
    }
    if head & FLEXIBLE != 0 && head & PREDICTED != 0 {
        // Up to three reference indices; the lowest bit says that another follows.
        for _ in 0..3 {
            at += 1;
            if byte(at - 1) & 1 == 0 {
                break;
            }
        }
    }
    if head & HAS_STRUCTURE != 0 {
        let structure = byte(at);
        at += 1;
        if structure & 0x10 != 0 {
            at += 4 * (usize::from(structure >> 5) + 1);
        }
        if structure & 0x08 != 0 {
            let pictures = byte(at);
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from((byte(at) >> 2) & 3);
            }
        }
    }
    if let Some(out) = out {
        out.extend_from_slice(payload.get(at..).unwrap_or(&[]));
    }
    let key = head & BEGINS != 0 && head & PREDICTED == 0;
    Marks { key, config: key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_descriptors_of_every_length() {
        let mut out = Vec::new();
        assert!(unpack_vp8(&[0x10, 0x9c, 1], Some(&mut out)).key);
        assert_eq!(out, [0x9c, 1]);
        out.clear();
        assert!(!unpack_vp8(&[0x90, 0xf0, 0x81, 2, 3, 4, 0x9d], Some(&mut out)).key);
        assert_eq!(out, [0x9d]);
        assert!(!unpack_vp8(&[0x00, 0x9c], None).key);
        assert!(!unpack_vp8(&[0x90], None).key);
        assert!(!unpack_vp8(&[], None).key);
    }

    #[test]
    fn vp9_descriptors_of_every_length() {
        let mut out = Vec::new();
        // Picture id of two bytes, scalability structure with one size and no picture group.
        let first = [0x8a, 0x81, 2, 0x10, 2, 0x80, 1, 0xe0, 0x49, 0x83];
        assert!(unpack_vp9(&first, Some(&mut out)).key);
        assert_eq!(out, [0x49, 0x83]);
        out.clear();
        assert!(!unpack_vp9(&[0xd8, 0x05, 0x02, 7], Some(&mut out)).key, "predicted, flexible, one reference");
        assert_eq!(out, [7]);
        assert!(!unpack_vp9(&[0x84, 1, 9], None).key, "the end of a key frame does not begin it");
        assert!(!unpack_vp9(&[], None).key);
    }

    #[test]
    fn hostile_payloads_do_not_panic() {
        for payload in
            [&[][..], &[24], &[24, 0], &[24, 0, 9, 1], &[28], &[28, 0x85], &[0x80, 0xff], &[0x80, 0xff, 0xff]]
        {
            let mut out = Vec::new();
            unpack_h264(payload, Some(&mut out));
            unpack_vp8(payload, Some(&mut out));
            unpack_vp9(payload, Some(&mut out));
        }
    }
}
