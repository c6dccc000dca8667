//! The frame strip: frame number and capture time as black and white cells in the picture's top left corner.
//! Owns the layout (`docs/reference/frame-strip.md` describes it for other decoders) and both directions of it;
//! draws nothing itself and reads no clock.
//!
//! Two rows of 40 square cells, 16 px where the picture is at least 640 px wide, else 8 px; 80 bits, most significant
//! first: sync byte `0xB2`, frame number (16), Unix time in ms (32), stream (4), camera (4), CRC-16/CCITT-FALSE (16).

use crate::model::StreamType;

/// Cells in a row.
pub const COLUMNS: usize = 40;
/// Rows of cells.
pub const ROWS: usize = 2;
/// Bits in a strip.
pub const BITS: usize = COLUMNS * ROWS;
/// Raw Z16 value (at 1 mm a unit) of a cell that says 1; a cell that says 0 is a hole. At the default range of
/// 0.3–6 m this is 65 % of the way, where jet, turbo, viridis and gray are all brighter than half.
pub const DEPTH_ONE_MM: u16 = 4000;

const SYNC: u8 = 0xB2;
/// Least difference of luma between the sync byte's ones and zeros that still counts as a strip.
const MIN_CONTRAST: u32 = 16;

/// What a strip says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// Low 16 bits of the frame number.
    pub number: u16,
    /// Low 32 bits of the Unix time of capture in milliseconds.
    pub time_ms: u32,
    /// 1 colour, 2 depth, 3 infrared-1, 4 infrared-2.
    pub stream: u8,
    /// The simulated camera, 0 for the first, modulo 16.
    pub camera: u8,
}

/// A stream's code in the strip; 0 for what is not a picture.
pub fn stream_code(stream: StreamType) -> u8 {
    match stream {
        StreamType::Color => 1,
        StreamType::Depth => 2,
        StreamType::Infrared(1) => 3,
        StreamType::Infrared(_) => 4,
        StreamType::Gyro | StreamType::Accel => 0,
    }
}

/// Side of a cell in pixels for a picture of this width.
pub fn cell_size(width: usize) -> usize {
    if width >= 640 { 16 } else { 8 }
}

/// Height of the strip in pixels for a picture of this width.
pub fn height(width: usize) -> usize {
    ROWS * cell_size(width)
}

/// The strip's bits in drawing order: row by row, left to right.
pub fn encode(strip: &Strip) -> [bool; BITS] {
    let [n1, n0] = strip.number.to_be_bytes();
    let [t3, t2, t1, t0] = strip.time_ms.to_be_bytes();
    let body = [SYNC, n1, n0, t3, t2, t1, t0, (strip.stream << 4) | (strip.camera & 0xF)];
    let [c1, c0] = crc16(&body).to_be_bytes();
    let mut bits = [false; BITS];
    for (i, bit) in bits.iter_mut().enumerate() {
        let byte = match i / 8 {
            8 => c1,
            9 => c0,
            n => body[n],
        };
        *bit = byte & (0x80 >> (i % 8)) != 0;
    }
    bits
}

/// Reads the strip from a luma plane (any range); `None` where there is none or it is damaged.
pub fn decode(luma: &[u8], stride: usize, width: usize) -> Option<Strip> {
    let cell = cell_size(width);
    if width < COLUMNS * cell || stride < width || luma.len() < stride * (ROWS * cell - 1) + COLUMNS * cell {
        return None;
    }
    let mean = |bit: usize| -> u32 {
        let (left, top) = (bit % COLUMNS * cell, bit / COLUMNS * cell);
        let inner = cell / 4..cell * 3 / 4;
        let rows = inner.clone().map(|y| &luma[(top + y) * stride + left..][inner.clone()]);
        rows.flatten().map(|&value| u32::from(value)).sum::<u32>() / (inner.len() * inner.len()) as u32
    };
    let sync_mean = |wanted: bool| (0..8).filter(|i| (SYNC & (0x80 >> i) != 0) == wanted).map(&mean).sum::<u32>() / 4;
    let (one, zero) = (sync_mean(true), sync_mean(false));
    if one < zero + MIN_CONTRAST {
        return None;
    }
    let threshold = u32::midpoint(one, zero);
    let mut bytes = [0u8; BITS / 8];
    for i in 0..BITS {
        bytes[i / 8] = bytes[i / 8] << 1 | u8::from(mean(i) > threshold);
    }
    let (body, crc) = bytes.split_at(8);
    if body[0] != SYNC || crc16(body).to_be_bytes() != *crc {
        return None;
    }
    Some(Strip {
        number: u16::from_be_bytes([body[1], body[2]]),
        time_ms: u32::from_be_bytes([body[3], body[4], body[5], body[6]]),
        stream: body[7] >> 4,
        camera: body[7] & 0xF,
    })
}

/// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, no reflection.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws as the simulator does, in any two grey levels.
    fn draw(strip: &Strip, width: usize, height: usize, zero: u8, one: u8) -> Vec<u8> {
        let mut luma = vec![90; width * height];
        let cell = cell_size(width);
        for (i, bit) in encode(strip).into_iter().enumerate() {
            for y in 0..cell {
                let at = (i / COLUMNS * cell + y) * width + i % COLUMNS * cell;
                luma[at..at + cell].fill(if bit { one } else { zero });
            }
        }
        luma
    }

    const EXAMPLE: Strip = Strip { number: 0x1234, time_ms: 0x89AB_CDEF, stream: 2, camera: 0 };

    #[test]
    fn crc_check_value() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }

    #[test]
    fn the_documents_example() {
        let bytes: Vec<u8> =
            encode(&EXAMPLE).chunks(8).map(|c| c.iter().fold(0, |b, &bit| b << 1 | u8::from(bit))).collect();
        assert_eq!(bytes[..8], [0xB2, 0x12, 0x34, 0x89, 0xAB, 0xCD, 0xEF, 0x20]);
        let text: String = bytes[8..].iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ");
        assert!(include_str!("../../../docs/reference/frame-strip.md").contains(&format!("CRC `{text}`")));
    }

    #[test]
    fn round_trip_at_every_width_and_contrast() {
        for width in [320, 424, 480, 640, 848, 1280, 1920] {
            for (zero, one) in [(0, 255), (16, 235), (10, 40), (0, 110)] {
                let luma = draw(&EXAMPLE, width, 48, zero, one);
                assert_eq!(decode(&luma, width, width), Some(EXAMPLE), "{width} {zero} {one}");
            }
        }
    }

    #[test]
    fn a_damaged_bit_or_no_strip_reads_as_none() {
        for bit in 0..BITS {
            let mut luma = draw(&EXAMPLE, 640, 32, 0, 255);
            let (x, y) = (bit % COLUMNS * 16, bit / COLUMNS * 16);
            for row in luma.chunks_mut(640).skip(y).take(16) {
                row[x..x + 16].iter_mut().for_each(|p| *p = 255 - *p);
            }
            assert_eq!(decode(&luma, 640, 640), None, "bit {bit}");
        }
        assert_eq!(decode(&vec![90; 640 * 480], 640, 640), None);
        assert_eq!(decode(&[0; 100], 640, 640), None);
        assert_eq!(decode(&[0; 100], 10, 10), None);
    }
}
