//! The most multiply-adds of f32 that this core can do: the roof that a kernel is measured against.
//!
//! A loop of independent fused multiply-adds that touches no memory, on the widest vectors of the processor.
//! Measure it in the same run as the kernel, because clocks move.

use std::hint::black_box;

/// Vector operations of one call of [`multiply_adds`], long enough (about 50 us) to time.
const ROUNDS: usize = 10_000;

/// Runs the loop once. Returns how many multiply-adds of one lane it did; 0 where no loop is written for the processor.
#[cfg(target_arch = "x86_64")]
pub fn multiply_adds() -> u64 {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512() }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { avx2() }
    } else {
        0
    }
}

/// Runs the loop once. Returns how many multiply-adds of one lane it did; 0 where no loop is written for the processor.
#[cfg(not(target_arch = "x86_64"))]
pub fn multiply_adds() -> u64 {
    0
}

/// 20 chains: two units times a latency of 4 need 8, and more do not hurt.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> u64 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, addend) = black_box((_mm512_set1_ps(0.999), _mm512_set1_ps(0.001)));
    let mut chains = [factor; 20];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, factor, addend);
        }
    }
    for chain in chains {
        black_box(_mm512_reduce_add_ps(chain));
    }
    (ROUNDS * chains.len() * 16) as u64
}

/// 12 chains, because there are 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> u64 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, addend) = black_box((_mm256_set1_ps(0.999), _mm256_set1_ps(0.001)));
    let mut chains = [factor; 12];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, addend);
        }
    }
    for chain in chains {
        black_box(_mm256_cvtss_f32(chain));
    }
    (ROUNDS * chains.len() * 8) as u64
}
