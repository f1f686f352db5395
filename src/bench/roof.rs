//! What a core can do at most: multiply-adds, and bytes read. The roof that a network is measured against.
//!
//! Measure it in the same run as the network, on the same thread, because clocks move.
//!
//! Thread: any. Allocates: [`Bytes::new`] does. Blocks: no.

use std::hint::black_box;

use crate::clock;
use crate::inference::kernels::Isa;
use crate::inference::plan::Precision;
use crate::units::Nanos;

/// Vector operations of each chain in one pass, long enough (about 50 us) to time.
const ROUNDS: usize = 10_000;
/// Passes of which the fastest counts.
const PASSES: usize = 40;
/// How long is read, at least one pass.
const READ_FOR: Nanos = Nanos::from_millis(20);

/// Multiply-adds a second of this core, with the instructions that a plan uses on this set in this precision. None where no
/// loop is written for them.
pub fn multiply_adds(isa: Isa, precision: Precision) -> Option<f64> {
    let fastest = (0..PASSES).filter_map(|_| {
        let begin = clock::now();
        let done = pass(isa, precision)?;
        Some(rate(done, clock::now() - begin))
    });
    fastest.reduce(f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are wanted")]
fn rate(count: usize, took: Nanos) -> f64 {
    count as f64 * 1e9 / (took.clamp_u64().max(1)) as f64
}

/// Independent chains of multiply-adds that touch no memory. Returns how many there were, None where no loop is written.
#[cfg(target_arch = "x86_64")]
fn pass(isa: Isa, precision: Precision) -> Option<usize> {
    match (isa.name(), precision) {
        // SAFETY: whoever has this set got it from the processor, which has AVX-512F.
        ("avx512", Precision::F32) => Some(unsafe { x86::avx512() }),
        // SAFETY: as above, and with AVX512-BF16.
        ("avx512", Precision::Bf16) if isa.has_pairs() => Some(unsafe { x86::avx512_bf16() }),
        // SAFETY: as above, and what takes bytes has AVX512-VNNI.
        ("avx512", Precision::Int8) if isa.takes_bytes() => Some(unsafe { x86::avx512_vnni() }),
        // SAFETY: as above, with AVX2 and FMA.
        ("avx2", Precision::F32) => Some(unsafe { x86::avx2() }),
        // SAFETY: as above.
        ("avx2", Precision::Int8) => Some(unsafe { x86::avx2_bytes() }),
        _ => None,
    }
}

/// Independent chains of multiply-adds that touch no memory. Returns how many there were, None where no loop is written.
#[cfg(target_arch = "aarch64")]
fn pass(isa: Isa, precision: Precision) -> Option<usize> {
    match (isa.name(), precision) {
        // SAFETY: all aarch64 processors that Rust knows have NEON.
        ("neon", Precision::F32) => Some(unsafe { neon() }),
        // SAFETY: what takes bytes has dot products.
        ("neon", Precision::Int8) if isa.takes_bytes() => Some(unsafe { neon_bytes() }),
        _ => None,
    }
}

/// Each adds the products of sixteen pairs of bytes to four sums.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn neon_bytes() -> usize {
    use std::arch::aarch64::{vaddvq_s32, vdupq_n_s8, vdupq_n_s32};
    use std::arch::asm;
    let bytes = black_box(vdupq_n_s8(3));
    let mut chains = [vdupq_n_s32(1); 20];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            // SAFETY: it reads and writes registers alone, and the processor has it.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {chain:v}.4s, {bytes:v}.16b, {bytes:v}.16b",
                    chain = inout(vreg) *chain,
                    bytes = in(vreg) bytes,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    for chain in chains {
        black_box(vaddvq_s32(chain));
    }
    ROUNDS * chains.len() * 16
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon() -> usize {
    use std::arch::aarch64::{vaddvq_f32, vdupq_n_f32, vfmaq_f32};
    // Two units times a latency of 4 need 8, and more do not hurt.
    let (factor, addend) = black_box((vdupq_n_f32(0.999), vdupq_n_f32(0.001)));
    let mut chains = [factor; 20];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = vfmaq_f32(addend, *chain, factor);
        }
    }
    for chain in chains {
        black_box(vaddvq_f32(chain));
    }
    ROUNDS * chains.len() * 4
}

/// Independent chains of multiply-adds that touch no memory. Returns how many there were, None where no loop is written.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn pass(_isa: Isa, _precision: Precision) -> Option<usize> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512bh, _mm256_add_epi32, _mm256_cvtsi256_si32, _mm256_cvtss_f32, _mm256_fmadd_ps,
        _mm256_madd_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
        _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
        _mm512_reduce_add_epi32, _mm512_reduce_add_ps, _mm512_set1_epi8, _mm512_set1_epi32,
        _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::ROUNDS;

    /// 20 chains: two units times a latency of 4 need 8, and more do not hurt.
    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> usize {
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
        ROUNDS * chains.len() * 16
    }

    /// Each adds the products of two pairs to a sum.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn avx512_bf16() -> usize {
        let value = black_box(_mm512_set1_ps(0.001));
        let pairs: __m512bh = _mm512_cvtne2ps_pbh(value, value);
        let mut chains = [value; 20];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, pairs, pairs);
            }
        }
        for chain in chains {
            black_box(_mm512_reduce_add_ps(chain));
        }
        ROUNDS * chains.len() * 32
    }

    /// Each adds the products of four pairs of bytes to a sum.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn avx512_vnni() -> usize {
        let bytes = black_box(_mm512_set1_epi8(3));
        let mut chains = [_mm512_set1_epi32(1); 20];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = _mm512_dpbusd_epi32(*chain, bytes, bytes);
            }
        }
        for chain in chains {
            black_box(_mm512_reduce_add_epi32(chain));
        }
        ROUNDS * chains.len() * 64
    }

    /// Bytes widened to 16 bits, as the kernel has them: each multiplies two pairs and adds them, and the sum is another
    /// instruction.
    #[target_feature(enable = "avx2")]
    pub fn avx2_bytes() -> usize {
        let values = black_box(_mm256_set1_epi16(3));
        let mut chains = [_mm256_set1_epi32(1); 12];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                // Of the sum, so that it is not multiplied once and for all.
                let products = _mm256_madd_epi16(*chain, values);
                *chain = _mm256_add_epi32(*chain, products);
            }
        }
        for chain in chains {
            black_box(_mm256_cvtsi256_si32(chain));
        }
        ROUNDS * chains.len() * 16
    }

    /// 12 chains, because there are 16 registers.
    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> usize {
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
        ROUNDS * chains.len() * 8
    }
}

/// Memory that is read again and again, as weights are: how fast depends on which cache it fits into.
#[derive(Debug)]
pub struct Bytes(Vec<u64>);

impl Bytes {
    pub fn new(count: usize) -> Self {
        // Not zeros: those would be one page, read again and again.
        Self((0..count.div_ceil(8) as u64).collect())
    }

    /// Bytes a second of this core, one pass after the other; the fastest of some.
    pub fn read(&self) -> f64 {
        let begin = clock::now();
        let mut fastest = 0.0f64;
        // BOUND: 20 ms and one pass more.
        while clock::now() - begin < READ_FOR {
            let from = clock::now();
            black_box(sum(black_box(&self.0)));
            fastest = fastest.max(rate(8 * self.0.len(), clock::now() - from));
        }
        fastest
    }
}

#[cfg(target_arch = "x86_64")]
fn sum(values: &[u64]) -> u64 {
    #[target_feature(enable = "avx2")]
    fn wide(values: &[u64]) -> u64 {
        sum_of(values)
    }
    match is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        true => unsafe { wide(values) },
        false => sum_of(values),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn sum(values: &[u64]) -> u64 {
    sum_of(values)
}

/// 32 sums side by side, so that loads do not wait for additions.
#[inline(always)]
fn sum_of(values: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let (chunks, rest) = values.as_chunks::<32>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*value);
        }
    }
    let all = sums.iter().chain(rest);
    all.fold(0, |sum, value| sum.wrapping_add(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_set_multiplies_no_slower_and_memory_is_read_at_all() {
        for isa in Isa::available() {
            let f32 = multiply_adds(isa, Precision::F32);
            assert_eq!(f32.is_none(), isa.name() == "portable", "{isa:?}");
            let int8 = multiply_adds(isa, Precision::Int8);
            let has_loop = isa.takes_bytes() && isa.name() != "portable";
            assert_eq!(int8.is_some(), has_loop, "{isa:?}");
            let bf16 = multiply_adds(isa, Precision::Bf16);
            assert_eq!(bf16.is_some(), isa.has_pairs(), "{isa:?}");
        }
        assert!(Bytes::new(100_000).read() > 0.0);
        // Every value counts once, whatever the length.
        let all = Bytes::new(8 * 77);
        assert_eq!(sum(&all.0), (0..77).sum::<u64>());
    }
}
