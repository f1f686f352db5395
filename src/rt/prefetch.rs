//! Memory that is asked for before it is needed.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

/// Asks for the cache line of a byte, wherever that is: it need not be anybody's. Only a hint; processors that are neither x86-64
/// nor aarch64 are asked for nothing.
#[inline(always)]
pub fn prefetch(from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has it, and it never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(from.cast());
    }
    // The intrinsic is not stable (rustc 1.95).
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which changes no register and never faults.
    unsafe {
        std::arch::asm!(
            "prfm pldl2keep, [{from}]",
            from = in(reg) from,
            options(readonly, nostack, preserves_flags),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = from;
}
