//! The two passes with AVX-512 F and BW: sixteen units at a time.
//!
//! Source bytes are summed in 16 bits as even and odd bytes, which needs no shuffle; shuffles are what limits this
//! pass otherwise. Four finished rows are brought side by side while they are still 16 bits wide.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use std::arch::x86_64::*;

use super::block::{Block, BlockRows, Plane, ROWS, Rows, SAMPLES};
use super::colour::Finish;
use super::filter::{RowSpan, UnitSpan};
use super::passes::passes;
use crate::rt::prefetch::prefetch;

/// Units in one register of bytes.
const STRIP_UNITS: usize = 16;

type Bytes = __m512i;
/// Of even bytes, and of odd ones.
type Sums = [__m512i; 2];
/// In 128-bit lane l of the first register are the four samples of units 4l and 4l + 1, in the second those of 4l + 2 and
/// 4l + 3.
type Row = [__m512i; 2];
type Whole = __m512i;
type Four = __m512;

passes!("avx512f,avx512bw");

/// A load is masked: it reads no byte that is not used.
const fn loaded<const UNIT_BYTES: usize>() -> usize {
    STRIP_UNITS * UNIT_BYTES
}

/// # Safety
/// `from` is valid for reading the bytes of a strip.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load<const UNIT_BYTES: usize>(from: *const u8) -> Bytes {
    let mask = u64::MAX >> (64 - loaded::<UNIT_BYTES>());
    // SAFETY: `mask` has a bit for each byte of the strip, and no other is read.
    unsafe { _mm512_maskz_loadu_epi8(mask, from.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_part<const UNIT_BYTES: usize>(bytes: &[u8]) -> Bytes {
    let mask = match bytes.len() {
        0 => return _mm512_setzero_si512(),
        present => u64::MAX >> (64 - present.min(64)),
    };
    // SAFETY: `mask` has a bit for each byte that is there, and no other is read.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn no_sums() -> Sums {
    [_mm512_setzero_si512(); 2]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_row([even, odd]: Sums, bytes: Bytes) -> Sums {
    let low_byte = _mm512_set1_epi16(0x00ff);
    [
        _mm512_add_epi16(even, _mm512_and_si512(bytes, low_byte)),
        _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(bytes)),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scale(sums: Sums, scale: u16, rounding: u16) -> Sums {
    let scale = _mm512_set1_epi16(scale.cast_signed());
    let rounding = _mm512_set1_epi16(rounding.cast_signed());
    sums.map(|sum| _mm512_add_epi16(_mm512_mullo_epi16(sum, scale), rounding))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_part([even, odd]: Sums, bytes: Bytes, weight: u16) -> Sums {
    let low_byte = _mm512_set1_epi16(0x00ff);
    let weight = _mm512_set1_epi16(weight.cast_signed());
    // The byte in the high half: the product's high half is byte * weight / 256.
    let even_high = _mm512_slli_epi16::<8>(bytes);
    let odd_high = _mm512_andnot_si512(low_byte, bytes);
    [
        _mm512_add_epi16(even, high_half(even_high, weight)),
        _mm512_add_epi16(odd, high_half(odd_high, weight)),
    ]
}

/// The high halves of the products of unsigned 16-bit numbers.
///
/// By hand, because LLVM takes the intrinsic apart when one factor does not change in a loop, hoists a half of
/// it, and then no longer recognises it: the whole pass takes 1.4 times as long (rustc 1.95).
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn high_half(a: __m512i, b: __m512i) -> __m512i {
    let high;
    // SAFETY: the instruction reads and writes registers only, and this processor has it (AVX-512 BW).
    unsafe {
        std::arch::asm!(
            "vpmulhuw {high}, {a}, {b}",
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            high = lateout(zmm_reg) high,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

/// Even and odd bytes' sums to units of four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn in_order<const UNIT_BYTES: usize>([even, odd]: Sums) -> Row {
    if UNIT_BYTES == 4 {
        return [
            _mm512_unpacklo_epi16(even, odd),
            _mm512_unpackhi_epi16(even, odd),
        ];
    }
    // 16-bit number n of register `half`: sample n % 4 of a unit of three, or the unused 0 of the odd bytes' end.
    const fn picks(half: usize) -> [u16; 32] {
        let mut picks = [0; 32];
        let mut n = 0;
        while n < 32 {
            let unit = n / 8 * 4 + half * 2 + n % 8 / 4;
            let byte = unit * 3 + n % 4;
            // Bit 5 chooses the odd bytes; byte 63 was not loaded and is 0.
            let byte = if n % 4 == 3 { 63 } else { byte };
            #[expect(clippy::cast_possible_truncation, reason = "below 64")]
            let pick = (byte / 2 + byte % 2 * 32) as u16;
            picks[n] = pick;
            n += 1;
        }
        picks
    }
    const PICKS: [[u16; 32]; 2] = [picks(0), picks(1)];
    // SAFETY: 64 bytes are read from an array of 64 bytes, here and below.
    let low = unsafe { _mm512_loadu_si512(PICKS[0].as_ptr().cast()) };
    // SAFETY: as above.
    let high = unsafe { _mm512_loadu_si512(PICKS[1].as_ptr().cast()) };
    [
        _mm512_permutex2var_epi16(even, low, odd),
        _mm512_permutex2var_epi16(even, high, odd),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn side_by_side(rows: &[Row; ROWS], units: &mut [Block]) {
    let lanes_01 = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let lanes_23 = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for half in 0..2 {
        let [a, b, c, d] = rows.map(|row| row[half]);
        let pairs = [
            (_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d)),
            (_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d)),
        ];
        for (k, (ab, cd)) in pairs.into_iter().enumerate() {
            let first = half * 2 + k;
            let low = _mm512_permutex2var_epi64(ab, lanes_01, cd);
            let high = _mm512_permutex2var_epi64(ab, lanes_23, cd);
            store(&mut units[first], _mm512_castsi512_si256(low));
            store(&mut units[first + 4], _mm512_extracti64x4_epi64::<1>(low));
            store(&mut units[first + 8], _mm512_castsi512_si256(high));
            store(&mut units[first + 12], _mm512_extracti64x4_epi64::<1>(high));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(block: &mut Block, numbers: __m256i) {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    unsafe { _mm256_store_si256(block.0.as_mut_ptr().cast(), numbers) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn no_numbers() -> Whole {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn numbers(block: &Block) -> Whole {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    let numbers = unsafe { _mm256_load_si256(block.0.as_ptr().cast()) };
    _mm512_cvtepu16_epi32(numbers)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_numbers(whole: Whole, block: &Block) -> Whole {
    _mm512_add_epi32(whole, numbers(block))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn to_f32(whole: Whole) -> Four {
    _mm512_cvtepi32_ps(whole)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn each_row(samples: &[f32; SAMPLES]) -> Four {
    // SAFETY: four numbers are read from an array of four.
    let samples = unsafe { _mm_loadu_ps(samples.as_ptr()) };
    _mm512_broadcast_f32x4(samples)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn mul(a: Four, b: Four) -> Four {
    _mm512_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(a: Four, b: Four) -> Four {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn mul_add(a: Four, b: Four, sum: Four) -> Four {
    _mm512_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_sample<const K: i32>(values: Four, sums: Four, factor: Four) -> Four {
    let sample = match K {
        0 => _mm512_permute_ps::<0x00>(sums),
        1 => _mm512_permute_ps::<0x55>(sums),
        2 => _mm512_permute_ps::<0xaa>(sums),
        _ => _mm512_permute_ps::<0xff>(sums),
    };
    _mm512_fmadd_ps(sample, factor, values)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn limit(values: Four, low: Four, high: Four) -> Four {
    _mm512_min_ps(_mm512_max_ps(values, low), high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rows_of(values: Four) -> [[f32; SAMPLES]; ROWS] {
    [
        four(_mm512_extractf32x4_ps::<0>(values)),
        four(_mm512_extractf32x4_ps::<1>(values)),
        four(_mm512_extractf32x4_ps::<2>(values)),
        four(_mm512_extractf32x4_ps::<3>(values)),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn four(values: __m128) -> [f32; SAMPLES] {
    let mut four = [0.0; SAMPLES];
    // SAFETY: four numbers are written to an array of four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), values) };
    four
}
