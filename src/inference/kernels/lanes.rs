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

    fn sub(self, other: Self) -> Self;

    fn mul(self, other: Self) -> Self;

    fn div(self, other: Self) -> Self;

    /// The larger of each two lanes. A NaN in `other` stays.
    fn max(self, other: Self) -> Self;

    /// The smaller of each two lanes. A NaN in `other` stays.
    fn min(self, other: Self) -> Self;

    /// To the nearest whole number, from the middle between two to the even one; between -2^22 and 2^22.
    fn round(self) -> Self;

    /// 2 to the power of each lane: whole numbers in -126..=127.
    fn power_of_two(self) -> Self;

    /// The sum of all lanes.
    fn sum(self) -> f32;

    /// The largest lane.
    fn largest(self) -> f32;

    /// A vector whose lanes are all `value`; `self` only proves that the set is there.
    fn filled(self, value: f32) -> Self;

    /// Limits each lane to 0..=6. A NaN stays a NaN, so that it is found at the end of the network.
    fn relu6(self) -> Self;
}
