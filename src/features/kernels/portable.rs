//! Plain Rust: 8 lanes, which the compiler turns into the vectors that the target's baseline has.
//!
//! On aarch64 that is NEON with fused multiply-add. On x86-64 it is SSE2, and the multiply and the add round
//! separately: the processors without AVX2 have no fused instruction, and a call to emulate it would be 20 times
//! slower.

use super::lanes::Lanes;

const N: usize = 8;

#[derive(Clone, Copy)]
struct Array([f32; N]);

/// True where one instruction multiplies and adds.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

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
    fn relu6(self) -> Self {
        let mut limited = self;
        for v in &mut limited.0 {
            // Comparisons with a NaN are false, so it stays. `clamp` would do the same but may panic.
            *v = if *v < 0.0 { 0.0 } else { *v };
            *v = if *v > 6.0 { 6.0 } else { *v };
        }
        limited
    }
}

// NEON has 32 registers of 4 lanes: 8 sums of two registers, 4 for the weights, 2 for a pixel's value.
super::instantiate! {
    name: "portable",
    lanes: Array,
    tiles: {
        1 => 6: [1 2 3 4 5 6],
        2 => 6: [1 2 3 4 5 6],
    },
}
