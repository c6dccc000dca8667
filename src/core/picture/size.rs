//! What size of pictures encoders are given. Owns the rule; pictures are cut elsewhere, where their bytes are.

/// The size that a picture is encoded in: an odd side loses its last column or row, so that every pixel stays where it was.
/// `None` for a picture of which nothing would be left.
///
/// I420, which all the encoders take, has one colour for each two by two pixels. With odd sides x264 and several graphics cards
/// refuse it ("width not divisible by 2"); VP8 takes it, but then one stream would have two sizes.
pub fn encoded_size(width: u32, height: u32) -> Option<(u32, u32)> {
    let (width, height) = (width & !1, height & !1);
    (width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_lose_one() {
        assert_eq!(encoded_size(640, 480), Some((640, 480)));
        assert_eq!(encoded_size(321, 241), Some((320, 240)));
        assert_eq!(encoded_size(320, 3), Some((320, 2)));
        assert_eq!((encoded_size(1, 480), encoded_size(640, 1), encoded_size(0, 0)), (None, None, None));
    }
}
