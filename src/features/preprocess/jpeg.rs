//! Decodes one MJPEG frame to RGB.
//!
//! Decoding takes about twenty times as long as reading a raw frame (1080p: 5 to 10 ms), so it is done by the
//! features stage, on the frame that is used, and not by capture on every frame. Where a camera offers YUYV or NV12,
//! use that.
//!
//! Thread: features. Allocates: the decoder does, for each frame. Blocks: no. Locks: no. Syscalls: no.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::error::StepError;

/// Start of image, then the `AVI1` segment that tells a decoder to use the standard Huffman tables.
const MJPEG_START: [u8; 20] = *b"\xff\xd8\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";

/// A decoder for frames of one size.
#[derive(Debug)]
pub struct Mjpeg {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    /// A copy of a frame that has no Huffman tables, with the segment that stands for them.
    completed: Vec<u8>,
}

impl Mjpeg {
    pub fn new(width: usize, height: usize, frame_bytes: usize) -> Self {
        Self {
            width,
            height,
            rgb: vec![0; width * height * 3],
            completed: Vec::with_capacity(frame_bytes + MJPEG_START.len()),
        }
    }

    /// The picture as packed RGB. A frame of another size, cut off or damaged, is a bad frame.
    pub fn decode(&mut self, jpeg: &[u8]) -> Result<&[u8], StepError> {
        let jpeg = if has_huffman_tables(jpeg).ok_or(StepError::BadFrame)? {
            jpeg
        } else {
            // Cameras may leave the standard tables out (UVC 1.5, Motion-JPEG payload).
            self.completed.clear();
            self.completed.extend_from_slice(&MJPEG_START);
            self.completed.extend_from_slice(&jpeg[2..]);
            &self.completed
        };
        // Strict, because the lenient mode paints what is missing grey and reports success.
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(self.width)
            .set_max_height(self.height)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        decoder.decode_headers().map_err(|_| StepError::BadFrame)?;
        let info = decoder.info().ok_or(StepError::BadFrame)?;
        if (usize::from(info.width), usize::from(info.height)) != (self.width, self.height) {
            return Err(StepError::BadFrame);
        }
        decoder
            .decode_into(&mut self.rgb)
            .map_err(|_| StepError::BadFrame)?;
        Ok(&self.rgb)
    }
}

/// Looks through the segments before the picture data. None when they do not make a JPEG.
fn has_huffman_tables(jpeg: &[u8]) -> Option<bool> {
    const DEFINE_HUFFMAN: u8 = 0xc4;
    const START_OF_SCAN: u8 = 0xda;
    if jpeg.get(..2)? != [0xff, 0xd8] {
        return None;
    }
    let mut at = 2;
    // BOUND: each turn moves on by at least 1 byte and ends at the end of the frame.
    loop {
        match *jpeg.get(at..at + 2)? {
            // A fill byte.
            [0xff, 0xff] => at += 1,
            [0xff, DEFINE_HUFFMAN] => return Some(true),
            [0xff, START_OF_SCAN] => return Some(false),
            [0xff, _] => {
                let length = u16::from_be_bytes(jpeg.get(at + 2..at + 4)?.try_into().ok()?);
                at += 2 + usize::from(length.max(2));
            }
            _ => return None,
        }
    }
}
