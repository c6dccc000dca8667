//! Hole filling: a hole takes the value of a neighbour.

/// Which neighbour a hole takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleFilling {
    /// The left one.
    FromLeft,
    /// The farthest of the five that come before it (left, above left, above, below left, below).
    FarthestAround,
    /// The nearest of the same five. As in the SDK, only where there is depth above.
    NearestAround,
}

impl HoleFilling {
    /// Fills holes of an image of whole rows of `width`.
    pub fn apply(self, image: &mut [u16], width: usize) {
        if width < 2 {
            return;
        }
        match self {
            Self::FromLeft => {
                for row in image.chunks_exact_mut(width) {
                    let mut last = row[0];
                    for raw in &mut row[1..] {
                        last = if *raw == 0 { last } else { *raw };
                        *raw = last;
                    }
                }
            }
            Self::FarthestAround => around(image, width, |above, others| others.into_iter().fold(above, u16::max)),
            Self::NearestAround => {
                around(image, width, |above, others| others.into_iter().filter(|raw| *raw != 0).fold(above, u16::min))
            }
        }
    }
}

/// Fills each hole, but for those of the first column, the first and the last row, from the one above it and from above
/// left, left, below left, below. What was filled counts for the holes after it.
fn around(image: &mut [u16], width: usize, choose: impl Fn(u16, [u16; 4]) -> u16) {
    let height = image.len() / width;
    for y in 1..height.saturating_sub(1) {
        let (before, rest) = image.split_at_mut(y * width);
        let above = &before[(y - 1) * width..];
        let (row, below) = rest.split_at_mut(width);
        for x in 1..width {
            if row[x] == 0 {
                row[x] = choose(above[x], [above[x - 1], row[x - 1], below[x - 1], below[x]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const IMAGE: [u16; 12] = [
        5, 6, 0, 8,
        4, 0, 0, 9,
        3, 7, 2, 0,
    ];

    fn filled(mode: HoleFilling) -> Vec<u16> {
        let mut image = IMAGE.to_vec();
        mode.apply(&mut image, 4);
        image
    }

    #[test]
    fn each_mode_takes_its_neighbour() {
        #[rustfmt::skip]
        assert_eq!(filled(HoleFilling::FromLeft), [
            5, 6, 6, 8,
            4, 4, 4, 9,
            3, 7, 2, 2,
        ]);
        // (1,1): of 6 5 4 3 7 the farthest; (2,1): of 0 6 7 7 2.
        #[rustfmt::skip]
        assert_eq!(filled(HoleFilling::FarthestAround), [
            5, 6, 0, 8,
            4, 7, 7, 9,
            3, 7, 2, 0,
        ]);
        // (1,1): the nearest of the same; (2,1) has nothing above it and stays a hole.
        #[rustfmt::skip]
        assert_eq!(filled(HoleFilling::NearestAround), [
            5, 6, 0, 8,
            4, 3, 0, 9,
            3, 7, 2, 0,
        ]);
    }

    #[test]
    fn small_images_do_no_harm() {
        for mode in [HoleFilling::FromLeft, HoleFilling::FarthestAround, HoleFilling::NearestAround] {
            for (length, width) in [(0, 0), (0, 4), (1, 1), (2, 2), (4, 4), (4, 1)] {
                let mut picture = vec![0; length];
                mode.apply(&mut picture, width);
                assert_eq!(picture, vec![0; length], "{mode:?} has nothing to fill holes with at {length} / {width}");
            }
        }
    }
}
