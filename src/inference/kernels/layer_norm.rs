//! Layer normalisation: each row to mean 0 and variance 1, then a gain and a shift for each column.

use super::Isa;
use super::lanes::Lanes;
use super::last_index;
use super::memory::{Aligned, SharedMut};

/// Gain and shift of each column, filled up to whole blocks with zeros.
#[derive(Debug)]
pub struct Norm {
    isa: Isa,
    columns: usize,
    gain: Aligned,
    shift: Aligned,
    /// A vector: 1 for each lane of the last block that is a column, 0 for those that fill it up.
    last: Aligned,
    epsilon: f32,
}

impl Norm {
    /// `epsilon` is added to the variance.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn new(isa: Isa, gain: &[f32], shift: &[f32], epsilon: f32) -> Self {
        assert_eq!(
            gain.len(),
            shift.len(),
            "a gain and a shift for each column"
        );
        let lanes = isa.lanes();
        let mut last = Aligned::zeroed(lanes);
        last[..gain.len() - (isa.blocks(gain.len()).max(1) - 1) * lanes].fill(1.0);
        Self {
            isa,
            last,
            columns: gain.len(),
            gain: padded(isa, gain),
            shift: padded(isa, shift),
            epsilon,
        }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }
}

fn padded(isa: Isa, values: &[f32]) -> Aligned {
    let mut all = Aligned::zeroed(isa.blocks(values.len()) * isa.lanes());
    all[..values.len()].copy_from_slice(values);
    all
}

/// Where the result goes: as f32, as bf16, or as both.
#[derive(Debug, Default)]
pub struct Output<'a> {
    pub f32: Option<SharedMut<'a>>,
    /// Words of two.
    pub bf16: Option<SharedMut<'a>>,
}

/// Normalises `rows` rows of a blocked tensor whose blocks are `pitch` words apart, as those of the outputs. What fills up
/// the last block must be zeros, and becomes zeros.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(norm: &Norm, rows: usize, pitch: usize, input: &[f32], output: Output<'_>) {
    if rows == 0 || norm.columns == 0 {
        return;
    }
    let lanes = norm.isa.lanes();
    let blocks = norm.isa.blocks(norm.columns);
    let fits = |blocks: usize, len: usize| {
        last_index(0, &[(blocks, pitch), (rows, lanes), (lanes, 1)]).is_some_and(|last| last < len)
    };
    assert!(
        fits(blocks, input.len())
            && output.f32.as_ref().is_none_or(|o| fits(blocks, o.len()))
            && output
                .bf16
                .as_ref()
                .is_none_or(|o| fits(blocks.div_ceil(2), o.len())),
        "a tensor is shorter than its shape"
    );
    let job = Job {
        norm,
        rows,
        blocks,
        pitch,
        input: input.as_ptr(),
        f32: pointer(output.f32),
        bf16: pointer(output.bf16),
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (norm.isa.0.layer_norm)(&job) }
}

fn pointer(floats: Option<SharedMut<'_>>) -> *mut f32 {
    floats.map_or(std::ptr::null_mut(), |mut floats| floats.as_mut_ptr())
}

/// What [`run`] has checked.
///
/// Contract: `input`, and `f32` unless it is null, have a vector for each of the rows in each of the blocks, `pitch` apart,
/// and `bf16`, unless it is null, one in each two blocks; the norm has a
/// vector for each of the blocks, of which there is one at least.
pub(super) struct Job<'a> {
    norm: &'a Norm,
    rows: usize,
    blocks: usize,
    pitch: usize,
    input: *const f32,
    f32: *mut f32,
    bf16: *mut f32,
}

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all_rows<V: Lanes>(job: &Job<'_>) {
    for row in 0..job.rows {
        // SAFETY: the row is one of the job's.
        unsafe { one_row::<V>(job, row * V::N) };
    }
}

/// Mean and variance are computed one after the other: the usual short cut, the mean of the squares less the square of the
/// mean, loses digits where the mean is large. The row is in the nearest cache after the first walk.
///
/// # Safety
/// As for [`all_rows`]; `at` is where a row begins in each block.
#[expect(
    clippy::cast_precision_loss,
    reason = "a row has thousands of columns at most"
)]
#[inline(always)]
unsafe fn one_row<V: Lanes>(job: &Job<'_>, at: usize) {
    let (norm, blocks) = (job.norm, job.blocks);
    let input = |block: usize| {
        // SAFETY: a vector of this row.
        unsafe { V::load(job.input.wrapping_add(block * job.pitch + at)) }
    };
    let columns = norm.columns as f32;
    // Two sums of neighbouring blocks do not wait for each other.
    let first = input(0);
    let mut sums = [first, first.filled(0.0)];
    for block in 1..blocks {
        sums[block % 2] = sums[block % 2].add(input(block));
    }
    let mean = sums[0].add(sums[1]).sum() / columns;
    let means = first.filled(mean);
    let mut squares = [first.filled(0.0); 2];
    for block in 0..blocks - 1 {
        let off = input(block).sub(means);
        squares[block % 2] = off.mul_add(off, squares[block % 2]);
    }
    // What fills up the last block is not part of the row.
    // SAFETY: it is a vector.
    let counts = unsafe { V::load(norm.last.as_ptr()) };
    let off = input(blocks - 1).sub(means).mul(counts);
    squares[0] = off.mul_add(off, squares[0]);
    let variance = squares[0].add(squares[1]).sum() / columns;
    let factor = first.filled(1.0 / (variance + norm.epsilon).sqrt());
    for block in 0..blocks {
        let x = input(block).sub(means).mul(factor);
        // SAFETY: the norm has a vector for each block.
        let gain = unsafe { V::load(norm.gain.as_ptr().wrapping_add(block * V::N)) };
        // SAFETY: as above.
        let shift = unsafe { V::load(norm.shift.as_ptr().wrapping_add(block * V::N)) };
        let x = x.mul_add(gain, shift);
        if !job.f32.is_null() {
            // SAFETY: a vector of this row.
            unsafe { x.store(job.f32.wrapping_add(block * job.pitch + at)) };
        }
        if !job.bf16.is_null() {
            let words: *mut u16 = job.bf16.wrapping_add(block / 2 * job.pitch + at).cast();
            // SAFETY: half a vector of this row.
            unsafe { x.store_bf16(words.wrapping_add(block % 2 * V::N)) };
        }
    }
}
