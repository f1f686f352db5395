//! From f32 to bf16, in words of two neighbours.

use super::lanes::Lanes;
use super::{Isa, bf16};

/// Rounds all of `numbers` into the halves of `words`, the first of them into the lower half of the first word, or with `is_upper` into its
/// upper half. Other halves stay as they are.
///
/// # Panics
/// If there are fewer words than that needs.
pub fn run(isa: Isa, numbers: &[f32], words: &mut [f32], is_upper: bool) {
    let skipped = usize::from(is_upper);
    assert!(
        (numbers.len() + skipped).div_ceil(2) <= words.len(),
        "fewer words than numbers need"
    );
    let job = Job {
        numbers,
        halves: words.as_mut_ptr().cast::<u16>().wrapping_add(skipped),
    };
    // SAFETY: the assert above is the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.round)(&job) }
}

/// What [`run`] has checked.
///
/// Contract: there is a half for each of the numbers.
pub(super) struct Job<'a> {
    numbers: &'a [f32],
    halves: *mut u16,
}

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all<V: Lanes>(job: &Job<'_>) {
    let whole = job.numbers.len() - job.numbers.len() % V::N;
    for at in (0..whole).step_by(V::N) {
        // SAFETY: a vector of numbers begins here.
        let numbers = unsafe { V::load(job.numbers.as_ptr().wrapping_add(at)) };
        // SAFETY: and so many halves.
        unsafe { numbers.store_bf16(job.halves.wrapping_add(at)) };
    }
    for (at, &number) in job.numbers.iter().enumerate().skip(whole) {
        // SAFETY: there is a half for each.
        unsafe {
            job.halves
                .wrapping_add(at)
                .write_unaligned(bf16::round(number))
        };
    }
}
