//! Decimation: one pixel for each patch, the median (patches of two and three) or the mean of its valid ones.

use crate::model::Intrinsics;

/// Output sizes are multiples of this; what is missing is padded with holes on the right and below.
const MULTIPLE: usize = 4;

/// Makes the picture smaller by a whole factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimation {
    /// Side of the patch that becomes one pixel: 1 to 8.
    pub magnitude: usize,
}

impl Decimation {
    /// The size of the output, padding included.
    pub fn size(&self, width: usize, height: usize) -> (usize, usize) {
        let side = |length: usize| (length / self.magnitude.max(1)).next_multiple_of(MULTIPLE);
        (side(width), side(height))
    }

    /// The intrinsics that go with the output. As in the SDK the principal point is divided like the focal length, so it
    /// keeps its place in the picture to within half an output pixel.
    pub fn intrinsics(&self, of: &Intrinsics) -> Intrinsics {
        let factor = self.magnitude.max(1) as f32;
        let (width, height) = self.size(of.width as usize, of.height as usize);
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Intrinsics {
            width: side(width),
            height: side(height),
            fx: of.fx / factor,
            fy: of.fy / factor,
            ppx: of.ppx / factor,
            ppy: of.ppy / factor,
            ..*of
        }
    }

    /// Writes the smaller picture to `output`, whose former content does not matter. `image` holds whole rows of `width`.
    pub fn apply(&self, image: &[u16], width: usize, output: &mut Vec<u16>) {
        let patch = self.magnitude.max(1);
        let height = image.len().checked_div(width).unwrap_or(0);
        let (padded_width, padded_height) = self.size(width, height);
        output.clear();
        output.resize(padded_width * padded_height, 0);
        let columns = width / patch;
        if columns == 0 {
            return;
        }
        let bands = image.chunks_exact(width * patch).zip(output.chunks_exact_mut(padded_width));
        for (band, row) in bands {
            match patch {
                1 => row[..width].copy_from_slice(band),
                2 => two(band, width, &mut row[..columns]),
                3 => three(band, width, &mut row[..columns]),
                _ => mean(band, width, patch, &mut row[..columns]),
            }
        }
    }
}

/// The median of the valid pixels of 2x2 patches; of an even count the lower one of the middle.
fn two(band: &[u16], width: usize, row: &mut [u16]) {
    let (upper, lower) = band.split_at(width);
    for ((a, b), out) in upper.chunks_exact(2).zip(lower.chunks_exact(2)).zip(row) {
        // A hole wraps to the largest value and sorts last.
        let hole_last = |raw: u16| raw.wrapping_sub(1);
        let mut v = [a[0], a[1], b[0], b[1]].map(hole_last);
        sort2(&mut v, 0, 1);
        sort2(&mut v, 2, 3);
        sort2(&mut v, 0, 2);
        sort2(&mut v, 1, 3);
        sort2(&mut v, 1, 2);
        // The second of three or four, the first of one or two.
        let middle = if v[2] == u16::MAX { v[0] } else { v[1] };
        *out = middle.wrapping_add(1);
    }
}

fn sort2(v: &mut [u16; 4], low: usize, high: usize) {
    (v[low], v[high]) = (v[low].min(v[high]), v[low].max(v[high]));
}

/// The same for 3x3 patches.
fn three(band: &[u16], width: usize, row: &mut [u16]) {
    let mut valid = [0u16; 9];
    for (at, out) in row.iter_mut().enumerate() {
        let mut count = 0;
        for y in 0..3 {
            for raw in &band[y * width + at * 3..][..3] {
                valid[count] = *raw;
                count += usize::from(*raw != 0);
            }
        }
        let valid = &mut valid[..count];
        *out = if count == 0 { 0 } else { *valid.select_nth_unstable((count - 1) / 2).1 };
    }
}

fn mean(band: &[u16], width: usize, patch: usize, row: &mut [u16]) {
    for (at, out) in row.iter_mut().enumerate() {
        let (mut sum, mut count) = (0u32, 0u32);
        for y in 0..patch {
            for raw in &band[y * width + at * patch..][..patch] {
                sum += u32::from(*raw);
                count += u32::from(*raw != 0);
            }
        }
        *out = u16::try_from(sum.checked_div(count).unwrap_or(0)).expect("a mean of u16 fits in u16");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimate(magnitude: usize, image: &[u16], width: usize) -> Vec<u16> {
        let mut out = vec![9; 3];
        Decimation { magnitude }.apply(image, width, &mut out);
        out
    }

    #[test]
    fn medians_leave_holes_out_and_take_the_lower_middle() {
        #[rustfmt::skip]
        let image = [
            40, 10,  0, 30,  0, 0, 0, 0,
            20, 30, 20, 10,  7, 0, 9, 5,
        ];
        // 10 20 30 40 -> 20; 10 20 30 -> 20; 7 -> 7; 5 9 -> 5. The height is padded to four.
        let out = decimate(2, &image, 8);
        assert_eq!(out.len(), 16);
        assert_eq!(out[..4], [20, 20, 7, 5]);
        assert!(out[4..].iter().all(|raw| *raw == 0));
        let image: Vec<u16> = (0..9).flat_map(|at| if at % 3 == 0 { [0, 5, 9] } else { [1, 2, 65_535] }).collect();
        assert_eq!(decimate(3, &image, 9)[0..4], [5, 2, 2, 0]);
        assert_eq!(decimate(3, &[0; 9], 3)[0], 0);
    }

    #[test]
    fn larger_patches_take_the_mean_of_what_is_valid() {
        let mut image = [0u16; 16];
        image[3] = 100;
        image[9] = 103;
        assert_eq!(decimate(4, &image, 4)[0], 101);
        assert_eq!(decimate(4, &[65_535; 16], 4)[0], 65_535);
        assert_eq!(decimate(8, &[0; 64], 8)[0], 0);
    }

    #[test]
    fn sizes_are_multiples_of_four_and_one_changes_nothing_else() {
        for (magnitude, size) in [(1, (848, 480)), (2, (424, 240)), (3, (284, 160)), (4, (212, 120)), (7, (124, 68))] {
            assert_eq!(Decimation { magnitude }.size(848, 480), size);
        }
        let image: Vec<u16> = (0..32).collect();
        assert_eq!(decimate(1, &image, 8), image);
        assert!(decimate(2, &[], 0).is_empty() && decimate(8, &[1, 2], 2).is_empty());
    }

    #[test]
    fn intrinsics_shrink_with_the_picture() {
        let full = Intrinsics {
            width: 848,
            height: 480,
            fx: 420.0,
            fy: 426.0,
            ppx: 423.0,
            ppy: 240.0,
            ..Intrinsics::default()
        };
        let third = Decimation { magnitude: 3 }.intrinsics(&full);
        assert_eq!((third.width, third.height), (284, 160));
        assert_eq!((third.fx, third.fy, third.ppx, third.ppy), (140.0, 142.0, 141.0, 80.0));
    }
}
