//! AVX2 with FMA: 8 lanes, 16 registers.

use std::arch::x86_64::{
    __m256, __m256i, _CMP_ORD_Q, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm_add_ps,
    _mm_cvtss_f32, _mm_loadu_si128, _mm_max_ps, _mm_movehl_ps, _mm_packs_epi32, _mm_packus_epi16,
    _mm_shuffle_ps, _mm_storel_epi64, _mm_storeu_si128, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_si256, _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32,
    _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extractf128_ps, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_or_si256, _mm256_packus_epi32, _mm256_permute4x64_epi64, _mm256_round_ps,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi16, _mm256_slli_epi32,
    _mm256_srai_epi16, _mm256_srli_epi16, _mm256_srli_epi32, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::lanes::{Lanes, Pairs, Quads};

/// A register of AVX. A value exists only on a processor with AVX2 and FMA (contract of the constructors).
#[derive(Clone, Copy)]
struct Ymm(__m256);

impl Ymm {
    /// The bits of each lane, whose upper half is the nearest bf16.
    #[inline(always)]
    fn rounded(self) -> __m256i {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            // The sum could carry a NaN over into another number.
            let number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(self.0, self.0));
            _mm256_add_epi32(bits, _mm256_and_si256(half, number))
        }
    }
}

impl Lanes for Ymm {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is readable and the set is there.
        Self(unsafe { _mm256_set1_ps(*from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that `to` is writable; the set is there because `self` is.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The instruction gives its second operand when either is a NaN.
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // As for `max`.
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_round_ps::<NEAREST>(self.0) })
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // The power is the exponent field of an f32, from bit 23 on and 127 too large.
        // SAFETY: the set is there because `self` is.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let (low, high) = (
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let four = _mm_add_ps(low, high);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ps(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let (low, high) = (
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let four = _mm_max_ps(low, high);
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ps(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn filled(self, value: f32) -> Self {
        // SAFETY: the set is there because `self` is.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn lower_bf16(self) -> Self {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm256_slli_epi32::<16>(_mm256_castps_si256(self.0));
            Self(_mm256_castsi256_ps(bits))
        }
    }

    #[inline(always)]
    fn upper_bf16(self) -> Self {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let bits = _mm256_and_si256(_mm256_castps_si256(self.0), _mm256_set1_epi32(!0xffff));
            Self(_mm256_castsi256_ps(bits))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller says that the set is there and 8 words of 16 bits are readable.
        unsafe {
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        // SAFETY: the set is there because `self` is; the caller says that 8 words of 16 bits are writable.
        unsafe {
            let words = _mm256_srli_epi32::<16>(self.rounded());
            // Packs within each half of a register, so that the halves of the result are apart.
            let packed = _mm256_packus_epi32(words, words);
            let together = _mm256_permute4x64_epi64::<0b1000>(packed);
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(together));
        }
    }

    #[inline(always)]
    fn words_of_bf16(lower: Self, upper: Self) -> Self {
        // SAFETY: the set is there because its values are.
        unsafe {
            let lower = _mm256_srli_epi32::<16>(lower.rounded());
            let upper = _mm256_and_si256(upper.rounded(), _mm256_set1_epi32(!0xffff));
            Self(_mm256_castsi256_ps(_mm256_or_si256(lower, upper)))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the set is there because `self` is; the caller says that 8 bytes are writable.
        unsafe {
            let whole = _mm256_cvtps_epi32(self.0);
            let (low, high) = (
                _mm256_castsi256_si128(whole),
                _mm256_extracti128_si256::<1>(whole),
            );
            let halves = _mm_packs_epi32(low, high);
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(halves, halves));
        }
    }
}

/// Four bytes a word. The one instruction that multiplies bytes (`vpmaddubsw`) limits sums to 16 bits, which two products of a
/// byte can be beyond; so bytes are widened, and pairs of those multiplied and summed. A value exists only on a processor
/// with AVX2.
#[derive(Clone, Copy)]
struct YmmQuads(__m256i);

impl YmmQuads {
    #[inline(always)]
    fn of(words: Ymm) -> Self {
        // SAFETY: the set is there because `words` is.
        Self(unsafe { _mm256_castps_si256(words.0) })
    }
}

impl Quads for YmmQuads {
    type Sum = Ymm;
    type Total = __m256i;

    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Ymm::load(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Ymm::splat(from) })
    }

    #[inline(always)]
    unsafe fn load_totals(from: *const f32) -> __m256i {
        // SAFETY: the caller's contract is the same.
        Self::of(unsafe { Ymm::load(from) }).0
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: __m256i) -> __m256i {
        // SAFETY: the set is there because `self` is.
        unsafe {
            let even = _mm256_and_si256(self.0, _mm256_set1_epi16(0xff));
            let odd = _mm256_srli_epi16::<8>(self.0);
            let even_weights = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights.0));
            let odd_weights = _mm256_srai_epi16::<8>(weights.0);
            let total = _mm256_add_epi32(total, _mm256_madd_epi16(even, even_weights));
            _mm256_add_epi32(total, _mm256_madd_epi16(odd, odd_weights))
        }
    }

    #[inline(always)]
    fn sum(total: __m256i) -> Ymm {
        // SAFETY: the set is there because totals are made by it.
        Ymm(unsafe { _mm256_cvtepi32_ps(total) })
    }
}

type Widened = Pairs<Ymm>;

// 12 sums, and the weights of one step (1 or 2 registers), and one pixel's value: at most 15 of 16 registers. A
// tile of 4 pixels by 3 blocks would need exactly 16, and the compiler does not find that arrangement: it ran at
// half the speed.
super::instantiate! {
    name: "avx2",
    #[target_feature(enable = "avx2,fma")]
    lanes: Ymm,
    pairs: Widened,
    tiles: {
        1 => 12: [1 2 3 4 5 6 7 8 9 10 11 12],
        2 => 6: [1 2 3 4 5 6],
    },
}

pub(super) static TABLE: super::Table = super::Table {
    quads: Some(quads::run),
    byte_offset: <YmmQuads as Quads>::OFFSET,
    ..PLAIN
};

mod quads {
    use super::super::lanes::Fours;

    super::super::product! {
        #[target_feature(enable = "avx2,fma")]
        words: Fours<super::YmmQuads>,
        picture: BLOCK,
        tiles: {
            1 => 12: [1 2 3 4 5 6 7 8 9 10 11 12],
            2 => 6: [1 2 3 4 5 6],
        },
    }
}
