//! The two passes with NEON, which every 64-bit ARM processor has: sixteen units at a time.
//!
//! Bytes are added to sums of 16 bits by instructions that widen them, so sums are always in order. Weights are of 16
//! bits and these instructions multiply bytes: so a weight is taken as its two bytes, as in the portable version.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use std::arch::aarch64::*;

use super::block::{Block, BlockRows, Plane, ROWS, Rows, SAMPLES};
use super::colour::Finish;
use super::filter::{RowSpan, UnitSpan};
use super::passes::passes;
use crate::rt::prefetch::prefetch;

/// Registers of bytes that are summed together: what a strip costs besides its bytes is shared by these.
const REGISTERS: usize = 4;

/// Units in those; one has four.
const STRIP_UNITS: usize = 4 * REGISTERS;

type Bytes = [uint8x16_t; REGISTERS];
/// Of each register: of units 0 and 1, and of units 2 and 3.
type Sums = [[uint16x8_t; 2]; REGISTERS];
type Row = Sums;
/// By row of the block.
type Whole = [uint32x4_t; ROWS];
type Four = [float32x4_t; ROWS];

passes!("neon");

/// The last register is loaded whole, also where only 12 of its bytes are used.
const fn loaded<const UNIT_BYTES: usize>() -> usize {
    (REGISTERS - 1) * 4 * UNIT_BYTES + 16
}

/// # Safety
/// `from` is valid for reading [`loaded`] bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load<const UNIT_BYTES: usize>(from: *const u8) -> Bytes {
    std::array::from_fn(|register| {
        // SAFETY: the register begins before the last of these bytes.
        let from = unsafe { from.add(register * 4 * UNIT_BYTES) };
        // SAFETY: and ends with it, or before.
        expand::<UNIT_BYTES>(unsafe { vld1q_u8(from) })
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn load_part<const UNIT_BYTES: usize>(bytes: &[u8]) -> Bytes {
    let mut all = [0; REGISTERS * 16];
    all[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: `loaded` is no more than an array of 16 bytes for each register.
    unsafe { load::<UNIT_BYTES>(all.as_ptr()) }
}

/// Bytes to units of four: units of three get an unused zero.
#[inline]
#[target_feature(enable = "neon")]
fn expand<const UNIT_BYTES: usize>(bytes: uint8x16_t) -> uint8x16_t {
    if UNIT_BYTES == 4 {
        return bytes;
    }
    // An index beyond 15 gives a zero.
    const PICKS: [u8; 16] = [0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11, 255];
    // SAFETY: 16 bytes are read from an array of 16.
    vqtbl1q_u8(bytes, unsafe { vld1q_u8(PICKS.as_ptr()) })
}

#[inline]
#[target_feature(enable = "neon")]
fn no_sums() -> Sums {
    [[vdupq_n_u16(0); 2]; REGISTERS]
}

#[inline]
#[target_feature(enable = "neon")]
fn add_row(sums: Sums, bytes: Bytes) -> Sums {
    std::array::from_fn(|register| {
        let ([low, high], bytes) = (sums[register], bytes[register]);
        [
            vaddw_u8(low, vget_low_u8(bytes)),
            vaddw_high_u8(high, bytes),
        ]
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn scale(sums: Sums, scale: u16, rounding: u16) -> Sums {
    let rounding = vdupq_n_u16(rounding);
    sums.map(|halves| halves.map(|sum| vmlaq_n_u16(rounding, sum, scale)))
}

#[inline]
#[target_feature(enable = "neon")]
fn add_part(sums: Sums, bytes: Bytes, weight: u16) -> Sums {
    let [small, large] = weight.to_le_bytes().map(|byte| vdupq_n_u8(byte));
    std::array::from_fn(|register| {
        let ([low, high], bytes) = (sums[register], bytes[register]);
        let half = vget_low_u8(bytes);
        let low = vmlal_u8(low, half, vget_low_u8(large));
        let high = vmlal_high_u8(high, bytes, large);
        [
            vsraq_n_u16::<8>(low, vmull_u8(half, vget_low_u8(small))),
            vsraq_n_u16::<8>(high, vmull_high_u8(bytes, small)),
        ]
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn in_order<const UNIT_BYTES: usize>(sums: Sums) -> Row {
    sums
}

#[inline]
#[target_feature(enable = "neon")]
fn side_by_side(rows: &[Row; ROWS], units: &mut [Block]) {
    for half in 0..2 * REGISTERS {
        let [a, b, c, d] = rows.map(|row| vreinterpretq_u64_u16(row[half / 2][half % 2]));
        let first = [vzip1q_u64(a, b), vzip1q_u64(c, d)];
        let second = [vzip2q_u64(a, b), vzip2q_u64(c, d)];
        for (k, numbers) in [first, second].into_iter().enumerate() {
            let to = units[half * 2 + k].0.as_mut_ptr();
            // SAFETY: a block is sixteen 16-bit numbers, of which these are the first eight.
            unsafe { vst1q_u16(to, vreinterpretq_u16_u64(numbers[0])) };
            // SAFETY: and these the last.
            unsafe { vst1q_u16(to.add(8), vreinterpretq_u16_u64(numbers[1])) };
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn no_numbers() -> Whole {
    [vdupq_n_u32(0); ROWS]
}

#[inline]
#[target_feature(enable = "neon")]
fn numbers(block: &Block) -> Whole {
    add_numbers(no_numbers(), block)
}

#[inline]
#[target_feature(enable = "neon")]
fn add_numbers([a, b, c, d]: Whole, block: &Block) -> Whole {
    // SAFETY: a block is sixteen 16-bit numbers, of which these are the first eight.
    let first = unsafe { vld1q_u16(block.0.as_ptr()) };
    // SAFETY: and these the last.
    let second = unsafe { vld1q_u16(block.0.as_ptr().add(8)) };
    [
        vaddw_u16(a, vget_low_u16(first)),
        vaddw_high_u16(b, first),
        vaddw_u16(c, vget_low_u16(second)),
        vaddw_high_u16(d, second),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn to_f32(whole: Whole) -> Four {
    whole.map(|row| vcvtq_f32_u32(row))
}

#[inline]
#[target_feature(enable = "neon")]
fn each_row(samples: &[f32; SAMPLES]) -> Four {
    // SAFETY: four numbers are read from an array of four.
    [unsafe { vld1q_f32(samples.as_ptr()) }; ROWS]
}

#[inline]
#[target_feature(enable = "neon")]
fn mul(a: Four, b: Four) -> Four {
    std::array::from_fn(|row| vmulq_f32(a[row], b[row]))
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: Four, b: Four) -> Four {
    std::array::from_fn(|row| vaddq_f32(a[row], b[row]))
}

#[inline]
#[target_feature(enable = "neon")]
fn mul_add(a: Four, b: Four, sum: Four) -> Four {
    std::array::from_fn(|row| vfmaq_f32(sum[row], a[row], b[row]))
}

#[inline]
#[target_feature(enable = "neon")]
fn add_sample<const K: i32>(values: Four, sums: Four, factor: Four) -> Four {
    std::array::from_fn(|row| vfmaq_laneq_f32::<K>(values[row], factor[row], sums[row]))
}

#[inline]
#[target_feature(enable = "neon")]
fn limit(values: Four, low: Four, high: Four) -> Four {
    std::array::from_fn(|row| vminq_f32(vmaxq_f32(values[row], low[row]), high[row]))
}

#[inline]
#[target_feature(enable = "neon")]
fn rows_of(values: Four) -> [[f32; SAMPLES]; ROWS] {
    values.map(|row| {
        let mut four = [0.0; SAMPLES];
        // SAFETY: four numbers are written to an array of four.
        unsafe { vst1q_f32(four.as_mut_ptr(), row) };
        four
    })
}
