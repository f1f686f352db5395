//! From f32 to bytes, each row with a factor of its own: whole numbers in -127..=127, of which the largest is 127, and what they are to
//! be multiplied with.

use super::Isa;
use super::lanes::Lanes;
use super::last_index;
use super::memory::SharedMut;

/// What is added to a whole number so that it is a byte.
pub const ZERO: i32 = 128;

/// The largest whole number.
const MOST: f32 = 127.0;

/// The bytes of a word as the numbers 0..=255 that they stand for: a set may store them less 128.
pub fn bytes(isa: Isa, word: f32) -> [u8; 4] {
    let offset = isa.0.byte_offset.to_le_bytes()[0];
    let bytes = word.to_bits().to_le_bytes();
    bytes.map(|byte| byte.wrapping_add(offset))
}

/// A word of such numbers.
pub fn word(isa: Isa, bytes: [u8; 4]) -> f32 {
    let offset = isa.0.byte_offset.to_le_bytes()[0];
    let bytes = bytes.map(|byte| byte.wrapping_sub(offset));
    f32::from_bits(u32::from_le_bytes(bytes))
}

/// Rows of a blocked tensor of f32: `blocks` blocks that are `pitch` floats apart.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub rows: usize,
    pub blocks: usize,
    pub pitch: usize,
    pub values: &'a [f32],
}

/// Where they go.
#[derive(Debug)]
pub struct Bytes<'a> {
    /// Words of four; a block has four times as many columns as one of f32.
    pub words: SharedMut<'a>,
    /// Words from block to block.
    pub pitch: usize,
    /// One for each row.
    pub scales: &'a mut [f32],
}

/// Rounds each row. What fills up the input's last block must be zeros. A row that holds what is not finite gets a scale that is a
/// NaN.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(isa: Isa, input: Rows<'_>, mut output: Bytes<'_>) {
    let (rows, lanes) = (input.rows, isa.lanes());
    if rows == 0 || input.blocks == 0 {
        return;
    }
    let fits = |blocks: usize, pitch: usize, len: usize| {
        last_index(0, &[(blocks, pitch), (rows, lanes), (lanes, 1)]).is_some_and(|last| last < len)
    };
    assert!(
        fits(input.blocks, input.pitch, input.values.len())
            && fits(input.blocks.div_ceil(4), output.pitch, output.words.len())
            && rows <= output.scales.len(),
        "a tensor is shorter than its shape"
    );
    let job = Job {
        rows,
        blocks: input.blocks,
        pitch: input.pitch,
        values: input.values.as_ptr(),
        words: output.words.as_mut_ptr().cast(),
        words_pitch: output.pitch,
        scales: output.scales.as_mut_ptr(),
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.quantise)(&job) }
}

/// What [`run`] has checked.
///
/// Contract: `values` has a vector for each of the rows in each of the blocks, `pitch` apart, of which there is one at least;
/// `words` one of words in each four blocks, `words_pitch` words apart; `scales` a float for each row.
pub(super) struct Job {
    rows: usize,
    blocks: usize,
    pitch: usize,
    values: *const f32,
    words: *mut u8,
    words_pitch: usize,
    scales: *mut f32,
}

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all_rows<V: Lanes>(job: &Job) {
    for row in 0..job.rows {
        let input = |block: usize| {
            let at = job.values.wrapping_add(block * job.pitch + row * V::N);
            // SAFETY: a vector of this row.
            unsafe { V::load(at) }
        };
        let first = input(0);
        let zero = first.filled(0.0);
        // The second is 0, or a NaN where a value is not finite: a maximum may lose one.
        let (mut largest, mut strange) = (zero, zero);
        for block in 0..job.blocks {
            let x = input(block);
            largest = largest.max(zero.sub(x).max(x));
            strange = x.mul_add(zero, strange);
        }
        let (largest, strange) = (largest.largest(), strange.sum());
        let factor = if largest > 0.0 { MOST / largest } else { 0.0 };
        // SAFETY: there is a scale for each row.
        unsafe { *job.scales.wrapping_add(row) = largest / MOST + strange };
        #[expect(clippy::cast_precision_loss, reason = "128 is exact")]
        let (factor, offset) = (first.filled(factor), first.filled(ZERO as f32));
        for block in 0..job.blocks {
            let at = (block / 4 * job.words_pitch + row * V::N) * 4 + block % 4 * V::N;
            let whole = input(block).mul_add(factor, offset);
            // SAFETY: a quarter of a vector of words of this row.
            unsafe { whole.store_bytes(job.words.wrapping_add(at)) };
        }
    }
}
