//! The two passes with AVX2 and FMA: as with AVX-512 (see there), eight units at a time.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use std::arch::x86_64::*;

use super::block::{Block, BlockRows, Plane, ROWS, Rows, SAMPLES};
use super::colour::Finish;
use super::filter::{RowSpan, UnitSpan};

/// Units in one register of bytes.
const STRIP_UNITS: usize = 8;

/// Four output rows: for each plane the vertical pass, then the horizontal one over all of them.
#[target_feature(enable = "avx2,fma")]
pub fn block(
    planes: &mut [Plane],
    finish: &Finish,
    frame: &[u8],
    block: usize,
    out: BlockRows<'_>,
) {
    for plane in &mut *planes {
        let rows = plane.rows_of(frame);
        let spans = &plane.row_spans[block];
        match plane.unit_bytes {
            3 => vertical::<3>(rows, spans, plane.row_scale, &mut plane.units),
            _ => vertical::<4>(rows, spans, plane.row_scale, &mut plane.units),
        }
    }
    match planes {
        [one] => horizontal([one], finish, out),
        [luma, chroma] => horizontal([luma, chroma], finish, out),
        _ => unreachable!("a frame has one or two planes"),
    }
}

#[target_feature(enable = "avx2,fma")]
fn vertical<const UNIT_BYTES: usize>(
    rows: Rows<'_>,
    spans: &[RowSpan; ROWS],
    scale: u16,
    units: &mut [Block],
) {
    let strip_bytes = STRIP_UNITS * UNIT_BYTES;
    let mut strips = units.chunks_exact_mut(STRIP_UNITS).enumerate();
    // 32 bytes are loaded from every row, also where only 24 are used.
    let whole_strips = rows.row_bytes.saturating_sub(32 - strip_bytes) / strip_bytes;
    let last_row = spans.iter().map(RowSpan::last).max().unwrap_or(0);
    // The check behind every load below.
    assert!(rows.row(last_row).len() == rows.row_bytes);
    let base = rows.row(0).as_ptr();
    for (index, units) in strips.by_ref().take(whole_strips) {
        let load = |row: usize| {
            // SAFETY: strip `index` of a row not beyond `last_row` begins within the frame (checked).
            let bytes = unsafe { base.add(row * rows.stride + index * strip_bytes) };
            // SAFETY: `whole_strips` are those with 32 bytes in the row.
            unsafe { _mm256_loadu_si256(bytes.cast()) }
        };
        side_by_side(&sum_rows::<UNIT_BYTES>(load, spans, scale), units);
    }
    // The rest of the row, byte by byte, is followed by zeros.
    for (index, units) in strips {
        let load = |row: usize| {
            let rest = rows.row(row).get(index * strip_bytes..).unwrap_or_default();
            let mut bytes = [0; 32];
            for (to, from) in bytes[..strip_bytes].iter_mut().zip(rest) {
                *to = *from;
            }
            // SAFETY: 32 bytes are read from an array of 32.
            unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
        };
        side_by_side(&sum_rows::<UNIT_BYTES>(load, spans, scale), units);
    }
}

/// The sums of a strip for each output row. In 128-bit lane l of the first register are the four samples of units 4l
/// and 4l + 1, in the second those of 4l + 2 and 4l + 3.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_rows<const UNIT_BYTES: usize>(
    load: impl Fn(usize) -> __m256i,
    spans: &[RowSpan; ROWS],
    scale: u16,
) -> [[__m256i; 2]; ROWS] {
    let low_byte = _mm256_set1_epi16(0x00ff);
    let scale = _mm256_set1_epi16(scale.cast_signed());
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (sums, span) in sums.iter_mut().zip(spans) {
        let mut even = _mm256_setzero_si256();
        let mut odd = even;
        for row in span.whole_rows() {
            let bytes = expand::<UNIT_BYTES>(load(row));
            even = _mm256_add_epi16(even, _mm256_and_si256(bytes, low_byte));
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(bytes));
        }
        let rounding = _mm256_set1_epi16(span.rounding.cast_signed());
        even = _mm256_add_epi16(_mm256_mullo_epi16(even, scale), rounding);
        odd = _mm256_add_epi16(_mm256_mullo_epi16(odd, scale), rounding);
        for (row, weight) in span.edges {
            let bytes = expand::<UNIT_BYTES>(load(row));
            let weight = _mm256_set1_epi16(weight.cast_signed());
            // The byte in the high half: the product's high half is byte * weight / 256.
            let even_high = _mm256_slli_epi16::<8>(bytes);
            let odd_high = _mm256_andnot_si256(low_byte, bytes);
            even = _mm256_add_epi16(even, high_half(even_high, weight));
            odd = _mm256_add_epi16(odd, high_half(odd_high, weight));
        }
        *sums = [
            _mm256_unpacklo_epi16(even, odd),
            _mm256_unpackhi_epi16(even, odd),
        ];
    }
    sums
}

/// Bytes to units of four: units of three get an unused zero.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn expand<const UNIT_BYTES: usize>(bytes: __m256i) -> __m256i {
    if UNIT_BYTES == 4 {
        return bytes;
    }
    // 12 bytes to each 128-bit lane, then 3 bytes and a zero to each unit.
    let lanes = _mm256_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5);
    let units = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    let bytes = _mm256_permutevar8x32_epi32(bytes, lanes);
    _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(units))
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

/// Puts the four rows' samples of each unit into its block.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn side_by_side(sums: &[[__m256i; 2]; ROWS], units: &mut [Block]) {
    for half in 0..2 {
        let [a, b, c, d] = sums.map(|row| row[half]);
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

/// Rows 0 and 1, and rows 2 and 3, of a block.
type Halves = [__m256; 2];

#[target_feature(enable = "avx2,fma")]
fn horizontal<const PLANES: usize>(
    planes: [&mut Plane; PLANES],
    finish: &Finish,
    mut out: BlockRows<'_>,
) {
    let factors: [[__m256; SAMPLES]; PLANES] =
        std::array::from_fn(|plane| finish.factors[plane].map(|f| each_row(&f)));
    let (low, high) = (each_row(&finish.low), each_row(&finish.high));
    let offset = each_row(&finish.offset);
    for column in 0..out.columns() {
        let mut values = [offset; 2];
        for (plane, factors) in planes.iter().zip(&factors) {
            let sums = sum_units(&plane.units, &plane.columns[column]);
            for (values, sums) in values.iter_mut().zip(sums) {
                *values = _mm256_fmadd_ps(_mm256_permute_ps::<0x00>(sums), factors[0], *values);
                *values = _mm256_fmadd_ps(_mm256_permute_ps::<0x55>(sums), factors[1], *values);
                *values = _mm256_fmadd_ps(_mm256_permute_ps::<0xaa>(sums), factors[2], *values);
                *values = _mm256_fmadd_ps(_mm256_permute_ps::<0xff>(sums), factors[3], *values);
            }
        }
        for (half, values) in values.into_iter().enumerate() {
            let values = _mm256_min_ps(_mm256_max_ps(values, low), high);
            out.put(half * 2, column, four(_mm256_castps256_ps128(values)));
            out.put(
                half * 2 + 1,
                column,
                four(_mm256_extractf128_ps::<1>(values)),
            );
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_units(units: &[Block], span: &UnitSpan) -> Halves {
    let units = &units[span.first..span.first + span.count];
    let weight = each_row(&span.head);
    let mut sums = load(&units[0]).map(|n| _mm256_mul_ps(_mm256_cvtepi32_ps(n), weight));
    if let [_, inner @ .., last] = units {
        let mut whole = [_mm256_setzero_si256(); 2];
        for unit in inner {
            for (whole, numbers) in whole.iter_mut().zip(load(unit)) {
                *whole = _mm256_add_epi32(*whole, numbers);
            }
        }
        let weight = each_row(&span.tail);
        for (sum, (whole, tail)) in sums.iter_mut().zip(whole.into_iter().zip(load(last))) {
            let inner = _mm256_add_ps(*sum, _mm256_cvtepi32_ps(whole));
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(tail), weight, inner);
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn each_row(samples: &[f32; SAMPLES]) -> __m256 {
    // SAFETY: four numbers are read from an array of four.
    let samples = unsafe { _mm_loadu_ps(samples.as_ptr()) };
    _mm256_set_m128(samples, samples)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn four(values: __m128) -> [f32; SAMPLES] {
    let mut four = [0.0; SAMPLES];
    // SAFETY: four numbers are written to an array of four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), values) };
    four
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(block: &Block) -> [__m256i; 2] {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    let numbers = unsafe { _mm256_load_si256(block.0.as_ptr().cast()) };
    [
        _mm256_cvtepu16_epi32(_mm256_castsi256_si128(numbers)),
        _mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(numbers)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(block: &mut Block, numbers: __m256i) {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    unsafe { _mm256_store_si256(block.0.as_mut_ptr().cast(), numbers) }
}
