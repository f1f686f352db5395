//! The frame number and the capture stamp as black and white blocks in the picture's top left corner.
//!
//! 160 bits in reading order, most significant first: 64 bits sequence number, 64 bits stamp in ns, 32 bits check
//! sum. White is 1. Blocks are 8x8 pixels, smaller in small pictures, so that the code survives every pixel format
//! and a JPEG encoder; it does not survive scaling.
//!
//! Thread: any. Allocates: only when reading MJPG. Blocks: no. Locks: no. Syscalls: no.

use super::config::random;
use crate::features::FrameView;
use crate::frame::{FrameFormat, PixelFormat};
use crate::units::MonoTime;

pub(super) const BITS: u32 = 160;
pub(super) const BLACK: u8 = 16;
pub(super) const WHITE: u8 = 235;

/// Where the blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Side of a block in pixels.
    pub block: u32,
    /// Blocks in a row.
    pub columns: u32,
    /// Rows of blocks.
    pub rows: u32,
}

impl Layout {
    /// The largest blocks whose code takes at most half the picture, or all of it for the smallest blocks.
    /// None if the picture is too small.
    pub fn of(format: &FrameFormat) -> Option<Self> {
        let sizes: &[u32] = match format.pixel {
            // A JPEG codes blocks of 8x8; only those stay exact.
            PixelFormat::Mjpeg => &[8],
            _ => &[8, 4, 2, 1],
        };
        sizes.iter().find_map(|&block| {
            let columns = (format.width / block).min(BITS);
            if columns == 0 {
                return None;
            }
            let rows = BITS.div_ceil(columns);
            let room = if block == sizes[sizes.len() - 1] {
                format.height
            } else {
                format.height / 2
            };
            (rows * block <= room).then_some(Self {
                block,
                columns,
                rows,
            })
        })
    }

    /// Pixels from the top that the code takes.
    pub fn height(&self) -> u32 {
        self.rows * self.block
    }
}

/// The bits of a frame number and a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub seq: u64,
    pub stamp: u64,
    pub check: u32,
}

impl Code {
    pub fn new(seq: u64, captured: MonoTime) -> Self {
        let stamp = captured.0.cast_unsigned();
        Self {
            seq,
            stamp,
            check: check(seq, stamp),
        }
    }

    /// The same code with a check sum that cannot be right, for frames that are to be damaged.
    pub fn damaged(mut self) -> Self {
        self.check ^= 0xFFFF_FFFF;
        self
    }

    pub fn bit(&self, index: u32) -> bool {
        let (word, shift) = match index {
            0..64 => (self.seq, 63 - index),
            64..128 => (self.stamp, 127 - index),
            _ => (u64::from(self.check), 159 - index.min(159)),
        };
        word >> shift & 1 == 1
    }

    fn from_bits(bits: impl Iterator<Item = bool>) -> Self {
        let mut words = [0u64; 3];
        for (index, bit) in bits.enumerate() {
            let word = &mut words[index / 64];
            *word = *word << 1 | u64::from(bit);
        }
        Self {
            seq: words[0],
            stamp: words[1],
            check: (words[2] & 0xFFFF_FFFF) as u32,
        }
    }

    /// The number and the stamp, if the check sum fits.
    fn read(self) -> Option<(u64, MonoTime)> {
        (self.check == check(self.seq, self.stamp))
            .then_some((self.seq, MonoTime(self.stamp.cast_signed())))
    }
}

fn check(seq: u64, stamp: u64) -> u32 {
    (random(seq, 0x5EED, stamp) >> 32) as u32
}

/// Reads the sequence number and the capture stamp back out of a synthetic frame's pixels. None if the picture
/// carries no code, is damaged, or has too few bytes.
///
/// The stamp is the true instant of exposure, also where the driver's stamp was made to lie in the future.
pub fn embedded(frame: FrameView<'_>) -> Option<(u64, MonoTime)> {
    let format = frame.meta.format;
    if format.pixel == PixelFormat::Mjpeg {
        return read_jpeg(frame.bytes);
    }
    read(&format, frame.bytes)
}

fn read(format: &FrameFormat, bytes: &[u8]) -> Option<(u64, MonoTime)> {
    if bytes.len() < format.frame_bytes() {
        return None;
    }
    read_blocks(format, &Layout::of(format)?, bytes)
}

fn read_jpeg(jpeg: &[u8]) -> Option<(u64, MonoTime)> {
    use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
    // A JPEG that was cut off would still decode to a picture with its code intact.
    if !jpeg.ends_with(&[0xFF, 0xD9]) {
        return None;
    }
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let grey = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let layout = Layout::of(&FrameFormat::packed(PixelFormat::Mjpeg, width, height))?;
    read_blocks(
        &FrameFormat::packed(PixelFormat::Grey, width, height),
        &layout,
        &grey,
    )
}

fn read_blocks(format: &FrameFormat, layout: &Layout, bytes: &[u8]) -> Option<(u64, MonoTime)> {
    let bits = (0..BITS).map(|index| {
        let x = index % layout.columns * layout.block;
        let y = index / layout.columns * layout.block;
        mean_luma(format, bytes, x, y, layout.block) >= 128
    });
    Code::from_bits(bits).read()
}

/// The mean brightness of a block; of green for RGB.
fn mean_luma(format: &FrameFormat, bytes: &[u8], x: u32, y: u32, side: u32) -> u32 {
    let (pixel_bytes, offset) = match format.pixel {
        PixelFormat::Yuyv => (2, 0),
        PixelFormat::Uyvy => (2, 1),
        PixelFormat::Rgb24 => (3, 1),
        PixelFormat::Nv12 | PixelFormat::Grey | PixelFormat::Mjpeg => (1, 0),
    };
    let mut sum = 0;
    for row in y..y + side {
        let start = row as usize * format.stride as usize;
        for column in x..x + side {
            sum += u32::from(bytes[start + column as usize * pixel_bytes + offset]);
        }
    }
    sum / (side * side)
}
