//! The two passes with AVX-512 F and BW.
//!
//! Source bytes are summed in 16 bits as even and odd bytes, which needs no shuffle; shuffles are what limits this
//! pass otherwise. Four finished rows are brought side by side while they are still 16 bits wide.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use std::arch::x86_64::*;

use super::block::{Block, BlockRows, Plane, ROWS, Rows, SAMPLES, STRIP_UNITS};
use super::colour::Finish;
use super::filter::{RowSpan, UnitSpan};

/// Four output rows: for each plane the vertical pass, then the horizontal one over all of them.
#[target_feature(enable = "avx512f,avx512bw")]
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

#[target_feature(enable = "avx512f,avx512bw")]
fn vertical<const UNIT_BYTES: usize>(
    rows: Rows<'_>,
    spans: &[RowSpan; ROWS],
    scale: u16,
    units: &mut [Block],
) {
    let last_row = spans.iter().map(RowSpan::last).max().unwrap_or(0);
    // The check behind every load below.
    assert!(rows.row(last_row).len() == rows.row_bytes);
    let strip_bytes = STRIP_UNITS * UNIT_BYTES;
    for (index, units) in units.chunks_exact_mut(STRIP_UNITS).enumerate() {
        let at = index * strip_bytes;
        let present = (rows.row_bytes - at).min(strip_bytes);
        let strip = Strip {
            start: rows.row(0)[at..].as_ptr(),
            stride: rows.stride,
            mask: u64::MAX >> (64 - present),
        };
        // SAFETY: no row of the spans is beyond `last_row`, which was checked.
        let sums = unsafe { sum_rows::<UNIT_BYTES>(strip, spans, scale) };
        side_by_side(&sums, units);
    }
}

/// Sixteen units of every row.
#[derive(Clone, Copy)]
struct Strip {
    /// The strip's first byte in row 0.
    start: *const u8,
    stride: usize,
    /// The bytes that are there: all, except at the end of a row.
    mask: __mmask64,
}

impl Strip {
    /// # Safety
    /// `row` is not beyond the last row that was checked when the strip was made.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load(&self, row: usize) -> __m512i {
        // SAFETY: the row, and so its part that begins here, lies within the frame (checked).
        let bytes = unsafe { self.start.add(row * self.stride) };
        // SAFETY: `mask` has a bit for each byte of the strip that the row has; no other byte is read.
        unsafe { _mm512_maskz_loadu_epi8(self.mask, bytes.cast()) }
    }
}

/// The sums of a strip for each output row. In 128-bit lane l of the first register are the four samples of units 4l
/// and 4l + 1, in the second those of 4l + 2 and 4l + 3.
///
/// # Safety
/// The rows of the spans are not beyond the last row that was checked when the strip was made.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sum_rows<const UNIT_BYTES: usize>(
    strip: Strip,
    spans: &[RowSpan; ROWS],
    scale: u16,
) -> [[__m512i; 2]; ROWS] {
    let low_byte = _mm512_set1_epi16(0x00ff);
    let scale = _mm512_set1_epi16(scale.cast_signed());
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    for (sums, span) in sums.iter_mut().zip(spans) {
        let mut even = _mm512_setzero_si512();
        let mut odd = even;
        for row in span.whole_rows() {
            // SAFETY: passed on from this function.
            let bytes = unsafe { strip.load(row) };
            even = _mm512_add_epi16(even, _mm512_and_si512(bytes, low_byte));
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(bytes));
        }
        let rounding = _mm512_set1_epi16(span.rounding.cast_signed());
        even = _mm512_add_epi16(_mm512_mullo_epi16(even, scale), rounding);
        odd = _mm512_add_epi16(_mm512_mullo_epi16(odd, scale), rounding);
        for (row, weight) in span.edges {
            // SAFETY: passed on from this function.
            let bytes = unsafe { strip.load(row) };
            let weight = _mm512_set1_epi16(weight.cast_signed());
            // The byte in the high half: the product's high half is byte * weight / 256.
            let (even_high, odd_high) = (
                _mm512_slli_epi16::<8>(bytes),
                _mm512_andnot_si512(low_byte, bytes),
            );
            even = _mm512_add_epi16(even, high_half(even_high, weight));
            odd = _mm512_add_epi16(odd, high_half(odd_high, weight));
        }
        *sums = interleave::<UNIT_BYTES>(even, odd);
    }
    sums
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
fn interleave<const UNIT_BYTES: usize>(even: __m512i, odd: __m512i) -> [__m512i; 2] {
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

/// Puts the four rows' samples of each unit into its block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn side_by_side(sums: &[[__m512i; 2]; ROWS], units: &mut [Block]) {
    let lanes_01 = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let lanes_23 = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for half in 0..2 {
        let [a, b, c, d] = sums.map(|row| row[half]);
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

#[target_feature(enable = "avx512f,avx512bw")]
fn horizontal<const PLANES: usize>(
    planes: [&mut Plane; PLANES],
    finish: &Finish,
    mut out: BlockRows<'_>,
) {
    let factors: [[__m512; SAMPLES]; PLANES] =
        std::array::from_fn(|plane| finish.factors[plane].map(|f| each_row(&f)));
    let (low, high) = (each_row(&finish.low), each_row(&finish.high));
    let offset = each_row(&finish.offset);
    for column in 0..out.columns() {
        let mut values = offset;
        for (plane, factors) in planes.iter().zip(&factors) {
            let sums = sum_units(&plane.units, &plane.columns[column]);
            values = _mm512_fmadd_ps(_mm512_permute_ps::<0x00>(sums), factors[0], values);
            values = _mm512_fmadd_ps(_mm512_permute_ps::<0x55>(sums), factors[1], values);
            values = _mm512_fmadd_ps(_mm512_permute_ps::<0xaa>(sums), factors[2], values);
            values = _mm512_fmadd_ps(_mm512_permute_ps::<0xff>(sums), factors[3], values);
        }
        values = _mm512_min_ps(_mm512_max_ps(values, low), high);
        out.put(0, column, four(_mm512_extractf32x4_ps::<0>(values)));
        out.put(1, column, four(_mm512_extractf32x4_ps::<1>(values)));
        out.put(2, column, four(_mm512_extractf32x4_ps::<2>(values)));
        out.put(3, column, four(_mm512_extractf32x4_ps::<3>(values)));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sum_units(units: &[Block], span: &UnitSpan) -> __m512 {
    let units = &units[span.first..span.first + span.count];
    let head = _mm512_cvtepi32_ps(load(&units[0]));
    let mut sums = _mm512_mul_ps(head, each_row(&span.head));
    if let [_, inner @ .., last] = units {
        let mut whole = _mm512_setzero_si512();
        for unit in inner {
            whole = _mm512_add_epi32(whole, load(unit));
        }
        sums = _mm512_add_ps(sums, _mm512_cvtepi32_ps(whole));
        let tail = _mm512_cvtepi32_ps(load(last));
        sums = _mm512_fmadd_ps(tail, each_row(&span.tail), sums);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn each_row(samples: &[f32; SAMPLES]) -> __m512 {
    // SAFETY: four numbers are read from an array of four.
    let samples = unsafe { _mm_loadu_ps(samples.as_ptr()) };
    _mm512_broadcast_f32x4(samples)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn four(values: __m128) -> [f32; SAMPLES] {
    let mut four = [0.0; SAMPLES];
    // SAFETY: four numbers are written to an array of four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), values) };
    four
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(block: &Block) -> __m512i {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    let numbers = unsafe { _mm256_load_si256(block.0.as_ptr().cast()) };
    _mm512_cvtepu16_epi32(numbers)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(block: &mut Block, numbers: __m256i) {
    // SAFETY: a block is sixteen 16-bit numbers, aligned to 32 bytes by its type.
    unsafe { _mm256_store_si256(block.0.as_mut_ptr().cast(), numbers) }
}
