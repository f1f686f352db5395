//! From the driver's description of its colours to the matrix and range that turn them into RGB.
//!
//! A driver may leave the encoding and the quantisation at "default"; what that means is laid down in the
//! kernel's `V4L2_MAP_YCBCR_ENC_DEFAULT` and `V4L2_MAP_QUANTIZATION_DEFAULT` (videodev2.h), followed here.

use v4l::v4l_sys as sys;

use crate::frame::{Matrix, PixelFormat, Range};

/// The matrix for frames of this format. BT.2020 and SMPTE 240M have no matrix of their own here and get
/// BT.709's, the nearest.
pub(super) fn matrix(pixel: PixelFormat, pix: &sys::v4l2_pix_format) -> Matrix {
    // JFIF knows one matrix, whatever the driver says about the sensor.
    if pixel == PixelFormat::Mjpeg {
        return Matrix::Bt601;
    }
    // SAFETY: both members of the union are the same integer.
    match unsafe { pix.__bindgen_anon_1.ycbcr_enc } {
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT => default_matrix(pix.colorspace),
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV709
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020_CONST_LUM
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_SMPTE240M => Matrix::Bt709,
        _ => Matrix::Bt601,
    }
}

fn default_matrix(colour_space: u32) -> Matrix {
    match colour_space {
        sys::v4l2_colorspace_V4L2_COLORSPACE_REC709
        | sys::v4l2_colorspace_V4L2_COLORSPACE_DCI_P3
        | sys::v4l2_colorspace_V4L2_COLORSPACE_BT2020
        | sys::v4l2_colorspace_V4L2_COLORSPACE_SMPTE240M => Matrix::Bt709,
        _ => Matrix::Bt601,
    }
}

/// The range of frames of this format.
pub(super) fn range(pixel: PixelFormat, pix: &sys::v4l2_pix_format) -> Range {
    if pixel == PixelFormat::Mjpeg {
        return Range::Full;
    }
    match pix.quantization {
        sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => Range::Full,
        sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => Range::Limited,
        // The macro has limited range for grey as for all luma; sensors, and vivid, give all 256 levels.
        _ if matches!(pixel, PixelFormat::Rgb24 | PixelFormat::Grey) => Range::Full,
        _ if pix.colorspace == sys::v4l2_colorspace_V4L2_COLORSPACE_JPEG => Range::Full,
        _ => Range::Limited,
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::Plain;
    use super::*;

    fn pix(colour_space: u32, encoding: u32, quantisation: u32) -> sys::v4l2_pix_format {
        let mut pix = sys::v4l2_pix_format::zeroed();
        pix.colorspace = colour_space;
        pix.__bindgen_anon_1.ycbcr_enc = encoding;
        pix.quantization = quantisation;
        pix
    }

    /// The rows are read off the two macros in videodev2.h.
    #[test]
    fn defaults_follow_the_kernels_macros() {
        use sys::*;
        let rows = [
            (
                v4l2_colorspace_V4L2_COLORSPACE_SRGB,
                Matrix::Bt601,
                Range::Limited,
            ),
            (
                v4l2_colorspace_V4L2_COLORSPACE_SMPTE170M,
                Matrix::Bt601,
                Range::Limited,
            ),
            (
                v4l2_colorspace_V4L2_COLORSPACE_470_SYSTEM_BG,
                Matrix::Bt601,
                Range::Limited,
            ),
            (
                v4l2_colorspace_V4L2_COLORSPACE_JPEG,
                Matrix::Bt601,
                Range::Full,
            ),
            (
                v4l2_colorspace_V4L2_COLORSPACE_REC709,
                Matrix::Bt709,
                Range::Limited,
            ),
            (
                v4l2_colorspace_V4L2_COLORSPACE_DCI_P3,
                Matrix::Bt709,
                Range::Limited,
            ),
        ];
        for (space, wanted_matrix, wanted_range) in rows {
            let pix = pix(space, 0, 0);
            assert_eq!(
                matrix(PixelFormat::Yuyv, &pix),
                wanted_matrix,
                "space {space}"
            );
            assert_eq!(
                range(PixelFormat::Yuyv, &pix),
                wanted_range,
                "space {space}"
            );
        }
    }

    #[test]
    fn what_the_driver_states_wins_over_the_default() {
        let hd_as_601 = pix(
            sys::v4l2_colorspace_V4L2_COLORSPACE_REC709,
            sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601,
            sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE,
        );
        assert_eq!(matrix(PixelFormat::Nv12, &hd_as_601), Matrix::Bt601);
        assert_eq!(range(PixelFormat::Nv12, &hd_as_601), Range::Full);
        let limited_rgb = pix(
            sys::v4l2_colorspace_V4L2_COLORSPACE_SRGB,
            0,
            sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE,
        );
        assert_eq!(range(PixelFormat::Rgb24, &limited_rgb), Range::Limited);
    }

    #[test]
    fn jpeg_frames_are_jfif_whatever_the_driver_says() {
        let wrong = pix(
            sys::v4l2_colorspace_V4L2_COLORSPACE_REC709,
            sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709,
            sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE,
        );
        assert_eq!(matrix(PixelFormat::Mjpeg, &wrong), Matrix::Bt601);
        assert_eq!(range(PixelFormat::Mjpeg, &wrong), Range::Full);
    }

    #[test]
    fn rgb_and_grey_are_full_range_by_default() {
        assert_eq!(range(PixelFormat::Rgb24, &pix(0, 0, 0)), Range::Full);
        assert_eq!(range(PixelFormat::Grey, &pix(0, 0, 0)), Range::Full);
    }
}
