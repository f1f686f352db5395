//! Pictures in the kernels' layout.
//!
//! A picture stands as `[row][block][pixel][lane]` with an edge of zeros around it. So the window of a pixel is a walk in equal
//! steps, over the blocks of its first row, then those of the second: dense convolutions of every size are products
//! that read it in place. And the rows of all channels are neighbours, which is what lets stages take turns strip by strip.
//! A lane is a word: an f32, or two bf16 or four bytes of neighbouring channels. What the network is given stands as
//! `[row][pixel][red, green, blue]` instead, which its first convolution reads.

use std::ops::Range;

use super::super::kernels::memory::SharedMut;
use super::super::kernels::pointwise::Precision;
use super::super::kernels::winograd::{self, Picture};
use super::super::kernels::{Isa, bf16, round};
use super::super::network::{Rows, Window};
use super::blocked::from_rows;
use super::{Source, Tensor};

/// Channels of a block at most: 16 words of four bytes.
pub const PER_BLOCK_MAX: usize = 64;

/// A picture with its edge.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    pub height: usize,
    pub width: usize,
    /// Rows and columns of zeros on each side.
    pub edge: usize,
    pub channels: usize,
    pub lanes: usize,
    /// Channels of a lane, which is a word: one f32, two bf16 or f16, or four bytes.
    pub per_lane: usize,
    precision: Precision,
    /// Red, green and blue of a pixel are neighbours: there are no blocks.
    pub is_interleaved: bool,
    /// Rows that there is room for, those of the edge among them. Where it is less than all, a row takes the place of the
    /// one that came so many before it.
    pub room: usize,
}

impl Canvas {
    /// One with room for all of its rows.
    pub fn new(isa: Isa, rows: Rows, channels: usize, edge: usize, is_interleaved: bool) -> Self {
        let Rows::Picture { height, width } = rows else {
            unreachable!("the description checks which values are pictures")
        };
        Self {
            height,
            width,
            edge,
            channels,
            lanes: isa.lanes(),
            per_lane: 1,
            precision: Precision::F32,
            is_interleaved,
            room: height + 2 * edge,
        }
    }

    pub fn of_precision(self, precision: Precision) -> Self {
        Self {
            per_lane: precision.columns_per_word(),
            precision,
            ..self
        }
    }

    pub fn with_room(self, rows: usize) -> Self {
        Self {
            room: self.room.min(rows),
            ..self
        }
    }

    pub fn of(isa: Isa, x: &Source) -> Self {
        Self::new(isa, x.rows, x.columns, x.edge, x.is_interleaved)
            .of_precision(x.precision)
            .with_room(x.room)
    }

    pub fn precision(self) -> Precision {
        self.precision
    }

    /// Blocks of words.
    pub fn blocks(self) -> usize {
        match self.is_interleaved {
            true => 1,
            false => self.channels.div_ceil(self.per_lane * self.lanes),
        }
    }

    /// Channels of a pixel in one block, and what fills it up.
    pub fn numbers(self) -> usize {
        match self.is_interleaved {
            true => self.channels,
            false => self.per_lane * self.lanes,
        }
    }

    /// Words from the beginning of a line to the one that the pixel in `column` begins in, the edge counted. Where channels are
    /// neighbours that may be within a word, so many numbers behind its beginning.
    pub fn column(self, column: usize) -> (usize, usize) {
        let numbers = column * self.numbers();
        (numbers / self.per_lane, numbers % self.per_lane)
    }

    /// Words from block to block.
    pub fn block_stride(self) -> usize {
        let numbers = (self.width + 2 * self.edge) * self.numbers();
        // A window may end with a word of which the second number is not its own any more.
        numbers.div_ceil(self.per_lane) + usize::from(self.is_interleaved && self.per_lane > 1)
    }

    pub fn row_stride(self) -> usize {
        self.blocks() * self.block_stride()
    }

    /// Words that it takes.
    pub fn floats(self) -> usize {
        self.room * self.row_stride()
    }

    /// Of bytes: where the factors of its pixels stand, row by row, behind them all.
    pub fn scales(self) -> usize {
        self.floats()
    }

    /// Where a row begins: its first pixel in the first block.
    pub fn start(self, row: usize) -> usize {
        self.place(row + self.edge) + self.column(self.edge).0
    }

    /// Where a row begins, its edge included; rows count from the first of the edge.
    fn place(self, row: usize) -> usize {
        row % self.room * self.row_stride()
    }

    /// Where row `tap` of the first window of an output row begins.
    pub fn window_start(self, row: usize, window: Window, tap: usize) -> usize {
        let skip = self.skip(window);
        self.place(row * window.stride + skip + tap) + self.column(skip).0
    }

    /// Rows and columns of the edge that no window reaches.
    pub fn skip(self, window: Window) -> usize {
        self.edge - window.before
    }

    /// How many rows that windows at output row `end - 1` and before reach over, those of the edge above among them.
    fn reach(self, end: usize, window: Window) -> usize {
        let skip = self.skip(window);
        (end.max(1) - 1) * window.stride + skip + window.size
    }

    /// What windows read from output row `row` on.
    pub fn windows_from(self, values: &[f32], row: usize, window: Window) -> Picture<'_> {
        let skip = self.skip(window);
        Picture {
            values,
            precision: self.precision(),
            start: self.window_start(row, window, 0),
            height: self.height + 2 * self.edge - skip - row * window.stride,
            width: self.width + 2 * self.edge - skip,
            row_stride: self.row_stride(),
            block_stride: self.block_stride(),
        }
    }

    /// Some rows to write, and what is added to them.
    pub fn rows_from<'a>(
        self,
        values: SharedMut<'a>,
        rows: Range<usize>,
        residual: Option<&'a [f32]>,
    ) -> winograd::Canvas<'a> {
        winograd::Canvas {
            values,
            precision: self.precision(),
            start: self.start(rows.start),
            height: rows.len(),
            width: self.width,
            row_stride: self.row_stride(),
            block_stride: self.block_stride(),
            residual,
        }
    }

    /// Writes the zeros left, right and above, and if there is room for all rows, below.
    pub fn clear_edge(self, values: &mut [f32]) {
        if self.edge == 0 {
            return;
        }
        let (left, inside) = self.column(self.edge);
        let right = self.column(self.edge + self.width).0;
        for line in values[..self.floats()].chunks_exact_mut(self.block_stride()) {
            // With a word that is only partly the edge's: what else it has is written later.
            line[..left + inside.min(1)].fill(0.0);
            line[right..].fill(0.0);
        }
        self.clear_rows(0..self.edge, values);
        if self.room == self.height + 2 * self.edge {
            self.clear_rows(self.room - self.edge..self.room, values);
        }
    }

    /// Writes zeros to whole rows, which count from the first of the edge.
    fn clear_rows(self, rows: Range<usize>, values: &mut [f32]) {
        for row in rows {
            values[self.place(row)..][..self.row_stride()].fill(0.0);
        }
    }

    /// Writes the zeros below that windows reach at output rows `rows`, and did not at those before, if there were any.
    pub fn clear_below(
        self,
        rows: Range<usize>,
        window: Window,
        is_first: bool,
        values: &mut [f32],
    ) {
        let below = self.edge + self.height;
        let before = match is_first {
            true => 0,
            false => self.reach(rows.start, window),
        };
        self.clear_rows(before.max(below)..self.reach(rows.end, window), values);
    }

    /// Writes an interleaved picture.
    pub fn fill(self, isa: Isa, pixels: &[f32], values: &mut [f32]) {
        let len = self.width * self.channels;
        // The first number may be the second of its word.
        let is_within = self.column(self.edge).1 > 0;
        for (row, pixels) in pixels.chunks_exact(len).enumerate() {
            let line = &mut values[self.start(row)..];
            match self.per_lane {
                1 => line[..len].copy_from_slice(pixels),
                _ => round::run(isa, pixels, line, is_within),
            }
        }
    }

    /// The pixels of a row in one block.
    pub fn line(self, row: usize, block: usize) -> Range<usize> {
        let start = self.start(row) + block * self.block_stride();
        start..start + self.width * self.numbers() / self.per_lane
    }

    /// What fills up the last block where that is a half: zeros, because sums count them. Rows of bf16 are made by halves.
    pub fn fill_up(self, rows: Range<usize>, values: &SharedMut<'_>) {
        let half = self.lanes;
        if self.per_lane != 2 || (self.channels.div_ceil(half)).is_multiple_of(2) {
            return;
        }
        for row in rows {
            let line = self.line(row, self.blocks() - 1);
            // SAFETY: rows that the caller has written, and nobody reads yet.
            let line = unsafe { values.another() }.part(line);
            for vector in line.chunks_exact_mut(self.lanes) {
                vector[self.lanes / 2..].fill(0.0);
            }
        }
    }

    /// The numbers of a vector of words, from its first channel on.
    pub fn channels(self, vector: &[f32], mut each: impl FnMut(usize, f32)) {
        for (lane, &word) in vector.iter().enumerate() {
            match self.per_lane {
                1 => each(lane, word),
                _ => {
                    let [lower, upper] = bf16::numbers(word);
                    each(2 * lane, lower);
                    each(2 * lane + 1, upper);
                }
            }
        }
    }

    /// Writes `[row][column][channel]`.
    pub fn to_rows(self, values: &[f32], pixels: &mut [f32]) {
        let rows = pixels.chunks_exact_mut(self.width * self.channels);
        for (row, pixels) in rows.enumerate() {
            for block in 0..self.blocks() {
                let line = &values[self.line(row, block)];
                let first = block * self.numbers();
                let count = self.numbers().min(self.channels - first);
                let pixels = pixels.chunks_exact_mut(self.channels);
                for (pixel, vector) in pixels.zip(line.chunks_exact(self.lanes)) {
                    let pixel = &mut pixel[first..first + count];
                    if self.per_lane == 1 {
                        pixel.copy_from_slice(&vector[..count]);
                        continue;
                    }
                    self.channels(vector, |channel, number| {
                        if let Some(to) = pixel.get_mut(channel) {
                            *to = number;
                        }
                    });
                }
            }
        }
    }

    /// Writes the pixels, row by row, as the rows of a tensor of f32.
    pub fn to_tensor(self, values: &[f32], tensor: Tensor, to: &mut [f32]) {
        for row in 0..self.height {
            let first = row * self.width;
            if self.is_interleaved {
                from_rows(tensor, first, &values[self.line(row, 0)], to);
                continue;
            }
            for block in 0..self.blocks() {
                let line = &values[self.line(row, block)];
                let first_block = self.per_lane * block;
                let to = &mut to[first_block * tensor.pitch() + first * self.lanes..];
                if self.per_lane == 1 {
                    to[..line.len()].copy_from_slice(line);
                    continue;
                }
                for (pixel, vector) in line.chunks_exact(self.lanes).enumerate() {
                    self.channels(vector, |channel, number| {
                        let (block, lane) = (channel / self.lanes, channel % self.lanes);
                        // The last block of words may have but one of f32.
                        if first_block + block < tensor.blocks() {
                            to[block * tensor.pitch() + pixel * self.lanes + lane] = number;
                        }
                    });
                }
            }
        }
    }

    /// The mean of each channel over all pixels, as vectors of f32 `pitch` floats apart.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a picture has less than 2^24 pixels"
    )]
    pub fn mean(self, values: &[f32], pitch: usize, means: &mut [f32]) {
        let pixels = (self.height * self.width) as f32;
        for block in 0..self.blocks() {
            let mut sums = [0.0; PER_BLOCK_MAX];
            let sums = &mut sums[..self.numbers()];
            for row in 0..self.height {
                for vector in values[self.line(row, block)].chunks_exact(self.lanes) {
                    self.channels(vector, |channel, number| sums[channel] += number);
                }
            }
            let first = block * self.per_lane;
            let blocks = first..self.channels.div_ceil(self.lanes);
            for (block, sums) in blocks.zip(sums.chunks_exact(self.lanes)) {
                let means = &mut means[block * pitch..][..self.lanes];
                for (mean, sum) in means.iter_mut().zip(sums) {
                    *mean = sum / pixels;
                }
            }
        }
    }
}
