//! Rows into and out of the kernels' layout, `[block][row][lane]`.
//!
//! A whole block of a row is copied at once: 32 or 64 bytes that are neighbours in both layouts.

use super::Tensor;
use crate::inference::kernels::precision::Precision;
use crate::inference::kernels::{bf16, halves};

/// Some rows of a tensor: its shape, the first of them, its values.
type From<'a> = (Tensor, usize, &'a [f32]);

/// As [`From`], to write.
type To<'a> = (Tensor, usize, &'a mut [f32]);

/// Each block of a row: where it stands, and which of the row's columns it has. The last may have fewer than a vector.
fn blocks(tensor: Tensor, row: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let Tensor { lanes, columns, .. } = tensor;
    (0..tensor.blocks()).map(move |block| {
        let first = block * lanes;
        let at = block * tensor.pitch() + row * lanes;
        (at, first..columns.min(first + lanes))
    })
}

/// Writes `rows`, one after the other, as the tensor's rows from `first` on.
pub fn from_rows(tensor: Tensor, first: usize, rows: &[f32], to: &mut [f32]) {
    for (row, values) in (first..).zip(rows.chunks_exact(tensor.columns)) {
        for (at, columns) in blocks(tensor, row) {
            let (whole, rest) = to[at..at + tensor.lanes].split_at_mut(columns.len());
            whole.copy_from_slice(&values[columns]);
            rest.fill(0.0);
        }
    }
}

/// Cuts a picture of `side` by `side` pixels into patches of `patch` by `patch`, each a row of the tensor.
pub fn from_picture(
    tensor: Tensor,
    (side, patch): (usize, usize),
    picture: &[f32],
    to: &mut [f32],
) {
    let (lanes, count, len) = (tensor.lanes, side / patch, patch * 3);
    // A row of pixels of a patch is `len` neighbouring columns, which may begin and end within a block.
    for (y, pixels) in picture.chunks_exact(side * 3).enumerate() {
        let first = y % patch * len;
        for (x, pixels) in pixels.chunks_exact(len).enumerate() {
            let row = y / patch * count + x;
            let mut done = 0;
            while done < len {
                let column = first + done;
                let part = (lanes - column % lanes).min(len - done);
                let at = column / lanes * tensor.pitch() + row * lanes + column % lanes;
                to[at..at + part].copy_from_slice(&pixels[done..done + part]);
                done += part;
            }
        }
    }
    let rest = tensor.columns % lanes;
    if rest > 0 {
        let last = (tensor.blocks() - 1) * tensor.pitch();
        for row in to[last..][..tensor.rows * lanes].chunks_exact_mut(lanes) {
            row[rest..].fill(0.0);
        }
    }
}

/// Adds `rows` to the tensor's rows from `first` on.
pub fn add_rows(tensor: Tensor, first: usize, rows: &[f32], to: &mut [f32]) {
    for (row, values) in (first..).zip(rows.chunks_exact(tensor.columns)) {
        for (at, columns) in blocks(tensor, row) {
            for (sum, v) in to[at..].iter_mut().zip(&values[columns]) {
                *sum += v;
            }
        }
    }
}

/// Writes all rows of a tensor to `rows`, one after the other.
pub fn to_rows(tensor: Tensor, from: &[f32], rows: &mut [f32]) {
    for (row, values) in rows.chunks_exact_mut(tensor.columns).enumerate() {
        for (at, columns) in blocks(tensor, row) {
            let len = columns.len();
            values[columns].copy_from_slice(&from[at..at + len]);
        }
    }
}

/// Copies `count` rows of a tensor to another of as many columns.
pub fn copy_rows((from, first, values): From<'_>, count: usize, (to, at, copies): To<'_>) {
    let len = count * from.lanes;
    for block in 0..from.blocks() {
        let (from, to) = (
            block * from.pitch() + first * from.lanes,
            block * to.pitch() + at * to.lanes,
        );
        copies[to..to + len].copy_from_slice(&values[from..from + len]);
    }
}

/// The mean of `count` rows of a tensor, as row `at` of another of as many columns.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sequence has thousands of rows at most"
)]
pub fn mean((from, first, values): From<'_>, count: usize, (to, at, means): To<'_>) {
    let lanes = from.lanes;
    for block in 0..from.blocks() {
        let rows = &values[block * from.pitch() + first * lanes..][..count * lanes];
        let mean = &mut means[block * to.pitch() + at * lanes..][..lanes];
        mean.fill(0.0);
        for row in rows.chunks_exact(lanes) {
            for (sum, v) in mean.iter_mut().zip(row) {
                *sum += v;
            }
        }
        for sum in mean {
            *sum /= count as f32;
        }
    }
}

/// Rounds a tensor to bf16 or f16, in words of two.
pub fn round(tensor: Tensor, precision: Precision, from: &[f32], to: &mut [f32]) {
    let lanes = tensor.lanes;
    for block in 0..tensor.blocks() {
        let rows = &from[block * tensor.pitch()..][..tensor.rows * lanes];
        // Two blocks of f32 become one of words.
        let words = &mut to[block / 2 * tensor.pitch()..][..tensor.rows * lanes];
        for (row, words) in rows.chunks_exact(lanes).zip(words.chunks_exact_mut(lanes)) {
            let half = &mut words[block % 2 * (lanes / 2)..][..lanes / 2];
            if precision == Precision::F16 {
                halves::round_all(row, half);
                continue;
            }
            for (&pair, word) in row.as_chunks::<2>().0.iter().zip(half) {
                *word = bf16::word(pair);
            }
        }
    }
}
