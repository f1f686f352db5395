//! Powers of two of each row's values, and their sums: a softmax whose division is left for later.

use super::Isa;
use super::activation;
use super::lanes::Lanes;
use super::last_index;
use super::memory::SharedMut;

/// A blocked tensor: `rows` rows of `blocks` blocks that are `pitch` floats apart.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rows: usize,
    pub blocks: usize,
    pub pitch: usize,
}

/// Where results go as bf16, in words of two.
#[derive(Debug)]
pub struct Rounded<'a> {
    pub words: SharedMut<'a>,
    /// Words from block to block; a block has twice as many columns as one of f32.
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
/// With `rounded`, the powers go there instead. (The sum is that of the powers before they are rounded.)
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(
    isa: Isa,
    shape: Shape,
    values: &mut [f32],
    factors: &mut [f32],
    rounded: Option<Rounded<'_>>,
) {
    if shape.rows == 0 || shape.blocks == 0 {
        return;
    }
    shape.assert_fits(isa, values.len());
    assert!(shape.rows <= factors.len(), "a factor for each row");
    let rounded = checked(isa, shape, rounded);
    let job = Job {
        shape,
        values: values.as_mut_ptr(),
        factors: factors.as_mut_ptr(),
        rounded,
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.softmax)(&job) }
}

/// Multiplies each row by its factor; with `rounded`, into there.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn scale(
    isa: Isa,
    shape: Shape,
    mut values: SharedMut<'_>,
    factors: &[f32],
    rounded: Option<Rounded<'_>>,
) {
    if shape.rows == 0 || shape.blocks == 0 {
        return;
    }
    shape.assert_fits(isa, values.len());
    assert!(shape.rows <= factors.len(), "a factor for each row");
    let rounded = checked(isa, shape, rounded);
    let job = ScaleJob {
        shape,
        values: values.as_mut_ptr(),
        factors: factors.as_ptr(),
        rounded,
    };
    // SAFETY: the asserts above are the contract of `ScaleJob`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.scale)(&job) }
}

/// The pointer, or null, and the pitch.
fn checked(isa: Isa, shape: Shape, rounded: Option<Rounded<'_>>) -> (*mut f32, usize) {
    let Some(Rounded { mut words, pitch }) = rounded else {
        return (std::ptr::null_mut(), 0);
    };
    let halves = Shape {
        blocks: shape.blocks.div_ceil(2),
        pitch,
        ..shape
    };
    halves.assert_fits(isa, words.len());
    (words.as_mut_ptr(), pitch)
}

/// What [`run`] has checked.
///
/// Contract: `values` has a vector for each row of each block, `factors` one float for each row, and `rounded`, unless it is
/// null, a vector for each row of each two blocks, which are as far apart as its second part says.
pub(super) struct Job {
    shape: Shape,
    values: *mut f32,
    factors: *mut f32,
    rounded: (*mut f32, usize),
}

/// What [`scale`] has checked. Contract: that of [`Job`].
pub(super) struct ScaleJob {
    shape: Shape,
    values: *mut f32,
    factors: *const f32,
    rounded: (*mut f32, usize),
}

/// Stores a vector of row `row` of block `block`, as f32 or as bf16.
///
/// # Safety
/// The contract of [`Job`]; the row and the block are the shape's; the processor has the set of `V`.
#[inline(always)]
unsafe fn store<V: Lanes>(
    value: V,
    shape: Shape,
    (row, block): (usize, usize),
    values: *mut f32,
    (rounded, pitch): (*mut f32, usize),
) {
    if rounded.is_null() {
        // SAFETY: the row has a vector in each block.
        unsafe { value.store(values.wrapping_add(block * shape.pitch + row * V::N)) };
    } else {
        let words = rounded.wrapping_add(block / 2 * pitch + row * V::N);
        // SAFETY: the row has a vector in each two blocks, of which this is one half.
        unsafe { value.store_bf16(words.cast::<u16>().wrapping_add(block % 2 * V::N)) };
    }
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
            unsafe { store(power, job.shape, (row, block), job.values, job.rounded) };
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
            let value = value.mul(factor);
            // SAFETY: as above.
            unsafe { store(value, job.shape, (row, block), job.values, job.rounded) };
        }
    }
}
