//! From averaged camera samples to the model's input: one matrix a pixel.
//!
//! Source: ITU-R BT.601-7 and BT.709-6. With `R`, `G`, `B` in 0..=255, `Kr` and `Kb` the luma weights of red and blue,
//! and samples brought to full range:
//! `R = Y + 2(1-Kr) Cr`, `B = Y + 2(1-Kb) Cb`, `G = (Y - Kr R - Kb B) / (1-Kr-Kb)`.
//!
//! Thread: any. Allocates: no.

use crate::frame::{Matrix, PixelFormat, Range};

/// An affine map from (Y, Cb, Cr), or from (R, G, B), as stored in the frame, to RGB in 0..=255.
#[derive(Clone, Copy, Debug)]
pub struct ToRgb {
    /// Row: red, green, blue. Column: the sample.
    pub factors: [[f64; 3]; 3],
    pub offset: [f64; 3],
}

/// Black level and gain that bring a luma (or an RGB) sample to 0..=255.
fn luma_scale(range: Range) -> (f64, f64) {
    match range {
        Range::Limited => (16.0, 255.0 / 219.0),
        Range::Full => (0.0, 1.0),
    }
}

impl ToRgb {
    pub fn new(pixel: PixelFormat, matrix: Matrix, range: Range) -> Self {
        match pixel {
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Nv12 => Self::ycc(matrix, range),
            PixelFormat::Grey => {
                let (black, gain) = luma_scale(range);
                Self {
                    factors: [[gain, 0.0, 0.0]; 3],
                    offset: [-gain * black; 3],
                }
            }
            PixelFormat::Rgb24 => {
                let (black, gain) = luma_scale(range);
                Self {
                    factors: [[gain, 0.0, 0.0], [0.0, gain, 0.0], [0.0, 0.0, gain]],
                    offset: [-gain * black; 3],
                }
            }
            // The JPEG decoder has done the conversion, always at full range.
            PixelFormat::Mjpeg => Self::new(PixelFormat::Rgb24, matrix, Range::Full),
        }
    }

    fn ycc(matrix: Matrix, range: Range) -> Self {
        let (kr, kb) = match matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (black, y) = luma_scale(range);
        let c = match range {
            Range::Limited => 255.0 / 224.0,
            Range::Full => 1.0,
        };
        let (red_cr, blue_cb) = (2.0 * (1.0 - kr) * c, 2.0 * (1.0 - kb) * c);
        let kg = 1.0 - kr - kb;
        let factors = [
            [y, 0.0, red_cr],
            [y, -kb * blue_cb / kg, -kr * red_cr / kg],
            [y, blue_cb, 0.0],
        ];
        Self {
            factors,
            offset: factors.map(|[y, cb, cr]| -y * black - (cb + cr) * 128.0),
        }
    }
}

/// The last step of every output pixel: the four accumulated lanes of each plane become three normalised values.
///
/// `value = clamp(offset + sum over planes and lanes of factor * lane, low, high)`, where the factors hold the
/// division by the filter's total, the colour matrix and the division by `std`, and `low` and `high` are the
/// normalised 0 and 255. The fourth entry of each array is 0 and pads to a register.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// Plane, lane, then red, green, blue, 0.
    pub factors: [[[f32; 4]; 4]; 2],
    pub offset: [f32; 4],
    pub low: [f32; 4],
    pub high: [f32; 4],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(map: &ToRgb, sample: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|c| {
            let sum: f64 = (0..3).map(|k| map.factors[c][k] * sample[k]).sum();
            sum + map.offset[c]
        })
    }

    fn close(a: [f64; 3], b: [f64; 3], tolerance: f64) {
        for (a, b) in a.into_iter().zip(b) {
            assert!((a - b).abs() < tolerance, "{a} is not {b}");
        }
    }

    #[test]
    fn black_white_and_grey_have_no_colour() {
        for matrix in [Matrix::Bt601, Matrix::Bt709] {
            let limited = ToRgb::new(PixelFormat::Yuyv, matrix, Range::Limited);
            close(apply(&limited, [16.0, 128.0, 128.0]), [0.0; 3], 1e-9);
            close(apply(&limited, [235.0, 128.0, 128.0]), [255.0; 3], 1e-9);
            let full = ToRgb::new(PixelFormat::Nv12, matrix, Range::Full);
            close(apply(&full, [77.0, 128.0, 128.0]), [77.0; 3], 1e-9);
        }
    }

    /// The 8-bit codes of the 75 % colour bars, as tabulated for SDTV and HDTV; 180 is 16 + 0.75 * 219, rounded.
    #[test]
    fn the_75_percent_colour_bars_come_out_as_colours() {
        let bars = [
            (Matrix::Bt601, [65.0, 100.0, 212.0], [191.0, 0.0, 0.0]),
            (Matrix::Bt601, [112.0, 72.0, 58.0], [0.0, 191.0, 0.0]),
            (Matrix::Bt601, [35.0, 212.0, 114.0], [0.0, 0.0, 191.0]),
            (Matrix::Bt709, [51.0, 109.0, 212.0], [191.0, 0.0, 0.0]),
            (Matrix::Bt709, [133.0, 63.0, 52.0], [0.0, 191.0, 0.0]),
            (Matrix::Bt709, [28.0, 212.0, 120.0], [0.0, 0.0, 191.0]),
        ];
        for (matrix, sample, rgb) in bars {
            let map = ToRgb::new(PixelFormat::Uyvy, matrix, Range::Limited);
            close(apply(&map, sample), rgb, 1.6);
        }
    }
}
