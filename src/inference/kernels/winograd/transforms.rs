//! Winograd's transforms: tiles of a picture into places, and sums at places into pixels.

use std::ops::Range;

use super::super::activation::Activation;
use super::super::lanes::Lanes;
use super::super::unrolled;
use super::{REACH, Shape, TILE};

/// What [`Job::new`](super::Job::new) has checked.
///
/// Contract: `input` plus the strides is valid for each of `height` by `width` pixels of each of the blocks; `output` has for each
/// place, `place_stride` apart, and each block a vector for each tile.
pub struct Spread {
    pub(super) shape: Shape,
    pub(super) blocks: Range<usize>,
    pub(super) input: *const f32,
    /// The input is of words of two bf16, of which a block has twice as many channels.
    pub(super) is_bf16: bool,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) row_stride: usize,
    pub(super) block_stride: usize,
    pub(super) output: *mut f32,
    pub(super) place_stride: usize,
}

/// What [`Job::new`](super::Job::new) has checked.
///
/// Contract: `sums` has for each place, `place_stride` apart, and each block a vector for each tile; `bias` has a vector for each
/// block; `output` plus the strides, and `residual` unless it is null, are valid for each of `height` by `width` pixels of each
/// block. `output` overlaps no input.
pub struct Gather {
    pub(super) shape: Shape,
    pub(super) blocks: Range<usize>,
    pub(super) sums: *const f32,
    pub(super) place_stride: usize,
    pub(super) bias: *const f32,
    pub(super) activation: Activation,
    pub(super) residual: *const f32,
    pub(super) output: *mut f32,
    /// Output and residual are of words of two bf16, of which a block has twice as many channels.
    pub(super) is_bf16: bool,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) row_stride: usize,
    pub(super) block_stride: usize,
}

/// Where a block of a picture begins, in bytes: in bf16 it may be the second half of one of words.
#[inline(always)]
fn block_start<V: Lanes, const BF16: bool>(block: usize, block_stride: usize) -> usize {
    match BF16 {
        true => block / 2 * block_stride * size_of::<f32>() + block % 2 * V::N * size_of::<u16>(),
        false => block * block_stride * size_of::<f32>(),
    }
}

/// A pixel of a block of a picture, `at` words behind `from`.
///
/// # Safety
/// It is valid for reading, and the processor has the set of `V`.
#[inline(always)]
unsafe fn load<V: Lanes, const BF16: bool>(from: *const u8, at: usize) -> V {
    let from = from.wrapping_add(at * size_of::<f32>());
    match BF16 {
        // SAFETY: the caller's contract is the same.
        true => unsafe { V::load_bf16(from.cast()) },
        // SAFETY: the caller's contract is the same.
        false => unsafe { V::load(from.cast()) },
    }
}

/// `B^T d`.
#[inline(always)]
fn spread<V: Lanes>(d: [V; REACH]) -> [V; REACH] {
    let (two, four, five) = (d[0].filled(2.0), d[0].filled(4.0), d[0].filled(5.0));
    let pair = d[4].sub(d[2]);
    let odd = d[3].sub(d[1]);
    let twice = two.mul(odd);
    [
        // 4 d0 - 5 d2 + d4
        four.mul_add(d[0], d[4].sub(five.mul(d[2]))),
        // d4 + d3 - 4 (d2 + d1)
        d[4].add(d[3]).sub(four.mul(d[2].add(d[1]))),
        // d4 - d3 - 4 (d2 - d1)
        d[4].sub(d[3]).sub(four.mul(d[2].sub(d[1]))),
        // d4 - d2 + 2 (d3 - d1)
        pair.add(twice),
        pair.sub(twice),
        // 4 d1 - 5 d3 + d5
        four.mul_add(d[1], d[5].sub(five.mul(d[3]))),
    ]
}

/// `A^T m`.
#[inline(always)]
fn gather<V: Lanes>(m: [V; REACH]) -> [V; TILE] {
    let (two, four, eight) = (m[0].filled(2.0), m[0].filled(4.0), m[0].filled(8.0));
    let (near, near_odd) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (far, far_odd) = (m[3].add(m[4]), m[3].sub(m[4]));
    [
        m[0].add(near).add(far),
        two.mul_add(far_odd, near_odd),
        four.mul_add(far, near),
        eight.mul_add(far_odd, near_odd).add(m[5]),
    ]
}

/// # Safety
/// The contract of [`Spread`]; the processor has the set of `V`.
#[inline(always)]
pub unsafe fn spread_all<V: Lanes>(job: &Spread) {
    match job.is_bf16 {
        // SAFETY: the contract is handed on.
        true => unsafe { spread_from::<V, true>(job) },
        // SAFETY: as above.
        false => unsafe { spread_from::<V, false>(job) },
    }
}

/// # Safety
/// As for [`spread_all`], whose `is_bf16` is `BF16`.
#[expect(
    clippy::needless_range_loop,
    reason = "an index loop with constant bounds over an array of arrays, across them"
)]
#[inline(always)]
unsafe fn spread_from<V: Lanes, const BF16: bool>(job: &Spread) {
    let zero = 0.0f32;
    // SAFETY: one float.
    let zero = unsafe { V::splat(&raw const zero) };
    for y in 0..job.shape.down {
        let rows = (job.height - (y * TILE).min(job.height)).min(REACH);
        for block in job.blocks.clone() {
            let line = job.input.wrapping_add(y * TILE * job.row_stride);
            let line = line.cast::<u8>();
            let line = line.wrapping_add(block_start::<V, BF16>(block, job.block_stride));
            for x in 0..job.shape.across {
                let columns = (job.width - (x * TILE).min(job.width)).min(REACH);
                let mut half = [[zero; REACH]; REACH];
                unrolled!(for column in 0..REACH {
                    let mut d = [zero; REACH];
                    if column < columns {
                        unrolled!(for row in 0..REACH {
                            if row < rows {
                                let at = row * job.row_stride + (x * TILE + column) * V::N;
                                // SAFETY: a pixel of the picture, by the two comparisons.
                                d[row] = unsafe { load::<V, BF16>(line, at) };
                            }
                        });
                    }
                    half[column] = spread(d);
                });
                let tile = y * job.shape.across + x;
                let to = job
                    .output
                    .wrapping_add(block * job.shape.pitch + tile * V::N);
                for row in 0..REACH {
                    let values = spread(std::array::from_fn(|column| half[column][row]));
                    for (column, value) in values.into_iter().enumerate() {
                        let at = (row * REACH + column) * job.place_stride;
                        // SAFETY: this tile's vector of this place and block.
                        unsafe { value.store(to.wrapping_add(at)) };
                    }
                }
            }
        }
    }
}

/// # Safety
/// The contract of [`Gather`]; the processor has the set of `V`.
#[inline(always)]
pub unsafe fn gather_all<V: Lanes>(job: &Gather) {
    match job.is_bf16 {
        // SAFETY: the contract is handed on.
        true => unsafe { gather_to::<V, true>(job) },
        // SAFETY: as above.
        false => unsafe { gather_to::<V, false>(job) },
    }
}

/// # Safety
/// As for [`gather_all`], whose `is_bf16` is `BF16`.
#[inline(always)]
unsafe fn gather_to<V: Lanes, const BF16: bool>(job: &Gather) {
    for y in 0..job.shape.down {
        let rows = (job.height - y * TILE).min(TILE);
        for block in job.blocks.clone() {
            let start = block_start::<V, BF16>(block, job.block_stride);
            let output = job.output.cast::<u8>().wrapping_add(start);
            let residual = match job.residual.is_null() {
                true => std::ptr::null(),
                false => job.residual.cast::<u8>().wrapping_add(start),
            };
            // SAFETY: a vector for each block.
            let bias = unsafe { V::load(job.bias.wrapping_add(block * V::N)) };
            for x in 0..job.shape.across {
                let columns = (job.width - x * TILE).min(TILE);
                let tile = y * job.shape.across + x;
                let from = job.sums.wrapping_add(block * job.shape.pitch + tile * V::N);
                let mut half = [[bias; REACH]; TILE];
                unrolled!(for column in 0..REACH {
                    let m = std::array::from_fn(|row| {
                        let at = (row * REACH + column) * job.place_stride;
                        // SAFETY: this tile's vector of this place and block.
                        unsafe { V::load(from.wrapping_add(at)) }
                    });
                    let column_of = gather(m);
                    for row in 0..TILE {
                        half[row][column] = column_of[row];
                    }
                });
                let corner = y * TILE * job.row_stride + x * TILE * V::N;
                for (row, half) in half.into_iter().enumerate().take(rows) {
                    let values = gather(half);
                    for (column, value) in values.into_iter().enumerate().take(columns) {
                        let at = corner + row * job.row_stride + column * V::N;
                        let mut sum = value.add(bias);
                        if !residual.is_null() {
                            // SAFETY: a pixel of the picture: row and column are less than what is left of it.
                            sum = sum.add(unsafe { load::<V, BF16>(residual, at) });
                        }
                        let sum = job.activation.apply(sum);
                        let to = output.wrapping_add(at * size_of::<f32>());
                        match BF16 {
                            // SAFETY: as above.
                            true => unsafe { sum.store_bf16(to.cast()) },
                            // SAFETY: as above.
                            false => unsafe { sum.store(to.cast()) },
                        }
                    }
                }
            }
        }
    }
}
