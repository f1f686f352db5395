//! The synthetic picture as a JPEG whose parts can be rewritten in place, so that a camera of compressed frames can
//! be played without an encoder.
//!
//! Each 8x8 block has one colour, hence one DC coefficient and no other. The Huffman tables are chosen so that every
//! block takes exactly 16 bits and no byte is ever 0xFF:
//! - DC: a difference of `c` bits has a code of `10 - c` bits, which begins with 0; together 10 bits.
//! - AC: only "end of block", in 6 zero bits.
//!
//! Three components at full resolution make 6 bytes a block position, and a restart marker after each row of blocks
//! makes rows independent. So a block's bytes are at a place that follows from its position alone, and changing
//! blocks changes only them and their right neighbour (whose difference is to them).
//!
//! Source: ITU-T T.81 (baseline, sections B.2, F.1.2 and annex C), JFIF 1.02 for the colours.
//!
//! Thread: capture. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use super::code::{BITS, BLACK, Code, Layout, WHITE};
use super::pattern::{STEP, Square, colour, wrap};
use crate::frame::FrameFormat;

const BLOCK: u32 = 8;
const GREY: u8 = 128;
/// Bytes of one position: Y, Cb, Cr with 16 bits each.
const POSITION_BYTES: usize = 6;
/// Markers after a row of blocks, in turn, and after the last.
const RESTART: [u8; 8] = [0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7];
const END_OF_IMAGE: u8 = 0xD9;

/// Draws JPEG frames of one size.
#[derive(Debug)]
pub(super) struct JpegPattern {
    layout: Layout,
    /// Blocks in a row and in a column of the picture.
    columns: u32,
    rows: u32,
    header: Vec<u8>,
    /// Y, Cb, Cr of each block of the background.
    background: Vec<[u8; 3]>,
    /// Side of the moving square in blocks; 0 if there is no room.
    side: u32,
}

impl JpegPattern {
    /// `layout` is that of `format`, which is MJPG.
    pub fn new(format: FrameFormat, layout: Layout, seed: u64) -> Self {
        let FrameFormat { width, height, .. } = format;
        let (columns, rows) = (width.div_ceil(BLOCK), height.div_ceil(BLOCK));
        let background = (0..rows * columns)
            .map(|at| {
                let (x, y) = (at % columns * BLOCK, at / columns * BLOCK);
                colour(seed, x.min(width - 1), y.min(height - 1), width, height)
            })
            .collect();
        Self {
            layout,
            columns,
            rows,
            header: header(width, height, columns),
            background,
            side: (columns.min(rows - layout.rows) / 4).min(8),
        }
    }

    /// Bytes of every frame.
    pub fn frame_bytes(&self) -> usize {
        // The last row ends with the end-of-image marker in place of a restart marker.
        self.header.len() + self.rows as usize * self.row_bytes()
    }

    fn row_bytes(&self) -> usize {
        self.columns as usize * POSITION_BYTES + 2
    }

    /// Writes a whole frame without a square; before the first frame.
    pub fn paint(&self, bytes: &mut [u8], code: &Code) {
        bytes[..self.header.len()].copy_from_slice(&self.header);
        for row in 0..self.rows {
            self.write(bytes, row, 0..self.columns, code, None);
            let end = self.header.len() + (row as usize + 1) * self.row_bytes();
            let marker = if row + 1 == self.rows {
                END_OF_IMAGE
            } else {
                RESTART[row as usize % RESTART.len()]
            };
            bytes[end - 2..end].copy_from_slice(&[0xFF, marker]);
        }
    }

    /// As [`super::pattern::Pattern::draw`].
    pub fn draw(&self, bytes: &mut [u8], was: Option<Square>, code: &Code) -> Option<Square> {
        let square = self.square(code.seq);
        for row in 0..self.layout.rows {
            self.write(bytes, row, 0..self.layout.columns, code, square);
        }
        for changed in [was, square].into_iter().flatten() {
            let x = changed.x / BLOCK;
            for row in changed.y / BLOCK..changed.y / BLOCK + self.side {
                self.write(bytes, row, x..x + self.side, code, square);
            }
        }
        square
    }

    /// Where the square is in frame `seq`, on the grid of blocks, below the code.
    fn square(&self, seq: u64) -> Option<Square> {
        if self.side == 0 {
            return None;
        }
        let top = self.layout.rows;
        Some(Square {
            x: wrap(seq, STEP.0, self.columns - self.side) * BLOCK,
            y: (top + wrap(seq, STEP.1, self.rows - top - self.side)) * BLOCK,
        })
    }

    /// The colour of a block in the frame that `code` and `square` describe.
    fn block(&self, column: u32, row: u32, code: &Code, square: Option<Square>) -> [u8; 3] {
        let index = row * self.layout.columns + column;
        if row < self.layout.rows && column < self.layout.columns && index < BITS {
            let luma = if code.bit(index) { WHITE } else { BLACK };
            return [luma, GREY, GREY];
        }
        let inside = square.is_some_and(|s| {
            (s.x / BLOCK..s.x / BLOCK + self.side).contains(&column)
                && (s.y / BLOCK..s.y / BLOCK + self.side).contains(&row)
        });
        if inside {
            [WHITE, GREY, GREY]
        } else {
            self.background[(row * self.columns + column) as usize]
        }
    }

    /// Encodes these blocks of a row, and the one after them.
    fn write(
        &self,
        bytes: &mut [u8],
        row: u32,
        columns: std::ops::Range<u32>,
        code: &Code,
        square: Option<Square>,
    ) {
        let mut before = match columns.start {
            0 => [GREY; 3],
            start => self.block(start - 1, row, code, square),
        };
        let start = self.header.len()
            + row as usize * self.row_bytes()
            + columns.start as usize * POSITION_BYTES;
        let end = (columns.end + 1).min(self.columns);
        let blocks = bytes[start..].as_chunks_mut::<POSITION_BYTES>().0;
        for (column, out) in (columns.start..end).zip(blocks) {
            let colour = self.block(column, row, code, square);
            for component in 0..3 {
                let difference = i32::from(colour[component]) - i32::from(before[component]);
                out[component * 2..component * 2 + 2].copy_from_slice(&dc_and_end(difference));
            }
            before = colour;
        }
    }
}

/// A block's 16 bits: the DC difference (-255 ..= 255) and the end of the block.
fn dc_and_end(difference: i32) -> [u8; 2] {
    // T.81 F.1.2.1: the category is the number of bits of the magnitude; negative values are stored as value - 1.
    let category = 32 - difference.unsigned_abs().leading_zeros();
    let value = if difference < 0 {
        difference - 1
    } else {
        difference
    };
    let value = value.cast_unsigned() & ((1 << category) - 1);
    // Category 8 has the code 00, 7 has 010, 6 has 0110, and so on down to 0 with 0111111110.
    let code = (1 << (9 - category)) - 2;
    // The six bits of the end of the block are zero.
    let [_, _, high, low] = ((code << category | value) << 6u32).to_be_bytes();
    [high, low]
}

/// Everything before the first block.
fn header(width: u32, height: u32, columns: u32) -> Vec<u8> {
    let size = |v: u32| u16::try_from(v).expect("a picture is at most 8192 pixels wide and high");
    let mut out = Vec::new();
    let mut segment = |marker: u8, body: &[u8]| {
        out.extend([0xFF, marker]);
        if marker != 0xD8 {
            let length = u16::try_from(body.len() + 2).expect("all segments are short");
            out.extend(length.to_be_bytes());
            out.extend(body);
        }
    };
    segment(0xD8, &[]);
    segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
    // One quantisation table of eights: a DC coefficient is then the mean minus 128.
    let mut table = [8u8; 65];
    table[0] = 0;
    segment(0xDB, &table);
    let ([h1, h0], [w1, w0]) = (size(height).to_be_bytes(), size(width).to_be_bytes());
    // Three components, each with sampling 1x1 and quantisation table 0.
    segment(
        0xC0,
        &[8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0],
    );
    // DC table 0: one code of each length 2 ..= 10, for the categories 8 down to 0.
    let mut dc = vec![0x00, 0];
    dc.extend([1; 9]);
    dc.extend([0; 6]);
    dc.extend((0..=8).rev());
    segment(0xC4, &dc);
    // AC table 0: one code of length 6, for the end of a block.
    let mut ac = vec![0x10];
    ac.extend((1..=16).map(|length| u8::from(length == 6)));
    ac.push(0);
    segment(0xC4, &ac);
    segment(0xDD, &size(columns).to_be_bytes());
    segment(0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    out
}
