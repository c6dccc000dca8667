//! Turns Z16 depth into a colour picture, I420 in one pass. Owns the colour maps and a lookup table over all 16-bit
//! depth values; never knows where a frame comes from or goes to.

use std::str::FromStr;

use crate::error::Error;

/// A colour map from near (0) to far (1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMap {
    /// Blue, cyan, yellow, red.
    Jet,
    /// Google's Turbo: jet without its false edges.
    Turbo,
    /// Perceptually uniform, dark violet to yellow.
    Viridis,
    /// White to dark grey.
    Gray,
}

impl ColorMap {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Jet, "jet"), (Self::Turbo, "turbo"), (Self::Viridis, "viridis"), (Self::Gray, "gray")];

    /// The colour at `t` (0 near, 1 far; outside values are clamped), as R, G, B in 0 to 1.
    pub fn rgb(self, t: f32) -> [f32; 3] {
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let rgb = match self {
            Self::Jet => [3.0, 2.0, 1.0].map(|peak| 1.5 - (4.0 * t - peak).abs()),
            Self::Turbo => [
                // Degree-5 fit by A. Mikhailov and R. Zucker, published with the map by Google (Apache-2.0).
                polynomial(t, &[0.135_721_4, 4.615_392_6, -42.660_32, 132.131_09, -152.942_4, 59.286_38]),
                polynomial(t, &[0.091_402_6, 2.194_188_4, 4.842_966_6, -14.185_033, 4.277_298_5, 2.829_566]),
                polynomial(t, &[0.106_673_3, 12.641_946, -60.582_05, 110.362_77, -89.903_11, 27.348_25]),
            ],
            Self::Viridis => [
                // Degree-6 fit by M. Zucker to matplotlib's table (public domain).
                polynomial(t, &[0.277_727, 0.105_093, -0.330_862, -4.634_23, 6.228_27, 4.776_385, -5.435_456]),
                polynomial(t, &[0.005_407, 1.404_613_5, 0.214_848, -5.799_101, 14.179_933, -13.745_145, 4.645_853]),
                polynomial(t, &[0.334_1, 1.384_59, 0.095_095, -19.332_44, 56.690_55, -65.353_03, 26.312_435]),
            ],
            Self::Gray => [1.0 - 0.85 * t; 3],
        };
        rgb.map(|value| value.clamp(0.0, 1.0))
    }
}

impl FromStr for ColorMap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text.trim())).map(|(map, _)| *map).ok_or_else(
            || {
                let shown: String = text.chars().take(40).collect();
                Error::invalid(format!("Unknown colour map '{shown}'. Known colour maps: jet, turbo, viridis, gray."))
            },
        )
    }
}

fn polynomial(t: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient)
}

/// Luma of black in limited-range BT.601.
const BLACK_Y: u32 = 16;
/// Chroma of any grey.
const NEUTRAL: u32 = 128;
/// Each table entry holds Y, U and V in ten bits each, so that four of them can be added before one shift.
const U_SHIFT: u32 = 10;
const V_SHIFT: u32 = 20;

/// A lookup table from a 16-bit depth value to a colour, for one map, range and depth unit.
pub struct Colorizer {
    table: Vec<u32>,
    range: DepthRange,
}

/// What a colouriser's table was made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthRange {
    /// Colours.
    pub map: ColorMap,
    /// Metres shown in the near colour.
    pub min_m: f32,
    /// Metres shown in the far colour.
    pub max_m: f32,
    /// Metres per depth unit.
    pub depth_units: f32,
}

impl Colorizer {
    /// Builds the table. Zero depth (no measurement) is black; what lies outside the range gets the colour of its end.
    pub fn new(range: DepthRange) -> Self {
        // A span of nothing would divide by zero: a millimetre is below what any camera resolves over a range.
        let span = (range.max_m - range.min_m).max(0.001);
        let entry = |raw: u32| {
            if raw == 0 {
                return pack(BLACK_Y, NEUTRAL, NEUTRAL);
            }
            let [r, g, b] = range.map.rgb((raw as f32 * range.depth_units - range.min_m) / span);
            // ITU-R BT.601, limited range.
            let y = 16.0 + 65.481 * r + 128.553 * g + 24.966 * b;
            let u = 128.0 - 37.797 * r - 74.203 * g + 112.0 * b;
            let v = 128.0 + 112.0 * r - 93.786 * g - 18.214 * b;
            pack(y.round() as u32, u.round() as u32, v.round() as u32)
        };
        Self { table: (0..=u32::from(u16::MAX)).map(entry).collect(), range }
    }

    /// What the table was made for.
    pub fn range(&self) -> DepthRange {
        self.range
    }

    /// Colours a tightly packed Z16 picture into `out` as tightly packed I420, replacing what was there.
    /// Returns false, with `out` unspecified, when `depth` is too short for the size.
    pub fn to_i420(&self, depth: &[u8], width: u32, height: u32, out: &mut Vec<u8>) -> bool {
        let (width, height) = (width as usize, height as usize);
        if width == 0 || height == 0 || depth.len() < width * height * 2 {
            return false;
        }
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        out.resize(width * height + 2 * half_width * half_height, 0);
        let (luma, chroma) = out.split_at_mut(width * height);
        let (u_plane, v_plane) = chroma.split_at_mut(half_width * half_height);
        let depth_rows: Vec<&[u8]> = depth.chunks_exact(width * 2).take(height).collect();
        for (block, ((rows, y_rows), (u_row, v_row))) in depth_rows
            .chunks(2)
            .zip(luma.chunks_mut(width * 2))
            .zip(u_plane.chunks_exact_mut(half_width).zip(v_plane.chunks_exact_mut(half_width)))
            .enumerate()
        {
            debug_assert!(block < half_height);
            let top = rows[0];
            let (y_top, y_bottom) = y_rows.split_at_mut(width);
            // An odd height repeats its last row for the chroma.
            let bottom = rows.get(1).copied();
            self.row_pair(top, bottom, y_top, y_bottom, u_row, v_row);
        }
        true
    }

    fn row_pair(
        &self,
        top: &[u8],
        bottom: Option<&[u8]>,
        y_top: &mut [u8],
        y_bottom: &mut [u8],
        u_row: &mut [u8],
        v_row: &mut [u8],
    ) {
        let chroma = u_row.iter_mut().zip(v_row.iter_mut());
        match bottom {
            Some(bottom) => {
                let inputs = top.chunks(4).zip(bottom.chunks(4));
                let luma = y_top.chunks_mut(2).zip(y_bottom.chunks_mut(2));
                for (((a, b), (y_a, y_b)), (u, v)) in inputs.zip(luma).zip(chroma) {
                    let sum = self.pair(a, y_a) + self.pair(b, y_b);
                    (*u, *v) = ((sum >> (U_SHIFT + 2)) as u8, (sum >> (V_SHIFT + 2)) as u8);
                }
            }
            None => {
                for ((a, y_a), (u, v)) in top.chunks(4).zip(y_top.chunks_mut(2)).zip(chroma) {
                    let sum = self.pair(a, y_a);
                    (*u, *v) = ((sum >> (U_SHIFT + 1)) as u8, (sum >> (V_SHIFT + 1)) as u8);
                }
            }
        }
    }

    /// Writes one or two luma samples and returns the sum of two entries; a lone last pixel counts twice.
    #[inline]
    fn pair(&self, depth: &[u8], luma: &mut [u8]) -> u32 {
        let entry = |low: u8, high: u8| self.table[usize::from(u16::from_le_bytes([low, high]))];
        match (depth, luma) {
            (&[a, b, c, d], [y0, y1]) => {
                let (first, second) = (entry(a, b), entry(c, d));
                (*y0, *y1) = (first as u8, second as u8);
                first + second
            }
            (&[a, b, ..], [y0, ..]) => {
                let only = entry(a, b);
                *y0 = only as u8;
                only * 2
            }
            _ => 0,
        }
    }
}

fn pack(y: u32, u: u32, v: u32) -> u32 {
    y.min(255) | (u.min(255) << U_SHIFT) | (v.min(255) << V_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colorizer(map: ColorMap) -> Colorizer {
        Colorizer::new(DepthRange { map, min_m: 0.5, max_m: 4.5, depth_units: 0.001 })
    }

    fn picture(pixels: &[u16]) -> Vec<u8> {
        pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect()
    }

    #[test]
    fn zero_depth_is_black_and_the_ends_are_clamped() {
        let colorizer = colorizer(ColorMap::Jet);
        let mut out = Vec::new();
        assert!(colorizer.to_i420(&picture(&[0, 0, 0, 0]), 2, 2, &mut out));
        assert_eq!(out, [16, 16, 16, 16, 128, 128]);
        let mut near = Vec::new();
        assert!(colorizer.to_i420(&picture(&[1; 4]), 2, 2, &mut near));
        assert!(colorizer.to_i420(&picture(&[500; 4]), 2, 2, &mut out));
        assert_eq!(near, out, "nearer than near has the near colour");
        assert!(out[4] > 170, "jet's near end is blue: U is high, got {}", out[4]);
        assert!(colorizer.to_i420(&picture(&[u16::MAX; 4]), 2, 2, &mut out));
        assert!(out[5] > 170, "jet's far end is red: V is high, got {}", out[5]);
    }

    #[test]
    fn every_map_stays_in_limited_range_and_gray_falls_with_distance() {
        for (map, _) in ColorMap::ALL {
            for entry in colorizer(map).table {
                let (y, u, v) = (entry & 0x3ff, (entry >> U_SHIFT) & 0x3ff, entry >> V_SHIFT);
                assert!((16..=235).contains(&y) && (16..=240).contains(&u) && (16..=240).contains(&v), "{map:?}");
            }
        }
        let gray = colorizer(ColorMap::Gray);
        assert!(gray.table[600] & 0x3ff > gray.table[2000] & 0x3ff);
        assert!(gray.table[2000] & 0x3ff > gray.table[4400] & 0x3ff);
    }

    #[test]
    fn turbo_and_viridis_hit_known_colours() {
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 0.09);
        // From the published tables: turbo[128] and viridis[0], viridis[255]; the fits are that close.
        assert!(close(ColorMap::Turbo.rgb(0.5), [0.643, 0.990, 0.234]), "{:?}", ColorMap::Turbo.rgb(0.5));
        assert!(close(ColorMap::Viridis.rgb(0.0), [0.267, 0.005, 0.329]), "{:?}", ColorMap::Viridis.rgb(0.0));
        assert!(close(ColorMap::Viridis.rgb(1.0), [0.993, 0.906, 0.144]), "{:?}", ColorMap::Viridis.rgb(1.0));
    }

    #[test]
    fn odd_sizes_fill_every_byte() {
        let colorizer = colorizer(ColorMap::Gray);
        let mut out = vec![0; 3];
        assert!(colorizer.to_i420(&picture(&[1000; 15]), 5, 3, &mut out));
        assert_eq!(out.len(), 15 + 2 * 3 * 2);
        assert!(out[..15].iter().all(|y| *y == out[0] && *y > 16));
        assert!(out[15..].iter().all(|c| *c == 128), "grey has neutral chroma: {:?}", &out[15..]);
        assert!(!colorizer.to_i420(&[0; 29], 5, 3, &mut out), "too little data is refused");
        assert!(!colorizer.to_i420(&[], 0, 0, &mut out));
    }

    #[test]
    fn chroma_is_the_mean_of_its_four_pixels() {
        let colorizer = colorizer(ColorMap::Jet);
        let mut out = Vec::new();
        assert!(colorizer.to_i420(&picture(&[0, 500, 0, 500]), 2, 2, &mut out));
        let near_u = (colorizer.table[500] >> U_SHIFT) & 0x3ff;
        assert_eq!(u32::from(out[4]), (2 * 128 + 2 * near_u) / 4);
    }

    #[test]
    fn map_names_parse_and_a_wrong_one_lists_them() {
        assert_eq!("Turbo".parse::<ColorMap>().ok(), Some(ColorMap::Turbo));
        let error = "rainbow".parse::<ColorMap>().expect_err("unknown");
        assert!(error.public().contains("viridis"), "{error}");
    }
}
