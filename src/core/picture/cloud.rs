//! The colours of a point cloud: what the colour camera sees at each point. Pure: takes slices and numbers, gives bytes.

use super::geometry;
use crate::model::{Extrinsics, Intrinsics, PixelFormat};

/// The colour of a point that the colour camera does not see: grey, which says nothing.
const UNSEEN: [u8; 3] = [128; 3];

/// A colour picture, and how points of the depth camera come to lie before its camera.
#[derive(Debug, Clone, Copy)]
pub struct ColorPicture<'a> {
    /// Tightly packed pixels.
    pub bytes: &'a [u8],
    /// Their layout.
    pub format: PixelFormat,
    /// How the camera sees.
    pub intrinsics: &'a Intrinsics,
    /// From depth to colour; `None` where depth is aligned to colour, so that its points are the colour camera's already.
    pub from_depth: Option<&'a Extrinsics>,
}

/// Red, green and blue of each point (x, y, z in metres, one after the other). `None` for a picture of a format without colour or
/// of another size than its bytes.
pub fn colors(vertices: &[f32], picture: &ColorPicture<'_>) -> Option<Vec<u8>> {
    let (width, height) = (picture.intrinsics.width, picture.intrinsics.height);
    if picture.bytes.len() != picture.format.frame_size(width, height) {
        return None;
    }
    let pixel: fn(&[u8], usize, usize, usize, usize) -> [u8; 3] = match picture.format {
        PixelFormat::Rgb8 => |bytes, width, _, x, y| packed(bytes, (y * width + x) * 3),
        PixelFormat::Bgr8 => |bytes, width, _, x, y| {
            let [blue, green, red] = packed(bytes, (y * width + x) * 3);
            [red, green, blue]
        },
        PixelFormat::Yuyv => |bytes, width, _, x, y| {
            let at = (y * width + x) * 2;
            // Two pixels share their chroma: Y0 U Y1 V.
            let pair = at - at % 4;
            bt601(bytes[at], bytes[pair + 1], bytes[pair + 3])
        },
        PixelFormat::I420 => |bytes, width, height, x, y| {
            let (half, luma) = (width.div_ceil(2), width * height);
            let chroma = luma + (y / 2) * half + x / 2;
            bt601(bytes[y * width + x], bytes[chroma], bytes[chroma + half * height.div_ceil(2)])
        },
        PixelFormat::Y8 | PixelFormat::Z16 | PixelFormat::MotionXyz32f => return None,
    };
    // An odd width of YUYV has no last pair.
    let (columns, rows) = (if picture.format == PixelFormat::Yuyv { width - width % 2 } else { width }, height);
    let color = |point: [f32; 3]| {
        let point = picture.from_depth.map_or(point, |from_depth| geometry::transform(from_depth, point));
        let [x, y] = geometry::project(picture.intrinsics, point)?;
        // Pixel (0, 0) is the middle of the first one; NaN is no pixel.
        let (x, y) = ((x + 0.5).floor(), (y + 0.5).floor());
        let inside = (0.0..columns as f32).contains(&x) && (0.0..rows as f32).contains(&y);
        inside.then(|| pixel(picture.bytes, width as usize, height as usize, x as usize, y as usize))
    };
    let points = vertices.chunks_exact(3).map(|point| [point[0], point[1], point[2]]);
    Some(points.flat_map(|point| color(point).unwrap_or(UNSEEN)).collect())
}

fn packed(bytes: &[u8], at: usize) -> [u8; 3] {
    [bytes[at], bytes[at + 1], bytes[at + 2]]
}

/// Red, green and blue of a colour in YCbCr of ITU-R BT.601 with 16 to 235 for luma, as cameras deliver it; in 8.8 fixed point.
fn bt601(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (298 * (i32::from(y) - 16), i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| ((value + 128) >> 8).clamp(0, 255) as u8;
    [byte(y + 409 * v), byte(y - 100 * u - 208 * v), byte(y + 516 * u)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Distortion;

    const COLOR: Intrinsics = Intrinsics {
        width: 4,
        height: 2,
        fx: 2.0,
        fy: 2.0,
        ppx: 1.0,
        ppy: 0.0,
        distortion: Distortion::None,
        coefficients: [0.0; 5],
    };

    fn picture<'a>(bytes: &'a [u8], format: PixelFormat, from_depth: Option<&'a Extrinsics>) -> ColorPicture<'a> {
        ColorPicture { bytes, format, intrinsics: &COLOR, from_depth }
    }

    #[test]
    fn a_point_has_the_colour_of_the_pixel_that_shows_it() {
        let rgb: Vec<u8> = (0..24).collect();
        // Pixels (1, 0), (3, 1), beside the picture, behind the camera.
        let points = [0.0, 0.0, 1.0, 1.0, 0.5, 1.0, 9.0, 0.0, 1.0, 0.0, 0.0, -1.0];
        let colored = colors(&points, &picture(&rgb, PixelFormat::Rgb8, None)).unwrap();
        assert_eq!(colored, [3, 4, 5, 21, 22, 23, 128, 128, 128, 128, 128, 128]);
        let swapped = colors(&points[..3], &picture(&rgb, PixelFormat::Bgr8, None)).unwrap();
        assert_eq!(swapped, [5, 4, 3]);
        // A camera half a metre to the left sees the point a pixel further to the right.
        let left = Extrinsics { rotation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], translation: [0.5, 0.0, 0.0] };
        assert_eq!(colors(&points[..3], &picture(&rgb, PixelFormat::Rgb8, Some(&left))).unwrap(), [6, 7, 8]);
    }

    #[test]
    fn chroma_is_that_of_bt601() {
        // White, black, and the red, green and blue of BT.601's colour bars at 100 %.
        for ([y, u, v], rgb) in [
            ([235, 128, 128], [255, 255, 255]),
            ([16, 128, 128], [0, 0, 0]),
            ([81, 90, 240], [255, 0, 0]),
            ([145, 54, 34], [0, 255, 0]),
            ([41, 240, 110], [0, 0, 255]),
        ] {
            let near = bt601(y, u, v).iter().zip(rgb).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2);
            assert!(near, "{:?} is not {rgb:?}", bt601(y, u, v));
        }
        let point = [1.0, 0.5, 1.0];
        let mut yuyv = [16, 128, 16, 128].repeat(4);
        yuyv[12..].copy_from_slice(&[16, 90, 81, 240]);
        let red = colors(&point, &picture(&yuyv, PixelFormat::Yuyv, None)).unwrap();
        let mut i420 = vec![16; 8];
        i420[7] = 81;
        i420.extend([128, 90, 128, 240]);
        assert_eq!(red, colors(&point, &picture(&i420, PixelFormat::I420, None)).unwrap());
        assert!(red[0] > 250 && red[1] < 5 && red[2] < 5, "{red:?}");
    }

    #[test]
    fn what_is_no_colour_picture_gives_no_colours() {
        assert!(colors(&[0.0; 3], &picture(&[0; 8], PixelFormat::Y8, None)).is_none());
        assert!(colors(&[0.0; 3], &picture(&[0; 23], PixelFormat::Rgb8, None)).is_none());
        let none = colors(&[f32::NAN, 0.0, 1.0], &picture(&[0; 24], PixelFormat::Rgb8, None)).unwrap();
        assert_eq!(none, UNSEEN);
    }
}
