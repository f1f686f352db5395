//! The picture of a synthetic camera: a seeded background painted once into every slot, and the few pixels that
//! change from frame to frame: the code in the corner and a square that moves.
//!
//! A real driver's DMA costs the processor nothing, so drawing a frame must cost next to nothing either: a 1080p
//! frame writes 60 KB of its 4 MB.
//!
//! Thread: capture. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use super::code::{BITS, BLACK, Code, Layout, WHITE};
use super::config::random;
use crate::frame::{FrameFormat, PixelFormat};

/// Salts of the background's texture and colours.
const TEXTURE: u64 = 100;
const COLOUR: u64 = 101;
/// Pixels (blocks, for MJPG) that the square moves from one frame to the next, across and down.
pub(super) const STEP: (u64, u64) = (14, 6);

/// Where the moving square is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Square {
    pub x: u32,
    pub y: u32,
}

/// Draws frames of one uncompressed format. Bytes past the last row's pixels (padding) stay as the background left them.
#[derive(Debug)]
pub(super) struct Pattern {
    format: FrameFormat,
    layout: Layout,
    background: Vec<u8>,
    /// Side of the square; 0 if the picture has no room for one.
    side: u32,
}

impl Pattern {
    /// `layout` is that of `format`, which is not MJPG.
    pub fn new(format: FrameFormat, layout: Layout, seed: u64) -> Self {
        let room = format.width.min(format.height - layout.height());
        let mut pattern = Self {
            format,
            layout,
            background: vec![0; format.frame_bytes()],
            side: (room / 4).min(64) & !1,
        };
        pattern.paint_background(seed);
        pattern
    }

    /// Bytes of every frame.
    pub fn frame_bytes(&self) -> usize {
        self.background.len()
    }

    /// Paints a whole slot; before the first frame.
    pub fn paint(&self, bytes: &mut [u8]) {
        bytes[..self.background.len()].copy_from_slice(&self.background);
    }

    /// Turns the frame in `bytes`, painted before and last drawn with its square at `was`, into this one.
    pub fn draw(&self, bytes: &mut [u8], was: Option<Square>, code: &Code) -> Option<Square> {
        if let Some(was) = was {
            self.restore(bytes, was);
        }
        self.draw_code(bytes, code);
        let square = self.square(code.seq)?;
        let rows = square.y..square.y + self.side;
        for row in rows {
            let span = self.span(square.x, row, self.side);
            self.fill(&mut bytes[span], WHITE);
        }
        Some(square)
    }

    /// Where the square is in frame `seq`: it wraps around, below the code.
    fn square(&self, seq: u64) -> Option<Square> {
        if self.side == 0 {
            return None;
        }
        let top = self.layout.height();
        Some(Square {
            x: wrap(seq, STEP.0, self.format.width - self.side) & !1,
            y: top + wrap(seq, STEP.1, self.format.height - top - self.side),
        })
    }

    fn restore(&self, bytes: &mut [u8], square: Square) {
        for row in square.y..square.y + self.side {
            let span = self.span(square.x, row, self.side);
            bytes[span.clone()].copy_from_slice(&self.background[span]);
        }
    }

    fn draw_code(&self, bytes: &mut [u8], code: &Code) {
        let Layout {
            block,
            columns,
            rows,
        } = self.layout;
        for block_row in 0..rows {
            let first = block_row * columns;
            let count = columns.min(BITS - first);
            let y = block_row * block;
            for column in 0..count {
                let luma = if code.bit(first + column) {
                    WHITE
                } else {
                    BLACK
                };
                let span = self.span(column * block, y, block);
                self.fill(&mut bytes[span], luma);
            }
            // The block's other rows are the same bytes.
            let span = self.span(0, y, count * block);
            for row in y + 1..y + block {
                let start = self.span(0, row, 0).start;
                bytes.copy_within(span.clone(), start);
            }
        }
    }

    /// The bytes of `width` pixels of the first plane. Formats that share colour need no even `x` here: each of
    /// their pixels has two bytes of its own.
    fn span(&self, x: u32, row: u32, width: u32) -> std::ops::Range<usize> {
        let pixel_bytes = match self.format.pixel {
            PixelFormat::Yuyv | PixelFormat::Uyvy => 2,
            PixelFormat::Rgb24 => 3,
            PixelFormat::Nv12 | PixelFormat::Grey | PixelFormat::Mjpeg => 1,
        };
        let start = row as usize * self.format.stride as usize + x as usize * pixel_bytes;
        start..start + width as usize * pixel_bytes
    }

    /// Makes whole pixels this bright and colourless.
    fn fill(&self, pixels: &mut [u8], luma: u8) {
        let pair = match self.format.pixel {
            PixelFormat::Yuyv => [luma, 128],
            PixelFormat::Uyvy => [128, luma],
            _ => return pixels.fill(luma),
        };
        for pixel in pixels.as_chunks_mut::<2>().0 {
            *pixel = pair;
        }
    }

    fn paint_background(&mut self, seed: u64) {
        let FrameFormat { width, height, .. } = self.format;
        for y in 0..height {
            for x in 0..width {
                self.put(x, y, colour(seed, x, y, width, height));
            }
        }
        if self.format.pixel == PixelFormat::Nv12 {
            self.paint_chroma(seed);
        }
    }

    fn put(&mut self, x: u32, y: u32, [luma, cb, cr]: [u8; 3]) {
        let span = self.span(x, y, 1);
        let pixel = &mut self.background[span];
        let chroma = if x.is_multiple_of(2) { cb } else { cr };
        match self.format.pixel {
            PixelFormat::Yuyv => pixel.copy_from_slice(&[luma, chroma]),
            PixelFormat::Uyvy => pixel.copy_from_slice(&[chroma, luma]),
            PixelFormat::Rgb24 => pixel.copy_from_slice(&rgb(luma, cb, cr)),
            PixelFormat::Nv12 | PixelFormat::Grey | PixelFormat::Mjpeg => pixel[0] = luma,
        }
    }

    /// NV12's second plane: one Cb and Cr for 2x2 pixels. Colourless under the code, which only draws luma.
    fn paint_chroma(&mut self, seed: u64) {
        let FrameFormat {
            width,
            height,
            stride,
            ..
        } = self.format;
        for y in 0..height / 2 {
            let row = (height + y) as usize * stride as usize;
            for x in 0..width / 2 {
                let [_, cb, cr] = colour(seed, x * 2, y * 2, width, height);
                let chroma = if y * 2 < self.layout.height() {
                    [128, 128]
                } else {
                    [cb, cr]
                };
                let at = row + x as usize * 2;
                self.background[at..at + 2].copy_from_slice(&chroma);
            }
        }
    }
}

/// A position from 0 to `room` that moves on by `step` a frame and wraps around.
pub(super) fn wrap(seq: u64, step: u64, room: u32) -> u32 {
    let position = seq.wrapping_mul(step) % (u64::from(room) + 1);
    u32::try_from(position).expect("at most `room`")
}

/// Y, Cb, Cr of the background: a diagonal ramp with a texture of 16-pixel tiles, coloured in 64-pixel tiles.
pub(super) fn colour(seed: u64, x: u32, y: u32, width: u32, height: u32) -> [u8; 3] {
    let tile = |size: u32| u64::from(y / size) << 32 | u64::from(x / size);
    let ramp = 100 * u64::from(x + y) / u64::from(width + height);
    let texture = random(seed, TEXTURE, tile(16)) % 60;
    let [cb, cr, ..] = random(seed, COLOUR, tile(64)).to_le_bytes();
    // 32 + 100 + 60 < 235, and chroma stays within 64 ..= 191, so every colour is legal in limited range.
    [
        u8::try_from(32 + ramp + texture).unwrap_or(u8::MAX),
        64 + cb / 2,
        64 + cr / 2,
    ]
}

/// BT.601 limited range to RGB, in 1/256.
pub(super) fn rgb(luma: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = 298 * (i32::from(luma) - 16);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let byte = |v: i32| u8::try_from(((v + 128) >> 8).clamp(0, 255)).unwrap_or(0);
    [
        byte(y + 409 * cr),
        byte(y - 100 * cb - 208 * cr),
        byte(y + 516 * cb),
    ]
}
