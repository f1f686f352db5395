//! The two passes over a block of four output rows in plain Rust, for every machine.
//!
//! The vector versions beside this file compute the same: in the vertical pass the same bits, in the horizontal one
//! the same sums with fused multiply-adds.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use super::block::{Block, BlockRows, Plane, ROWS, SAMPLES};
use super::colour::Finish;

/// Four output rows: for each plane the vertical pass, then the horizontal one over all of them.
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
fn vertical(plane: &mut Plane, frame: &[u8], block: usize) {
    let rows = plane.rows_of(frame);
    for (r, span) in plane.row_spans[block].iter().enumerate() {
        let sums = &mut plane.sums[..];
        sums.fill(0);
        for row in span.whole_rows() {
            for (sum, &byte) in sums.iter_mut().zip(rows.row(row)) {
                *sum += u16::from(byte);
            }
        }
        for sum in &mut *sums {
            *sum = *sum * plane.row_scale + span.rounding;
        }
        for (row, weight) in span.edges {
            for (sum, &byte) in sums.iter_mut().zip(rows.row(row)) {
                *sum += high_half(byte, weight);
            }
        }
        match plane.unit_bytes {
            3 => scatter::<3>(sums, r, &mut plane.units),
            _ => scatter::<4>(sums, r, &mut plane.units),
        }
    }
}

/// Writes one output row's sums into its place in the blocks.
fn scatter<const UNIT_BYTES: usize>(sums: &[u16], row: usize, units: &mut [Block]) {
    let (whole, rest) = sums.as_chunks::<UNIT_BYTES>();
    for (unit, sums) in units.iter_mut().zip(whole) {
        unit.0[row * SAMPLES..][..UNIT_BYTES].copy_from_slice(sums);
    }
    // The last unit may be cut off.
    if let Some(unit) = units.get_mut(whole.len()) {
        unit.0[row * SAMPLES..][..rest.len()].copy_from_slice(rest);
    }
}

/// `byte * weight / 256`, rounded down, in 16 bits: the two products and their sum are at most 255 * 255.
#[inline(always)]
fn high_half(byte: u8, weight: u16) -> u16 {
    let byte = u16::from(byte);
    byte * (weight >> 8) + ((byte * (weight & 0xff)) >> 8)
}

/// Sums the units of each output column, and turns them into colours.
fn horizontal(planes: &[Plane], finish: &Finish, mut out: BlockRows<'_>) {
    for column in 0..out.columns() {
        let mut values = [finish.offset; ROWS];
        for (plane, factors) in planes.iter().zip(&finish.factors) {
            for (value, sums) in values.iter_mut().zip(sum_units(plane, column)) {
                for (sample, factor) in sums.into_iter().zip(factors) {
                    *value = add(*value, *factor, [sample; SAMPLES]);
                }
            }
        }
        for (row, value) in values.into_iter().enumerate() {
            let pixel = std::array::from_fn(|c| value[c].max(finish.low[c]).min(finish.high[c]));
            out.put(row, column, pixel);
        }
    }
}

/// The sums of one output column's units, by output row.
fn sum_units(plane: &Plane, column: usize) -> [[f32; SAMPLES]; ROWS] {
    let span = &plane.columns[column];
    let units = &plane.units[span.first..span.first + span.count];
    let head = &units[0];
    let mut sums = std::array::from_fn(|row| add([0.0; SAMPLES], head.row(row), span.head));
    if let [_, inner @ .., last] = units {
        for unit in inner {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = add(*sum, unit.row(row), [1.0; SAMPLES]);
            }
        }
        for (row, sum) in sums.iter_mut().enumerate() {
            *sum = add(*sum, last.row(row), span.tail);
        }
    }
    sums
}

/// `sum + a * b`, four at a time, which compilers turn into vector instructions.
#[inline(always)]
fn add(sum: [f32; SAMPLES], a: [f32; SAMPLES], b: [f32; SAMPLES]) -> [f32; SAMPLES] {
    std::array::from_fn(|i| sum[i] + a[i] * b[i])
}
