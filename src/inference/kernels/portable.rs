//! Plain Rust: 8 lanes, which the compiler turns into the vectors that the target's baseline has.
//!
//! On aarch64 that is NEON with fused multiply-add. On x86-64 it is SSE2, and the multiply and the add round
//! separately: the processors without AVX2 have no fused instruction, and a call to emulate it would be 20 times
//! slower.

use super::halves;
use super::lanes::{Halves, Lanes, Pairs, Quads};

const N: usize = 8;

#[derive(Clone, Copy)]
struct Array([f32; N]);

/// True where one instruction multiplies and adds.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Array {
    #[inline(always)]
    fn with(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| operation(self.0[i], other.0[i])))
    }
}

impl Lanes for Array {
    const N: usize = N;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is valid for N floats; an array of them has their alignment.
        Self(unsafe { from.cast::<[f32; N]>().read() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is readable.
        Self([unsafe { *from }; N])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that `to` is valid for N floats.
        unsafe { to.cast::<[f32; N]>().write(self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        let mut sum = addend;
        for i in 0..N {
            sum.0[i] = if FUSED {
                self.0[i].mul_add(factor.0[i], sum.0[i])
            } else {
                self.0[i] * factor.0[i] + sum.0[i]
            };
        }
        sum
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let mut sum = self;
        for i in 0..N {
            sum.0[i] += other.0[i];
        }
        sum
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // A comparison with a NaN is false, so the other value is taken.
        self.with(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // Between 2^23 and 2^24 an f32 has no fraction, so the sum is rounded to a whole number. `round_ties_even`
        // is a call where the baseline has no instruction for it.
        const WHOLE: f32 = 1.5 * (1 << 23) as f32;
        self.with(self, |a, _| (a + WHOLE) - WHOLE)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number in 1..=254 by the method's range"
    )]
    #[inline(always)]
    fn power_of_two(self) -> Self {
        // The power is the exponent field of an f32, from bit 23 on and 127 too large.
        self.with(self, |a, _| f32::from_bits(((a + 127.0) as u32) << 23))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (b + f)) + ((c + g) + (d + h))
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn filled(self, value: f32) -> Self {
        Self([value; N])
    }

    #[inline(always)]
    fn lower_bf16(self) -> Self {
        self.with(self, |a, _| f32::from_bits(a.to_bits() << 16))
    }

    #[inline(always)]
    fn upper_bf16(self) -> Self {
        self.with(self, |a, _| f32::from_bits(a.to_bits() & !0xffff))
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller says that `from` is valid for N words of 16 bits.
        let words = unsafe { from.cast::<[u16; N]>().read_unaligned() };
        Self(words.map(|word| f32::from_bits(u32::from(word) << 16)))
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        let words = self.0.map(super::bf16::round);
        // SAFETY: the caller says that `to` is valid for N words of 16 bits.
        unsafe { to.cast::<[u16; N]>().write_unaligned(words) }
    }

    #[inline(always)]
    fn words_of_bf16(lower: Self, upper: Self) -> Self {
        lower.with(upper, |a, b| super::bf16::word([a, b]))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limited to what a byte holds"
    )]
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        let limited = self.with(self, |a, _| a.clamp(0.0, 255.0)).round();
        let bytes = limited.0.map(|a| a as u8);
        // SAFETY: the caller says that `to` is valid for N bytes.
        unsafe { to.cast::<[u8; N]>().write(bytes) }
    }
}

/// Words of four bytes.
#[derive(Clone, Copy)]
struct Bytes([[u8; 4]; N]);

impl Quads for Bytes {
    type Sum = Array;
    type Total = [i32; N];

    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is valid for N words.
        Self(unsafe { from.cast::<[[u8; 4]; N]>().read() })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is valid for a word.
        Self([unsafe { from.cast::<[u8; 4]>().read() }; N])
    }

    #[inline(always)]
    unsafe fn load_totals(from: *const f32) -> [i32; N] {
        // SAFETY: the caller says that `from` is valid for N words.
        unsafe { from.cast::<[i32; N]>().read() }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, mut total: [i32; N]) -> [i32; N] {
        for (lane, total) in total.iter_mut().enumerate() {
            for (&x, &w) in self.0[lane].iter().zip(&weights.0[lane]) {
                *total += i32::from(x) * i32::from(w.cast_signed());
            }
        }
        total
    }

    #[expect(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
    #[inline(always)]
    fn sum(total: [i32; N]) -> Array {
        Array(total.map(|total| total as f32))
    }
}

/// Words of two f16.
#[derive(Clone, Copy)]
struct ArrayOfTwos([[f32; 2]; N]);

impl Halves for ArrayOfTwos {
    type Sum = Array;
    /// Each an f16.
    type Part = [[f32; 2]; N];

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is valid for N words.
        Self(unsafe { from.cast::<[f32; N]>().read() }.map(halves::numbers))
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller says that `from` is valid for a word.
        Self([halves::numbers(unsafe { *from }); N])
    }

    #[inline(always)]
    unsafe fn nothing() -> Self::Part {
        [[0.0; 2]; N]
    }

    #[inline(always)]
    fn add_to(self, weights: Self, part: Self::Part) -> Self::Part {
        std::array::from_fn(|lane| {
            std::array::from_fn(|half| {
                let [x, w, sum] = [self.0, weights.0, part].map(|v| f64::from(v[lane][half]));
                // The product is exact, and what f64 rounds of the sum is too little to change what is rounded to f16: a sum that
                // needs more than its 53 bits is not near the middle between two f16.
                halves::number(halves::round(x * w + sum))
            })
        })
    }

    #[inline(always)]
    fn settle(sum: Array, part: Self::Part) -> (Array, Self::Part) {
        let parts = Array(part.map(|[even, odd]| even + odd));
        (sum.add(parts), [[0.0; 2]; N])
    }
}

type Widened = Pairs<Array>;

// NEON has 32 registers of 4 lanes: 8 sums of two registers, 4 for the weights, 2 for a pixel's value.
super::instantiate! {
    name: "portable",
    lanes: Array,
    pairs: Widened,
    tiles: {
        1 => 6: [1 2 3 4 5 6],
        2 => 6: [1 2 3 4 5 6],
    },
}

pub(super) static TABLE: super::Table = super::Table {
    halves: Some(twos::run),
    quads: Some(quads::run),
    byte_offset: <Bytes as Quads>::OFFSET,
    ..PLAIN
};

mod twos {
    use super::super::lanes::Twos;

    super::super::product! {
        words: Twos<super::ArrayOfTwos>,
        picture: BLOCK,
        tiles: {
            1 => 6: [1 2 3 4 5 6],
            2 => 6: [1 2 3 4 5 6],
        },
    }
}

mod quads {
    use super::super::lanes::Fours;

    super::super::product! {
        words: Fours<super::Bytes>,
        picture: BLOCK,
        tiles: {
            1 => 6: [1 2 3 4 5 6],
            2 => 6: [1 2 3 4 5 6],
        },
    }
}
