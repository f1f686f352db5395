//! The two passes over a block of four output rows in plain Rust, for every machine.
//!
//! The vector versions beside this file do the same sums, in the same order except for fused multiply-adds.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use super::block::{Block, BlockRows, Plane, Rows, SAMPLES};
use super::colour::Finish;
use super::filter::RowSpan;

/// Four output rows: for each plane the vertical pass, then the horizontal one over all of them.
#[inline(always)]
pub fn block(
    planes: &mut [Plane],
    finish: &Finish,
    frame: &[u8],
    block: usize,
    out: BlockRows<'_>,
) {
    for plane in &mut *planes {
        vertical(plane, frame, block);
    }
    horizontal(planes, finish, out);
}

/// Sums the rows of four output rows into `plane.units`.
#[inline(always)]
fn vertical(plane: &mut Plane, frame: &[u8], block: usize) {
    let rows = plane.rows_of(frame);
    let (unit_bytes, row_bytes) = (plane.unit_bytes, rows.row_bytes);
    let sums = &mut plane.sums[..row_bytes];
    for (r, span) in plane.row_spans[block].iter().enumerate() {
        sum_inner(rows, span, sums);
        let head = rows.row(span.first);
        // With one row there is no tail: its weight then meets the head's bytes as 0.
        let (tail, tail_weight) = match span.count {
            1 => (head, 0.0),
            _ => (rows.row(span.first + span.count - 1), span.tail),
        };
        let bytes = sums
            .chunks(unit_bytes)
            .zip(head.chunks(unit_bytes))
            .zip(tail.chunks(unit_bytes));
        for (unit, ((sums, head), tail)) in plane.units.iter_mut().zip(bytes) {
            let lanes = &mut unit.0[r * SAMPLES..][..SAMPLES];
            for (lane, ((&sum, &h), &t)) in lanes.iter_mut().zip(sums.iter().zip(head).zip(tail)) {
                *lane = f32::from(sum) + span.head * f32::from(h) + tail_weight * f32::from(t);
            }
        }
    }
}

/// The rows between the first and the last, in whole numbers.
/// BOUND: at most 256 rows of 255 (checked when the plane is made) fit 16 bits.
#[inline(always)]
fn sum_inner(rows: Rows<'_>, span: &RowSpan, sums: &mut [u16]) {
    sums.fill(0);
    for row in span.inner() {
        for (sum, &byte) in sums.iter_mut().zip(rows.row(row)) {
            *sum += u16::from(byte);
        }
    }
}

/// Sums the units of each output column, and turns them into colours.
#[inline(always)]
fn horizontal(planes: &[Plane], finish: &Finish, mut out: BlockRows<'_>) {
    for column in 0..out.columns() {
        let mut values = Block::splat(&finish.offset);
        for (plane, factors) in planes.iter().zip(&finish.factors) {
            let sums = sum_units(plane, column);
            let rows = values.0.chunks_exact_mut(SAMPLES);
            for (value, sums) in rows.zip(sums.0.chunks_exact(SAMPLES)) {
                for (sample, factor) in sums.iter().zip(factors) {
                    for (value, factor) in value.iter_mut().zip(factor) {
                        *value += factor * sample;
                    }
                }
            }
        }
        for (r, value) in values.0.chunks_exact(SAMPLES).enumerate() {
            let pixel = std::array::from_fn(|c| value[c].clamp(finish.low[c], finish.high[c]));
            out.put(r, column, pixel);
        }
    }
}

#[inline(always)]
fn sum_units(plane: &Plane, column: usize) -> Block {
    let span = &plane.columns[column];
    let units = &plane.units[span.first..span.first + span.count];
    let mut sums = Block::splat(&[0.0; SAMPLES]);
    let mut add = |unit: &Block, weight: &[f32; SAMPLES]| {
        for (i, sum) in sums.0.iter_mut().enumerate() {
            *sum += weight[i % SAMPLES] * unit.0[i];
        }
    };
    add(&units[0], &span.head);
    if let [_, inner @ .., last] = units {
        for unit in inner {
            add(unit, &[1.0; SAMPLES]);
        }
        add(last, &span.tail);
    }
    sums
}
