//! NEON: 8 lanes in two registers of 4, 32 registers. Every 64-bit ARM processor has it.

use std::arch::aarch64::{
    float16x8_t, float32x4_t, int32x4_t, uint8x16_t, uint32x4_t, vaddq_f32, vaddq_s32, vaddq_u32,
    vaddvq_f32, vandq_u32, vceqq_f32, vcombine_s16, vcvt_f32_f16, vcvt_high_f32_f16,
    vcvtnq_s32_f32, vcvtq_f32_s32, vdivq_f32, vdup_n_u8, vdupq_n_f32, vdupq_n_s32, vdupq_n_u16,
    vdupq_n_u32, veor_u8, vfmaq_f32, vget_low_f16, vld1_u16, vld1q_dup_f32, vld1q_dup_u32,
    vld1q_f32, vld1q_s32, vld1q_u8, vld1q_u16, vmaxq_f32, vmaxvq_f32, vminq_f32, vmulq_f32,
    vpaddq_f32, vqmovn_s32, vqmovun_s16, vreinterpretq_f16_u16, vreinterpretq_f16_u32,
    vreinterpretq_f32_s32, vreinterpretq_f32_u32, vreinterpretq_u8_u32, vreinterpretq_u32_f32,
    vrndnq_f32, vshll_n_u16, vshlq_n_s32, vshlq_n_u32, vshrn_n_u32, vshrq_n_u32, vsriq_n_u32,
    vst1_u8, vst1_u16, vst1q_f32, vsubq_f32,
};
use std::arch::asm;

use super::lanes::{Halves, Lanes, Pairs, Quads};

/// Two registers, because a tile of one would need twice as many loads of single values.
#[derive(Clone, Copy)]
struct Pair(float32x4_t, float32x4_t);

impl Lanes for Pair {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says that 8 floats are readable.
        unsafe { Self(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is readable.
        let value = unsafe { vld1q_dup_f32(from) };
        Self(value, value)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that 8 floats are writable.
        unsafe {
            vst1q_f32(to, self.0);
            vst1q_f32(to.add(4), self.1);
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe {
            Self(
                vfmaq_f32(addend.0, self.0, factor.0),
                vfmaq_f32(addend.1, self.1, factor.1),
            )
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vaddq_f32(self.0, other.0), vaddq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vsubq_f32(self.0, other.0), vsubq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vmulq_f32(self.0, other.0), vmulq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vdivq_f32(self.0, other.0), vdivq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The instruction gives NaN when either operand is one.
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vmaxq_f32(self.0, other.0), vmaxq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // The instruction gives NaN when either operand is one.
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vminq_f32(self.0, other.0), vminq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vrndnq_f32(self.0), vrndnq_f32(self.1)) }
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // The power is the exponent field of an f32, from bit 23 on and 127 too large.
        // SAFETY: NEON is part of the baseline.
        let half = |power| unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(power), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        };
        Self(half(self.0), half(self.1))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: NEON is part of the baseline.
        unsafe { vaddvq_f32(vaddq_f32(self.0, self.1)) }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: NEON is part of the baseline.
        unsafe { vmaxvq_f32(vmaxq_f32(self.0, self.1)) }
    }

    #[inline(always)]
    fn filled(self, value: f32) -> Self {
        // SAFETY: NEON is part of the baseline.
        let half = unsafe { vdupq_n_f32(value) };
        Self(half, half)
    }

    #[inline(always)]
    fn lower_bf16(self) -> Self {
        // SAFETY: NEON is part of the baseline.
        let half = |words| unsafe {
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(words)))
        };
        Self(half(self.0), half(self.1))
    }

    #[inline(always)]
    fn upper_bf16(self) -> Self {
        // SAFETY: NEON is part of the baseline.
        let half = |words| unsafe {
            let bits = vandq_u32(vreinterpretq_u32_f32(words), vdupq_n_u32(!0xffff));
            vreinterpretq_f32_u32(bits)
        };
        Self(half(self.0), half(self.1))
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller says that 8 words of 16 bits are readable.
        unsafe {
            let half = |words| vreinterpretq_f32_u32(vshll_n_u16::<16>(words));
            Self(half(vld1_u16(from)), half(vld1_u16(from.add(4))))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        // SAFETY: the caller says that 8 words of 16 bits are writable.
        unsafe {
            vst1_u16(to, vshrn_n_u32::<16>(rounded(self.0)));
            vst1_u16(to.add(4), vshrn_n_u32::<16>(rounded(self.1)));
        }
    }

    #[inline(always)]
    fn words_of_bf16(lower: Self, upper: Self) -> Self {
        // SAFETY: NEON is part of the baseline. The shift keeps the upper bits of its first operand.
        let half = |lower, upper| unsafe {
            vreinterpretq_f32_u32(vsriq_n_u32::<16>(rounded(upper), rounded(lower)))
        };
        Self(half(lower.0, upper.0), half(lower.1, upper.1))
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: NEON is part of the baseline; the caller says that 8 bytes are writable.
        unsafe {
            let half = |value| vqmovn_s32(vcvtnq_s32_f32(value));
            let bytes = vqmovun_s16(vcombine_s16(half(self.0), half(self.1)));
            // 128 less, as the instruction for fours of bytes wants them.
            vst1_u8(to, veor_u8(bytes, vdup_n_u8(0x80)));
        }
    }
}

/// The bits of each lane, whose upper half is the nearest bf16.
#[inline(always)]
fn rounded(value: float32x4_t) -> uint32x4_t {
    // SAFETY: NEON is part of the baseline.
    unsafe {
        let bits = vreinterpretq_u32_f32(value);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        // The sum could carry a NaN over into another number.
        let number = vceqq_f32(value, value);
        vaddq_u32(bits, vandq_u32(vaddq_u32(odd, vdupq_n_u32(0x7fff)), number))
    }
}

/// Four bytes a word, with the instruction that multiplies and sums all four. A value exists only on a processor with dot
/// products (an extension of ARMv8.2, and part of ARMv8.4).
#[derive(Clone, Copy)]
struct PairQuads(uint8x16_t, uint8x16_t);

/// `total` plus four products of signed bytes in each lane.
///
/// # Safety
/// The processor has dot products.
#[inline(always)]
unsafe fn dot(mut total: int32x4_t, a: uint8x16_t, b: uint8x16_t) -> int32x4_t {
    // SAFETY: the caller says that the instruction is there; it touches these registers alone.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {total:v}.4s, {a:v}.16b, {b:v}.16b",
            total = inout(vreg) total,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    total
}

impl Quads for PairQuads {
    type Sum = Pair;
    type Total = (int32x4_t, int32x4_t);

    const OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        let from: *const u8 = from.cast();
        // SAFETY: the caller says that 8 words are readable.
        unsafe { Self(vld1q_u8(from), vld1q_u8(from.add(16))) }
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller says that a word is readable.
        let word = unsafe { vreinterpretq_u8_u32(vld1q_dup_u32(from.cast())) };
        Self(word, word)
    }

    #[inline(always)]
    unsafe fn load_totals(from: *const f32) -> Self::Total {
        let from: *const i32 = from.cast();
        // SAFETY: the caller says that 8 words are readable.
        unsafe { (vld1q_s32(from), vld1q_s32(from.add(4))) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: Self::Total) -> Self::Total {
        // SAFETY: the set is there because `self` is.
        unsafe {
            (
                dot(total.0, self.0, weights.0),
                dot(total.1, self.1, weights.1),
            )
        }
    }

    #[inline(always)]
    fn sum(total: Self::Total) -> Pair {
        // SAFETY: NEON is part of the baseline.
        unsafe { Pair(vcvtq_f32_s32(total.0), vcvtq_f32_s32(total.1)) }
    }
}

/// Two f16 a word. A value exists only on a processor with arithmetic of f16 (an extension of ARMv8.2).
///
/// There is an instruction that adds products of f16 to f32 (FMLAL), but none of Cortex-A76, A78 and A78AE has it, and it is
/// no faster than to multiply f32.
#[derive(Clone, Copy)]
struct PairTwos(float16x8_t, float16x8_t);

/// `sum` plus eight products, each rounded once. By hand, because the intrinsic is only for functions that are compiled for
/// the extension, and these are compiled into those.
///
/// # Safety
/// The processor has arithmetic of f16.
#[inline(always)]
unsafe fn fma_f16(mut sum: float16x8_t, a: float16x8_t, b: float16x8_t) -> float16x8_t {
    // SAFETY: the caller says that the instruction is there; it touches these registers alone.
    unsafe {
        asm!(
            ".arch_extension fp16",
            "fmla {sum:v}.8h, {a:v}.8h, {b:v}.8h",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

impl Halves for PairTwos {
    type Sum = Pair;
    type Part = (float16x8_t, float16x8_t);

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        let from: *const u16 = from.cast();
        // SAFETY: the caller says that 8 words are readable.
        let (low, high) = unsafe { (vld1q_u16(from), vld1q_u16(from.add(8))) };
        // SAFETY: NEON is part of the baseline.
        unsafe { Self(vreinterpretq_f16_u16(low), vreinterpretq_f16_u16(high)) }
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller says that a word is readable.
        let word = unsafe { vreinterpretq_f16_u32(vld1q_dup_u32(from.cast())) };
        Self(word, word)
    }

    #[inline(always)]
    unsafe fn nothing() -> Self::Part {
        // SAFETY: NEON is part of the baseline.
        let nothing = unsafe { vreinterpretq_f16_u16(vdupq_n_u16(0)) };
        (nothing, nothing)
    }

    #[inline(always)]
    fn add_to(self, weights: Self, part: Self::Part) -> Self::Part {
        // SAFETY: the set is there because `self` is.
        unsafe {
            (
                fma_f16(part.0, self.0, weights.0),
                fma_f16(part.1, self.1, weights.1),
            )
        }
    }

    #[inline(always)]
    fn settle(sum: Pair, part: Self::Part) -> (Pair, Self::Part) {
        // SAFETY: NEON is part of the baseline.
        let both = |part| unsafe {
            let low = vcvt_f32_f16(vget_low_f16(part));
            vpaddq_f32(low, vcvt_high_f32_f16(part))
        };
        // SAFETY: the set is there because a part is.
        let nothing = unsafe { Self::nothing() };
        (sum.add(Pair(both(part.0), both(part.1))), nothing)
    }
}

type Widened = Pairs<Pair>;

// 12 sums are 24 registers, and the weights of one step 2 or 4, and one pixel's value: at most 29 of 32 registers.
super::instantiate! {
    name: "neon",
    lanes: Pair,
    pairs: Widened,
    tiles: {
        1 => 12: [1 2 3 4 5 6 7 8 9 10 11 12],
        2 => 6: [1 2 3 4 5 6],
    },
}

/// Bytes are stored for the instruction that this set lacks.
pub(super) static TABLE: super::Table = super::Table {
    byte_offset: <PairQuads as Quads>::OFFSET,
    ..PLAIN
};

/// The set with dot products of bytes, of which the same tiles are made.
pub(super) static TABLE_QUADS: super::Table = super::Table {
    quads: Some(quads::run),
    byte_offset: <PairQuads as Quads>::OFFSET,
    ..PLAIN
};

/// The set with arithmetic of f16, of which the same tiles are made.
pub(super) static TABLE_HALVES: super::Table = super::Table {
    halves: Some(twos::run),
    ..TABLE
};

/// The set with both.
pub(super) static TABLE_BOTH: super::Table = super::Table {
    halves: Some(twos::run),
    ..TABLE_QUADS
};

mod twos {
    use super::super::lanes::Twos;

    super::super::product! {
        #[target_feature(enable = "neon,fp16")]
        words: Twos<super::PairTwos>,
        picture: BLOCK,
        tiles: {
            1 => 12: [1 2 3 4 5 6 7 8 9 10 11 12],
            2 => 6: [1 2 3 4 5 6],
        },
    }
}

mod quads {
    use super::super::lanes::Fours;

    super::super::product! {
        #[target_feature(enable = "neon,dotprod")]
        words: Fours<super::PairQuads>,
        picture: BLOCK,
        tiles: {
            1 => 12: [1 2 3 4 5 6 7 8 9 10 11 12],
            2 => 6: [1 2 3 4 5 6],
        },
    }
}
