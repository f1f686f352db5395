//! JPEG pictures: their size, and their pixels as RGB.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::clip::{SIDE_MAX, checked_size};

/// What every JPEG begins with: start of image, and a marker.
pub(super) const START: [u8; 3] = [0xFF, 0xD8, 0xFF];

fn decoder(bytes: &[u8]) -> JpegDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_max_width(SIDE_MAX as usize)
        .set_max_height(SIDE_MAX as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

/// Width and height. `bytes` may end after the headers.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut decoder = decoder(bytes);
    decoder.decode_headers().ok()?;
    let (width, height) = decoder.dimensions()?;
    checked_size(width as u64, height as u64)
}

/// Decodes into rows of RGB without padding. None if the picture is damaged or not exactly as large as `out`.
pub(super) fn decode_rgb(bytes: &[u8], out: &mut [u8]) -> Option<()> {
    let mut decoder = decoder(bytes);
    decoder.decode_headers().ok()?;
    if decoder.output_buffer_size()? != out.len() {
        return None;
    }
    decoder.decode_into(out).ok()
}
