//! Powers of two of each row's values, and their sums: a softmax whose division is left for later.

use super::Isa;
use super::activation;
use super::lanes::Lanes;
use super::last_index;

/// A blocked tensor: `rows` rows of `blocks` blocks that are `pitch` floats apart.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rows: usize,
    pub blocks: usize,
    pub pitch: usize,
}

impl Shape {
    /// # Panics
    /// If `len` floats do not hold the shape.
    fn assert_fits(self, isa: Isa, len: usize) {
        let lanes = isa.lanes();
        let last = last_index(
            0,
            &[(self.blocks, self.pitch), (self.rows, lanes), (lanes, 1)],
        );
        assert!(
            last.is_some_and(|last| last < len),
            "a tensor is shorter than its shape"
        );
    }
}

/// Replaces each value by 2 to the power of its distance to its row's largest, at least 2^-126, and puts 1 divided by
/// the row's sum into `factors`. A value of minus infinity counts as nothing; a row that has nothing else gives NaN.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(isa: Isa, shape: Shape, values: &mut [f32], factors: &mut [f32]) {
    if shape.rows == 0 || shape.blocks == 0 {
        return;
    }
    shape.assert_fits(isa, values.len());
    assert!(shape.rows <= factors.len(), "a factor for each row");
    let job = Job {
        shape,
        values: values.as_mut_ptr(),
        factors: factors.as_mut_ptr(),
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.softmax)(&job) }
}

/// Multiplies each row by its factor.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn scale(isa: Isa, shape: Shape, values: &mut [f32], factors: &[f32]) {
    if shape.rows == 0 || shape.blocks == 0 {
        return;
    }
    shape.assert_fits(isa, values.len());
    assert!(shape.rows <= factors.len(), "a factor for each row");
    let job = ScaleJob {
        shape,
        values: values.as_mut_ptr(),
        factors: factors.as_ptr(),
    };
    // SAFETY: the asserts above are the contract of `ScaleJob`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.scale)(&job) }
}

/// What [`run`] has checked.
///
/// Contract: `values` has a vector for each row of each block, `factors` one float for each row.
pub(super) struct Job {
    shape: Shape,
    values: *mut f32,
    factors: *mut f32,
}

/// What [`scale`] has checked. Contract: that of [`Job`].
pub(super) struct ScaleJob {
    shape: Shape,
    values: *mut f32,
    factors: *const f32,
}

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all_rows<V: Lanes>(job: &Job) {
    for row in 0..job.shape.rows {
        let at = |block: usize| {
            job.values
                .wrapping_add(block * job.shape.pitch + row * V::N)
        };
        // SAFETY: the row has a vector in each block.
        let first = unsafe { V::load(at(0)) };
        let mut largest = first;
        for block in 1..job.shape.blocks {
            // SAFETY: as above.
            largest = largest.max(unsafe { V::load(at(block)) });
        }
        let largest = first.filled(largest.largest());
        let mut sum = first.filled(0.0);
        for block in 0..job.shape.blocks {
            // SAFETY: as above.
            let value = unsafe { V::load(at(block)) };
            let power = activation::exp2(value.sub(largest));
            sum = sum.add(power);
            // SAFETY: as above.
            unsafe { power.store(at(block)) };
        }
        // SAFETY: there is a factor for each row.
        unsafe { *job.factors.wrapping_add(row) = 1.0 / sum.sum() };
    }
}

/// # Safety
/// The contract of [`ScaleJob`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn scale_rows<V: Lanes>(job: &ScaleJob) {
    for row in 0..job.shape.rows {
        // SAFETY: there is a factor for each row.
        let factor = unsafe { V::splat(job.factors.wrapping_add(row)) };
        for block in 0..job.shape.blocks {
            let at = job
                .values
                .wrapping_add(block * job.shape.pitch + row * V::N);
            // SAFETY: the row has a vector in each block.
            let value = unsafe { V::load(at) };
            // SAFETY: as above.
            unsafe { value.mul(factor).store(at) };
        }
    }
}
