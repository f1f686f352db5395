//! AVX-512F: 16 lanes, 32 registers.

use std::arch::x86_64::{
    __m256bh, __m256i, __m512, __m512bh, __m512i, _mm_storeu_si128, _mm256_loadu_si256,
    _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmpord_ps_mask, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_cvtps_epi32,
    _mm512_cvtusepi32_epi8, _mm512_div_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mask_add_epi32, _mm512_max_epi32, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_or_si512, _mm512_permutexvar_epi16, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_ps,
    _mm512_sub_ps,
};

use super::lanes::{Lanes, Pairs, Quads};

/// A register of AVX-512. A value exists only on a processor with AVX-512F (contract of the constructors), and if it `CONVERTS`, with
/// AVX512-BF16 and AVX512-BW.
#[derive(Clone, Copy)]
pub(super) struct Zmm<const CONVERTS: bool = false>(pub(super) __m512);

impl<const CONVERTS: bool> Zmm<CONVERTS> {
    /// The bits of each lane, whose upper half is the nearest bf16.
    #[inline(always)]
    fn rounded(self) -> __m512i {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            // The sum could carry a NaN over into another number.
            let number = _mm512_cmpord_ps_mask(self.0, self.0);
            _mm512_mask_add_epi32(bits, number, bits, half)
        }
    }
}

impl<const CONVERTS: bool> Lanes for Zmm<CONVERTS> {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is readable and the set is there.
        Self(unsafe { _mm512_set1_ps(*from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that `to` is writable; the set is there because `self` is.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The instruction gives its second operand when either is a NaN.
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // As for `max`.
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_roundscale_ps::<8>(self.0) })
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), self.0) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the set is there because `self` is.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the set is there because `self` is.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }

    #[inline(always)]
    fn filled(self, value: f32) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn lower_bf16(self) -> Self {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm512_slli_epi32::<16>(_mm512_castps_si512(self.0));
            Self(_mm512_castsi512_ps(bits))
        }
    }

    #[inline(always)]
    fn upper_bf16(self) -> Self {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm512_and_si512(_mm512_castps_si512(self.0), _mm512_set1_epi32(!0xffff));
            Self(_mm512_castsi512_ps(bits))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller says that the set is there and 16 words of 16 bits are readable.
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        // SAFETY: the set is there because `self` is; the caller says that 16 words of 16 bits are writable.
        unsafe {
            let words = match CONVERTS {
                true => std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0)),
                false => _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(self.rounded())),
            };
            _mm256_storeu_si256(to.cast(), words);
        }
    }

    #[inline(always)]
    fn words_of_bf16(lower: Self, upper: Self) -> Self {
        // SAFETY: the set is there because its values are.
        unsafe {
            if CONVERTS {
                // The lower ones are the first half, the upper ones the second; word by word they alternate.
                let halves = _mm512_cvtne2ps_pbh(upper.0, lower.0);
                let halves = std::mem::transmute::<__m512bh, __m512i>(halves);
                let order = _mm512_loadu_si512(ALTERNATING.as_ptr().cast());
                let words = _mm512_permutexvar_epi16(order, halves);
                return Self(_mm512_castsi512_ps(words));
            }
            let (lower, upper) = (lower.rounded(), upper.rounded());
            let upper = _mm512_and_si512(upper, _mm512_set1_epi32(!0xffff));
            let words = _mm512_or_si512(_mm512_srli_epi32::<16>(lower), upper);
            Self(_mm512_castsi512_ps(words))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the set is there because `self` is; the caller says that 16 bytes are writable.
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(self.0), _mm512_setzero_si512());
            _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(whole));
        }
    }
}

/// The first and the second half of 32 numbers in turns.
const ALTERNATING: [u16; 32] = {
    let (mut order, mut place) = ([0; 32], 0);
    while place < 16 {
        order[2 * place as usize] = place;
        order[2 * place as usize + 1] = 16 + place;
        place += 1;
    }
    order
};

/// Four bytes a word, with the instruction that multiplies and sums all four. A value exists only on a processor with
/// AVX512-VNNI.
#[derive(Clone, Copy)]
struct ZmmQuads(__m512i);

impl ZmmQuads {
    #[inline(always)]
    fn of(words: Zmm) -> Self {
        // SAFETY: the set is there because `words` is.
        Self(unsafe { _mm512_castps_si512(words.0) })
    }
}

impl Quads for ZmmQuads {
    type Sum = Zmm;
    type Total = __m512i;

    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Zmm::load(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Zmm::splat(from) })
    }

    #[inline(always)]
    unsafe fn load_totals(from: *const f32) -> __m512i {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Zmm::load(from) }).0
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: __m512i) -> __m512i {
        // SAFETY: the set is there because `self` is.
        unsafe { _mm512_dpbusd_epi32(total, self.0, weights.0) }
    }

    #[inline(always)]
    fn sum(total: __m512i) -> Zmm {
        // SAFETY: the set is there because totals are made by it.
        Zmm(unsafe { _mm512_cvtepi32_ps(total) })
    }
}

type Widened = Pairs<Zmm>;

// At most 28 sums, and the weights of one step (1 to 3 registers), and one pixel's value: at most 31 of 32 registers.
super::instantiate! {
    name: "avx512",
    #[target_feature(enable = "avx512f")]
    lanes: Zmm,
    pairs: Widened,
    tiles: {
        1 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        2 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        3 => 9: [1 2 3 4 5 6 7 8 9],
    },
}

pub(super) static TABLE: super::Table = PLAIN;

/// The set with an instruction for fours of bytes, of which the same tiles are made.
pub(super) static TABLE_QUADS: super::Table = super::Table {
    quads: Some(quads::run),
    byte_offset: <ZmmQuads as Quads>::OFFSET,
    ..PLAIN
};

pub(super) mod quads {
    use super::super::lanes::Fours;

    super::super::product! {
        #[target_feature(enable = "avx512f,avx512vnni")]
        words: Fours<super::ZmmQuads>,
        picture: BLOCK,
        tiles: {
            1 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
            2 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
            3 => 9: [1 2 3 4 5 6 7 8 9],
        },
    }
}
