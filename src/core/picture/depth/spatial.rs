//! The edge-preserving spatial filter: a moving average that runs along rows and columns, there and back, and begins anew at
//! each edge (the domain transform of Gastal and Oliveira, 2011, as the SDK has it).

/// Rows that are smoothed side by side.
const ROWS: usize = 4;

/// Smooths surfaces and keeps edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spatial {
    /// How often it is run: 1 to 5.
    pub magnitude: u32,
    /// Weight of the pixel itself in the moving average: 0.25 to 1, where 1 smooths nothing.
    pub alpha: f32,
    /// A step of this many units (of depth or disparity) or more is an edge: 1 to 50.
    pub delta: f32,
    /// Holes are filled from the side up to this many pixels less one; 0: not at all.
    pub fill_radius: u32,
}

impl Spatial {
    /// The radius of a value of the option `spatial_holes_fill`: 0, 2, 4, 8, 16 pixels, or as good as unlimited.
    pub fn fill_radius(holes_fill: u32) -> u32 {
        match holes_fill {
            0 => 0,
            1..=4 => 1 << holes_fill,
            _ => 255,
        }
    }

    /// Smooths disparities; holes are 0. `image` holds whole rows of `width`.
    pub fn apply_disparity(&self, image: &mut [f32], width: usize) {
        if width == 0 || image.len() < width {
            return;
        }
        for _ in 0..self.magnitude {
            self.rows(image, width);
            self.columns(image, width);
        }
        if self.fill_radius > 0 {
            for row in image.chunks_exact_mut(width) {
                fill(row, self.fill_radius, |at| at);
                fill(row, self.fill_radius, |at| row_end(width, at));
            }
        }
    }

    /// Along all rows, there and back. Each step waits for the one before it, so several rows are taken side by side.
    fn rows(&self, image: &mut [f32], width: usize) {
        let mut groups = image.chunks_exact_mut(width * ROWS);
        for group in &mut groups {
            let mut rows = group.chunks_exact_mut(width);
            self.there_and_back::<ROWS>(std::array::from_fn(|_| rows.next().expect("a group has that many")));
        }
        for row in groups.into_remainder().chunks_exact_mut(width) {
            self.there_and_back([row]);
        }
    }

    fn there_and_back<const N: usize>(&self, mut rows: [&mut [f32]; N]) {
        let width = rows[0].len();
        self.run(&mut rows, 0, 1..width);
        self.run(&mut rows, width - 1, (0..width - 1).rev());
    }

    #[inline(always)]
    fn run<const N: usize>(&self, rows: &mut [&mut [f32]; N], first: usize, order: impl Iterator<Item = usize>) {
        let mut last: [f32; N] = std::array::from_fn(|row| rows[row][first]);
        let mut average = last;
        for at in order {
            for row in 0..N {
                let value = rows[row][at];
                let next = self.step(value, last[row], average[row]);
                average[row] = if value > 0.0 { next } else { average[row] };
                rows[row][at] = if value > 0.0 { next } else { value };
                last[row] = value;
            }
        }
    }

    /// The moving average after a valid value; `last` is the value before it as it was measured.
    #[inline(always)]
    fn step(&self, value: f32, last: f32, average: f32) -> f32 {
        let smooth = value * self.alpha + average * (1.0 - self.alpha);
        // Not a short cut: both are known at once, and nothing has to be guessed.
        if (last > 0.0) & ((last - value).abs() < self.delta) { smooth } else { value }
    }

    /// Down all columns side by side, and up again: row by row the memory is walked in order and columns go in parallel.
    fn columns(&self, image: &mut [f32], width: usize) {
        let mut last = image[..width].to_vec();
        let mut average = last.clone();
        for row in image.chunks_exact_mut(width).skip(1) {
            self.next_row(row, &mut last, &mut average);
        }
        let bottom = (image.len() / width - 1) * width;
        last.copy_from_slice(&image[bottom..bottom + width]);
        average.copy_from_slice(&last);
        for row in image.chunks_exact_mut(width).rev().skip(1) {
            self.next_row(row, &mut last, &mut average);
        }
    }

    fn next_row(&self, row: &mut [f32], last: &mut [f32], average: &mut [f32]) {
        for ((pixel, last), average) in row.iter_mut().zip(last).zip(average) {
            let value = *pixel;
            let next = self.step(value, *last, *average);
            let valid = value > 0.0;
            *average = if valid { next } else { *average };
            *pixel = if valid { next } else { value };
            *last = value;
        }
    }

    /// Smooths raw depths, for cameras that do not measure by disparity. `image` holds whole rows of `width`.
    pub fn apply(&self, image: &mut [u16], width: usize) {
        if width < 2 || image.len() < width {
            return;
        }
        for _ in 0..self.magnitude {
            for row in image.chunks_exact_mut(width) {
                self.depth_row(row);
            }
            self.depth_columns(image, width);
        }
    }

    fn blend(&self, value: u16, average: u16) -> u16 {
        (f32::from(value) * self.alpha + f32::from(average) * (1.0 - self.alpha) + 0.5) as u16
    }

    /// There and back. As in the SDK the way there ends before the last pixel, and the way back takes a depth of one unit
    /// for a hole.
    fn depth_row(&self, row: &mut [u16]) {
        let delta = self.delta as u16;
        let (mut last, mut filled) = (row[0], 0);
        for pixel in &mut row.iter_mut().rev().skip(1).rev().skip(1) {
            if last != 0 {
                if *pixel != 0 {
                    filled = 0;
                    if *pixel != last && pixel.abs_diff(last) <= delta {
                        *pixel = self.blend(*pixel, last);
                    }
                } else {
                    filled += 1;
                    *pixel = if filled < self.fill_radius { last } else { 0 };
                }
            }
            last = *pixel;
        }
        (last, filled) = (row[row.len() - 1], 0);
        for pixel in row.iter_mut().rev().skip(1) {
            if last != 0 {
                if *pixel > 1 {
                    filled = 0;
                    if pixel.abs_diff(last) <= delta {
                        *pixel = self.blend(*pixel, last);
                    }
                } else if self.fill_radius > 0 {
                    filled += 1;
                    *pixel = if filled < self.fill_radius { last } else { *pixel };
                }
            }
            last = *pixel;
        }
    }

    /// Down and up again. As in the SDK the way down takes holes for a depth of 0, which matters within `delta` of it only.
    fn depth_columns(&self, image: &mut [u16], width: usize) {
        let delta = self.delta as u16;
        let height = image.len() / width;
        for y in 1..height {
            let (above, row) = image[(y - 1) * width..(y + 1) * width].split_at_mut(width);
            for (above, pixel) in above.iter().zip(row) {
                let smooth = self.blend(*pixel, *above);
                *pixel = if pixel.abs_diff(*above) < delta { smooth } else { *pixel };
            }
        }
        for y in (1..height).rev() {
            let (row, below) = image[(y - 1) * width..(y + 1) * width].split_at_mut(width);
            for (pixel, below) in row.iter_mut().zip(below.iter()) {
                let smooth = self.blend(*pixel, *below);
                let valid = *pixel != 0 && *below != 0;
                *pixel = if valid && pixel.abs_diff(*below) < delta { smooth } else { *pixel };
            }
        }
    }
}

fn row_end(width: usize, at: usize) -> usize {
    width - 1 - at
}

/// Fills holes of a row from the pixel before them, in the order that `place` gives.
fn fill(row: &mut [f32], radius: u32, place: impl Fn(usize) -> usize) {
    let mut filled = 0;
    for at in 1..row.len() {
        if row[place(at)] == 0.0 {
            filled += 1;
            if filled < radius {
                row[place(at)] = row[place(at - 1)];
            }
        } else {
            filled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOOTH: Spatial = Spatial { magnitude: 1, alpha: 0.5, delta: 20.0, fill_radius: 0 };

    #[test]
    fn a_row_is_averaged_there_and_back() {
        let mut row = [100.0, 110.0, 120.0, 0.0, 300.0, 310.0];
        SMOOTH.apply_disparity(&mut row, 6);
        // There: 105, 112.5 | 300, 305. Back, from 305: (300+305)/2; from 112.5: (105+112.5)/2, then (100+108.75)/2.
        assert_eq!(row, [104.375, 108.75, 112.5, 0.0, 302.5, 305.0]);
        let mut row = [100, 110, 120, 0, 300, 310];
        SMOOTH.apply(&mut row, 6);
        // The same in whole numbers, rounded up, and the way there leaves the last pixel out.
        assert_eq!(row, [105, 109, 113, 0, 305, 310]);
    }

    #[test]
    fn edges_and_flat_surfaces_stay_as_they_are() {
        for magnitude in 1..=5 {
            let filter = Spatial { magnitude, ..SMOOTH };
            let image: Vec<u16> = (0..96).map(|at| if at % 12 < 6 { 1000 } else { 1021 }).collect();
            let mut smoothed = image.clone();
            filter.apply(&mut smoothed, 12);
            assert_eq!(smoothed, image);
            let image: Vec<f32> = image.iter().map(|raw| f32::from(*raw)).collect();
            let mut smoothed = image.clone();
            filter.apply_disparity(&mut smoothed, 12);
            assert_eq!(smoothed, image);
        }
    }

    #[test]
    fn noise_becomes_less_and_holes_stay_holes() {
        let noise = |at: usize| (at * 7919 % 15) as f32;
        let image: Vec<f32> = (0..400).map(|at| if at % 31 == 0 { 0.0 } else { 500.0 + noise(at) }).collect();
        let spread = |image: &[f32]| {
            let valid: Vec<f32> = image.iter().copied().filter(|value| *value > 0.0).collect();
            let mean = valid.iter().sum::<f32>() / valid.len() as f32;
            valid.iter().map(|value| (value - mean).powi(2)).sum::<f32>()
        };
        let mut smoothed = image.clone();
        Spatial { magnitude: 2, ..SMOOTH }.apply_disparity(&mut smoothed, 20);
        assert!(spread(&smoothed) < spread(&image) / 4.0, "{} {}", spread(&smoothed), spread(&image));
        assert!(image.iter().zip(&smoothed).all(|(before, after)| (*before == 0.0) == (*after == 0.0)));
    }

    #[test]
    fn holes_are_filled_as_far_as_the_radius_reaches() {
        let filter = Spatial { alpha: 1.0, fill_radius: Spatial::fill_radius(2), ..SMOOTH };
        let mut row = [7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 90.0];
        filter.apply_disparity(&mut row, 9);
        assert_eq!(row, [7.0, 7.0, 7.0, 7.0, 0.0, 90.0, 90.0, 90.0, 90.0]);
        let mut row = [700, 0, 0, 0, 0, 0, 0, 0, 900];
        filter.apply(&mut row, 9);
        assert_eq!(row, [700, 700, 700, 700, 0, 900, 900, 900, 900]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(Spatial::fill_radius), [0, 2, 4, 8, 16, 255]);
    }

    #[test]
    fn small_images_do_no_harm() {
        for (length, width) in [(0, 0), (0, 4), (1, 1), (2, 1), (2, 2), (4, 4), (5, 3)] {
            let (mut z16, mut disparity) = (vec![3; length], vec![3.0; length]);
            SMOOTH.apply(&mut z16, width);
            SMOOTH.apply_disparity(&mut disparity, width);
            assert_eq!((z16, disparity), (vec![3; length], vec![3.0; length]), "what is even stays even");
        }
    }
}
