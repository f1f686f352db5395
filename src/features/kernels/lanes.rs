//! A vector register: what the loops need of it.

/// A vector of `N` f32.
///
/// The constructors are unsafe: a value exists only in code that runs on a processor which has the
/// instructions. So the operations on a value need no proof of their own and are safe.
///
/// Every method is `#[inline(always)]` in every implementation: the loops and these methods must end up in one
/// function that is compiled for the instruction set, or each operation would become a call.
pub(super) trait Lanes: Copy {
    const N: usize;

    /// # Safety
    /// `from` is valid for reading `N` floats (any alignment), and the processor has the set.
    unsafe fn load(from: *const f32) -> Self;

    /// All lanes become the one float at `from`.
    ///
    /// # Safety
    /// `from` is valid for reading one float, and the processor has the set.
    unsafe fn splat(from: *const f32) -> Self;

    /// # Safety
    /// `to` is valid for writing `N` floats (any alignment).
    unsafe fn store(self, to: *mut f32);

    /// `self * factor + addend`. Rounded once where the set can do that.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    fn add(self, other: Self) -> Self;

    /// Limits each lane to 0..=6. A NaN stays a NaN, so that it is found at the end of the network.
    fn relu6(self) -> Self;
}
