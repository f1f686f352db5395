//! Softmax attention: for each query the values, weighted by how well their keys fit it (Vaswani et al., "Attention Is
//! All You Need", 2017).
//!
//! Both products are those of [`pointwise`]: first the keys are the weights and the queries the pixels, then the values
//! are the weights and the scores the pixels.

use super::Isa;
use super::memory::{Aligned, SharedMut};
use super::pack::{Packed, Walk};
use super::pointwise::{self, Activation, Input, Output, Runs, Step};
use super::precision::Precision;
use super::softmax;

/// Queries whose scores are computed together. The scores of a strip stay near: 40 KB for 257 keys, and as many rows
/// are four full tiles of 9 pixels, or 6 of 6.
const STRIP_ROWS: usize = 36;

/// Some neighbouring rows of a blocked tensor, from one of its columns on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub values: &'a [f32],
    /// Words from block to block.
    pub pitch: usize,
    pub first_row: usize,
    pub rows: usize,
    /// Where a block begins.
    pub first_column: usize,
}

/// What attention needs while it runs.
#[derive(Debug)]
pub struct Attention {
    isa: Isa,
    /// Of what goes in and comes out, and of the products' factors.
    precision: Precision,
    heads: usize,
    /// Columns of each head.
    head_len: usize,
    keys: Packed,
    values: Packed,
    scores: Aligned,
    /// With bf16: the weights rounded, and a strip's output before that is.
    rounded: Aligned,
    unrounded: Aligned,
    /// What each row's weights are to be multiplied with, so that they sum to 1.
    factors: Vec<f32>,
}

impl Attention {
    /// Whether heads of so many columns each begin at a block. There is no attention in int8.
    pub fn takes(isa: Isa, precision: Precision, head_len: usize) -> bool {
        matches!(precision, Precision::F32 | Precision::Bf16)
            && head_len.is_multiple_of(isa.lanes() * precision.columns_per_word())
    }

    /// For at most `keys_max` keys, with `heads` heads of `head_len` columns each.
    ///
    /// # Panics
    /// Unless it [`takes`](Self::takes) such heads.
    pub fn new(
        isa: Isa,
        precision: Precision,
        heads: usize,
        head_len: usize,
        keys_max: usize,
    ) -> Self {
        assert!(
            Self::takes(isa, precision, head_len),
            "heads of {head_len} columns do not begin at a block"
        );
        let scores = STRIP_ROWS * isa.blocks(keys_max) * isa.lanes();
        let (rounded, unrounded) = match precision {
            Precision::F32 => (0, 0),
            Precision::F16 | Precision::Int8 => unreachable!("it takes no such heads"),
            Precision::Bf16 => (scores, STRIP_ROWS * head_len),
        };
        Self {
            isa,
            precision,
            heads,
            head_len,
            keys: Packed::with_room(isa, precision, keys_max, head_len),
            values: Packed::with_room(isa, precision, head_len, keys_max),
            scores: Aligned::zeroed(scores),
            rounded: Aligned::zeroed(rounded),
            unrounded: Aligned::zeroed(unrounded),
            factors: vec![0.0; STRIP_ROWS],
        }
    }

    pub fn heads(&self) -> usize {
        self.heads
    }

    /// For each query and head the weighted values, into the query's row of `output`, whose blocks are `pitch` words apart:
    /// the heads one after the other from column 0 on.
    ///
    /// The weight of a value is 2 to the power of the product of query and key, divided by the sum of all weights: what
    /// the product is usually multiplied with (the head's length, and the logarithm of e) must be in the queries already.
    ///
    /// # Panics
    /// If there is no key, there are more than said, or a slice is too short for what it is said to hold.
    pub fn run(
        &mut self,
        queries: Part<'_>,
        keys: Part<'_>,
        values: Part<'_>,
        output: SharedMut<'_>,
        pitch: usize,
    ) {
        for head in 0..self.heads {
            // SAFETY: the heads come one after the other.
            let output = unsafe { output.another() };
            self.head(head, queries, keys, values, output, pitch);
        }
    }

    /// As [`run`](Self::run), for one head: its columns of the output.
    pub fn head(
        &mut self,
        head: usize,
        queries: Part<'_>,
        keys: Part<'_>,
        values: Part<'_>,
        output: SharedMut<'_>,
        pitch: usize,
    ) {
        assert_eq!(keys.rows, values.rows, "a key for each value");
        assert!(head < self.heads, "no head {head}");
        let column = head * self.head_len;
        self.pack_keys(keys, column);
        self.pack_values(values, column);
        let end = queries.first_row + queries.rows;
        for first_row in (queries.first_row..end).step_by(STRIP_ROWS) {
            let rows = STRIP_ROWS.min(end - first_row);
            let strip = Part {
                first_row,
                rows,
                ..queries
            };
            self.strip(strip, column, &output, pitch);
        }
    }

    /// Columns of a block.
    fn block_len(&self) -> usize {
        self.isa.lanes() * self.precision.columns_per_word()
    }

    /// Where the head that begins at `column` has its block `block`, from the part's first row on.
    fn block<'a>(&self, part: Part<'a>, column: usize, block: usize) -> &'a [f32] {
        let lanes = self.isa.lanes();
        let block = (part.first_column + column) / self.block_len() + block;
        &part.values[block * part.pitch + part.first_row * lanes..][..part.rows * lanes]
    }

    /// One output for each key, a step for each word of the head's columns.
    fn pack_keys(&mut self, part: Part<'_>, column: usize) {
        let (lanes, rows) = (self.isa.lanes(), part.rows);
        let walk = Walk::columns(self.isa, self.precision, self.head_len);
        self.keys.cut(walk, rows, STRIP_ROWS);
        for block in 0..walk.segments {
            let keys = self.block(part, column, block);
            for &panel in &self.keys.panels {
                let width = panel.blocks * lanes;
                let first = panel.first_block * lanes;
                let existing = &keys[first * lanes..rows.min(first + width) * lanes];
                let steps = panel.offset + block * lanes * width;
                let steps = &mut self.keys.weights[steps..][..lanes * width];
                for (step, row) in steps.chunks_exact_mut(width).enumerate() {
                    let (row, rest) = row.split_at_mut(existing.len() / lanes);
                    for (to, key) in row.iter_mut().zip(existing.chunks_exact(lanes)) {
                        *to = key[step];
                    }
                    // Not what an earlier head left there, which may have been a NaN.
                    rest.fill(0.0);
                }
            }
        }
        // The lanes behind the last key are no keys: they weigh nothing.
        self.keys.bias[..rows].fill(0.0);
        self.keys.bias[rows..self.isa.blocks(rows) * lanes].fill(f32::NEG_INFINITY);
    }

    /// One output for each of the head's columns, a step for each word of keys.
    fn pack_values(&mut self, part: Part<'_>, column: usize) {
        let lanes = self.isa.lanes();
        let walk = Walk::columns(self.isa, self.precision, part.rows);
        self.values.cut(walk, self.head_len, STRIP_ROWS);
        for output in 0..self.head_len / lanes {
            let panels = &mut self.values.panels.iter();
            let Some(&panel) = panels.find(|panel| panel.range().contains(&output)) else {
                unreachable!("the panels cover all blocks")
            };
            let half = output % self.precision.columns_per_word();
            let block = output / self.precision.columns_per_word();
            let values = self.block(part, column, block);
            let width = panel.blocks * lanes;
            let steps = &mut self.values.weights[panel.offset..][..walk.total() * width];
            let rows = steps.chunks_exact_mut(width);
            let rows = rows.map(|row| &mut row[(output - panel.first_block) * lanes..][..lanes]);
            match self.precision {
                Precision::F32 | Precision::F16 | Precision::Int8 => {
                    for (row, value) in rows.zip(values.chunks_exact(lanes)) {
                        row.copy_from_slice(value);
                    }
                }
                Precision::Bf16 => {
                    let half = half * lanes / 2..(half + 1) * lanes / 2;
                    for (row, pair) in rows.zip(values.chunks(2 * lanes)) {
                        let (first, second) = pair.split_at(lanes);
                        interleave(&first[half.clone()], second.get(half.clone()), row);
                    }
                }
            }
        }
    }

    /// Some queries of one head.
    fn strip(&mut self, queries: Part<'_>, column: usize, output: &SharedMut<'_>, pitch: usize) {
        let (isa, lanes, rows) = (self.isa, self.isa.lanes(), queries.rows);
        let first = (queries.first_column + column) / self.block_len() * queries.pitch;
        let near = rows * lanes;
        pointwise::run(
            &self.keys,
            &self.keys.panels,
            Activation::None,
            Runs::one(rows),
            from(
                queries.values,
                first + queries.first_row * lanes,
                queries.pitch,
            ),
            &mut to((&mut self.scores).into(), 0, near, lanes),
        );
        let scores = softmax::Shape {
            rows,
            blocks: self.keys.blocks(),
            pitch: near,
        };
        let weighted = |pitch: usize| softmax::Shape {
            rows,
            blocks: self.head_len / lanes,
            pitch,
        };
        let place = column / self.block_len() * pitch + queries.first_row * lanes;
        let (values, panels) = (&self.values, &self.values.panels);
        let (none, runs) = (Activation::None, Runs::one(rows));
        match self.precision {
            Precision::F32 | Precision::F16 | Precision::Int8 => {
                softmax::run(isa, scores, &mut self.scores, &mut self.factors, None);
                let weights = from(&self.scores, 0, near);
                // SAFETY: of these two the first is gone when the second is used; and the caller has the other.
                let sums = unsafe { output.another() };
                let sums = &mut to(sums, place, pitch, lanes);
                pointwise::run(values, panels, none, runs, weights, sums);
                // SAFETY: as above.
                let sums = unsafe { output.another() }.skip(place);
                softmax::scale(isa, weighted(pitch), sums, &self.factors, None);
            }
            Precision::Bf16 => {
                let rounded = softmax::Rounded {
                    words: (&mut self.rounded).into(),
                    pitch: near,
                };
                let factors = &mut self.factors;
                softmax::run(isa, scores, &mut self.scores, factors, Some(rounded));
                let weights = from(&self.rounded, 0, near);
                let sums = &mut to((&mut self.unrounded).into(), 0, near, lanes);
                pointwise::run(values, panels, none, runs, weights, sums);
                let rounded = softmax::Rounded {
                    // SAFETY: the only one of this strip.
                    words: unsafe { output.another() }.skip(place),
                    pitch,
                };
                let sums = (&mut self.unrounded).into();
                softmax::scale(isa, weighted(near), sums, &self.factors, Some(rounded));
            }
        }
    }
}

/// Rows of a blocked tensor, from the word `start` on.
fn from(values: &[f32], start: usize, pitch: usize) -> Input<'_> {
    Input {
        values,
        start,
        step: Step::Block,
        segment_stride: pitch,
        run_stride: 0,
        scales: None,
    }
}

/// As [`from`], where f32 go.
fn to(values: SharedMut<'_>, start: usize, pitch: usize, lanes: usize) -> Output<'_> {
    Output {
        values,
        precision: Precision::F32,
        start,
        pixel_stride: lanes,
        block_stride: pitch,
        run_stride: 0,
        residual: None,
    }
}

/// Two rows of words of neighbouring columns become one of words of neighbouring rows; a row that is not there is zeros.
fn interleave(first: &[f32], second: Option<&[f32]>, words: &mut [f32]) {
    let second = second.into_iter().flatten().copied();
    let second = second.chain(std::iter::repeat(0.0));
    for ((pair, &a), b) in words
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(first)
        .zip(second)
    {
        let (a, b) = (a.to_bits(), b.to_bits());
        *pair = [a & 0xffff | b << 16, a >> 16 | b & !0xffff].map(f32::from_bits);
    }
}
