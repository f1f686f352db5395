//! The two passes with AVX2 and FMA: as with AVX-512 (see there), eight units at a time.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use std::arch::x86_64::*;

use super::block::{Block, BlockRows, Plane, ROWS, Rows, SAMPLES};
use super::colour::Finish;
use super::filter::{RowSpan, UnitSpan};
use super::passes::passes;
use crate::rt::prefetch::prefetch;

/// Units in one register of bytes.
const STRIP_UNITS: usize = 8;

type Bytes = __m256i;
/// Of even bytes, and of odd ones.
type Sums = [__m256i; 2];
/// In 128-bit lane l of the first register are the four samples of units 4l and 4l + 1, in the second those of 4l + 2 and
/// 4l + 3.
type Row = [__m256i; 2];
/// Rows 0 and 1, and rows 2 and 3, of a block.
type Whole = [__m256i; 2];
type Four = [__m256; 2];

passes!("avx2,fma");

/// All that a register holds, also where only 24 bytes are used.
const fn loaded<const UNIT_BYTES: usize>() -> usize {
    32
}

/// # Safety
/// `from` is valid for reading 32 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load<const UNIT_BYTES: usize>(from: *const u8) -> Bytes {
    // SAFETY: the caller's contract is the same.
    expand::<UNIT_BYTES>(unsafe { _mm256_loadu_si256(from.cast()) })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_part<const UNIT_BYTES: usize>(bytes: &[u8]) -> Bytes {
    let mut all = [0; 32];
    all[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: 32 bytes are read from an array of 32.
    unsafe { load::<UNIT_BYTES>(all.as_ptr()) }
}

/// Bytes to units of four: units of three get an unused zero.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn expand<const UNIT_BYTES: usize>(bytes: __m256i) -> Bytes {
    if UNIT_BYTES == 4 {
        return bytes;
    }
    // 12 bytes to each 128-bit lane, then 3 bytes and a zero to each unit.
    let lanes = _mm256_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5);
    let units = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    let bytes = _mm256_permutevar8x32_epi32(bytes, lanes);
    _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(units))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn no_sums() -> Sums {
    [_mm256_setzero_si256(); 2]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_row([even, odd]: Sums, bytes: Bytes) -> Sums {
    let low_byte = _mm256_set1_epi16(0x00ff);
    [
        _mm256_add_epi16(even, _mm256_and_si256(bytes, low_byte)),
        _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(bytes)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn scale(sums: Sums, scale: u16, rounding: u16) -> Sums {
    let scale = _mm256_set1_epi16(scale.cast_signed());
    let rounding = _mm256_set1_epi16(rounding.cast_signed());
    sums.map(|sum| _mm256_add_epi16(_mm256_mullo_epi16(sum, scale), rounding))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_part([even, odd]: Sums, bytes: Bytes, weight: u16) -> Sums {
    let low_byte = _mm256_set1_epi16(0x00ff);
    let weight = _mm256_set1_epi16(weight.cast_signed());
    // The byte in the high half: the product's high half is byte * weight / 256.
    let even_high = _mm256_slli_epi16::<8>(bytes);
    let odd_high = _mm256_andnot_si256(low_byte, bytes);
    [
        _mm256_add_epi16(even, high_half(even_high, weight)),
        _mm256_add_epi16(odd, high_half(odd_high, weight)),
    ]
}

/// The high halves of the products of unsigned 16-bit numbers; by hand for the reason given with AVX-512.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn high_half(a: __m256i, b: __m256i) -> __m256i {
    let high;
    // SAFETY: the instruction reads and writes registers only, and this processor has it (AVX2).
    unsafe {
        std::arch::asm!(
            "vpmulhuw {high}, {a}, {b}",
            a = in(ymm_reg) a,
            b = in(ymm_reg) b,
            high = lateout(ymm_reg) high,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn in_order<const UNIT_BYTES: usize>([even, odd]: Sums) -> Row {
    [
        _mm256_unpacklo_epi16(even, odd),
        _mm256_unpackhi_epi16(even, odd),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn side_by_side(rows: &[Row; ROWS], units: &mut [Block]) {
    for half in 0..2 {
        let [a, b, c, d] = rows.map(|row| row[half]);
        let pairs = [
            (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d)),
            (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d)),
        ];
        for (k, (ab, cd)) in pairs.into_iter().enumerate() {
            let first = half * 2 + k;
            store(&mut units[first], _mm256_permute2x128_si256::<0x20>(ab, cd));
            store(
                &mut units[first + 4],
                _mm256_permute2x128_si256::<0x31>(ab, cd),
            );
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(block: &mut Block, numbers: __m256i) {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    unsafe { _mm256_store_si256(block.0.as_mut_ptr().cast(), numbers) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn no_numbers() -> Whole {
    [_mm256_setzero_si256(); 2]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn numbers(block: &Block) -> Whole {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    let numbers = unsafe { _mm256_load_si256(block.0.as_ptr().cast()) };
    [
        _mm256_cvtepu16_epi32(_mm256_castsi256_si128(numbers)),
        _mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(numbers)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_numbers(whole: Whole, block: &Block) -> Whole {
    let [low, high] = numbers(block);
    [
        _mm256_add_epi32(whole[0], low),
        _mm256_add_epi32(whole[1], high),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_f32(whole: Whole) -> Four {
    whole.map(|half| _mm256_cvtepi32_ps(half))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn each_row(samples: &[f32; SAMPLES]) -> Four {
    // SAFETY: four numbers are read from an array of four.
    let samples = unsafe { _mm_loadu_ps(samples.as_ptr()) };
    [_mm256_set_m128(samples, samples); 2]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn mul(a: Four, b: Four) -> Four {
    [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(a: Four, b: Four) -> Four {
    [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn mul_add(a: Four, b: Four, sum: Four) -> Four {
    [
        _mm256_fmadd_ps(a[0], b[0], sum[0]),
        _mm256_fmadd_ps(a[1], b[1], sum[1]),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_sample<const K: i32>(values: Four, sums: Four, factor: Four) -> Four {
    let sample = sums.map(|sums| match K {
        0 => _mm256_permute_ps::<0x00>(sums),
        1 => _mm256_permute_ps::<0x55>(sums),
        2 => _mm256_permute_ps::<0xaa>(sums),
        _ => _mm256_permute_ps::<0xff>(sums),
    });
    mul_add(sample, factor, values)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn limit(values: Four, low: Four, high: Four) -> Four {
    [
        _mm256_min_ps(_mm256_max_ps(values[0], low[0]), high[0]),
        _mm256_min_ps(_mm256_max_ps(values[1], low[1]), high[1]),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn rows_of([first, second]: Four) -> [[f32; SAMPLES]; ROWS] {
    [
        four(_mm256_castps256_ps128(first)),
        four(_mm256_extractf128_ps::<1>(first)),
        four(_mm256_castps256_ps128(second)),
        four(_mm256_extractf128_ps::<1>(second)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn four(values: __m128) -> [f32; SAMPLES] {
    let mut four = [0.0; SAMPLES];
    // SAFETY: four numbers are written to an array of four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), values) };
    four
}
