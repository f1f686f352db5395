//! Softmax attention: for each query the values, weighted by how well their keys fit it (Vaswani et al., "Attention Is
//! All You Need", 2017).
//!
//! Both products are those of [`pointwise`]: first the keys are the weights and the queries the pixels, then the values
//! are the weights and the scores the pixels.

use super::Isa;
use super::memory::Aligned;
use super::pack::{Packed, Walk};
use super::pointwise::{self, Activation, Input, Output, Runs, Step};
use super::softmax;

/// Queries whose scores are computed together. The scores of a strip stay near: 40 KB for 257 keys, and as many rows
/// are four full tiles of 9 pixels, or 6 of 6.
const STRIP_ROWS: usize = 36;

/// Some neighbouring rows of a blocked tensor, from one of its columns on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub values: &'a [f32],
    /// Floats from block to block.
    pub pitch: usize,
    pub first_row: usize,
    pub rows: usize,
    /// A multiple of the lanes.
    pub first_column: usize,
}

/// What attention needs while it runs.
#[derive(Debug)]
pub struct Attention {
    isa: Isa,
    heads: usize,
    /// Columns of each head.
    head_len: usize,
    keys: Packed,
    values: Packed,
    scores: Aligned,
    /// What each row's weights are to be multiplied with, so that they sum to 1.
    factors: Vec<f32>,
}

impl Attention {
    /// For at most `keys_max` keys, with `heads` heads of `head_len` columns each.
    ///
    /// # Panics
    /// If `head_len` is no multiple of the lanes.
    pub fn new(isa: Isa, heads: usize, head_len: usize, keys_max: usize) -> Self {
        assert!(
            head_len.is_multiple_of(isa.lanes()),
            "heads of {head_len} columns do not begin at a block"
        );
        Self {
            isa,
            heads,
            head_len,
            keys: Packed::with_room(isa, keys_max, head_len),
            values: Packed::with_room(isa, head_len, keys_max),
            scores: Aligned::zeroed(STRIP_ROWS * isa.blocks(keys_max) * isa.lanes()),
            factors: vec![0.0; STRIP_ROWS],
        }
    }

    /// For each query and head the weighted values, into the query's row of `output`, whose blocks are `pitch` floats apart:
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
        output: &mut [f32],
        pitch: usize,
    ) {
        assert_eq!(keys.rows, values.rows, "a key for each value");
        for head in 0..self.heads {
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
                self.strip(strip, column, output, pitch);
            }
        }
    }

    /// Where the head that begins at `column` has its block `block`, from the part's first row on.
    fn block<'a>(&self, part: Part<'a>, column: usize, block: usize) -> &'a [f32] {
        let lanes = self.isa.lanes();
        let block = (part.first_column + column) / lanes + block;
        &part.values[block * part.pitch + part.first_row * lanes..][..part.rows * lanes]
    }

    /// One output for each key, a step for each of the head's columns.
    fn pack_keys(&mut self, part: Part<'_>, column: usize) {
        let (lanes, rows) = (self.isa.lanes(), part.rows);
        let walk = Walk::channels(self.isa, self.head_len);
        self.keys.cut(walk, rows, STRIP_ROWS);
        for block in 0..self.head_len / lanes {
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

    /// One output for each of the head's columns, a step for each key.
    fn pack_values(&mut self, part: Part<'_>, column: usize) {
        let lanes = self.isa.lanes();
        let walk = Walk::channels(self.isa, part.rows);
        self.values.cut(walk, self.head_len, STRIP_ROWS);
        for block in 0..self.head_len / lanes {
            let values = self.block(part, column, block);
            let panels = &mut self.values.panels.iter();
            let Some(panel) = panels.find(|panel| panel.range().contains(&block)) else {
                unreachable!("the panels cover all blocks")
            };
            let width = panel.blocks * lanes;
            let steps = &mut self.values.weights[panel.offset..][..part.rows * width];
            for (row, value) in steps
                .chunks_exact_mut(width)
                .zip(values.chunks_exact(lanes))
            {
                row[(block - panel.first_block) * lanes..][..lanes].copy_from_slice(value);
            }
        }
    }

    /// Some queries of one head.
    fn strip(&mut self, queries: Part<'_>, column: usize, output: &mut [f32], pitch: usize) {
        let (isa, lanes, rows) = (self.isa, self.isa.lanes(), queries.rows);
        let first = (queries.first_column + column) / lanes * queries.pitch;
        pointwise::run(
            &self.keys,
            &self.keys.panels,
            Activation::None,
            Runs::one(rows),
            Input {
                values: queries.values,
                start: first + queries.first_row * lanes,
                step: Step::Block,
                segment_stride: queries.pitch,
                run_stride: 0,
            },
            &mut Output {
                values: &mut self.scores,
                start: 0,
                pixel_stride: lanes,
                block_stride: rows * lanes,
                run_stride: 0,
                residual: None,
            },
        );
        let scores = softmax::Shape {
            rows,
            blocks: self.keys.blocks(),
            pitch: rows * lanes,
        };
        softmax::run(isa, scores, &mut self.scores, &mut self.factors);
        let to = column / lanes * pitch + queries.first_row * lanes;
        pointwise::run(
            &self.values,
            &self.values.panels,
            Activation::None,
            Runs::one(rows),
            Input {
                values: &self.scores,
                start: 0,
                step: Step::Block,
                segment_stride: rows * lanes,
                run_stride: 0,
            },
            &mut Output {
                values: output,
                start: to,
                pixel_stride: lanes,
                block_stride: pitch,
                run_stride: 0,
                residual: None,
            },
        );
        let weighted = softmax::Shape {
            rows,
            blocks: self.head_len / lanes,
            pitch,
        };
        softmax::scale(isa, weighted, &mut output[to..], &self.factors);
    }
}
