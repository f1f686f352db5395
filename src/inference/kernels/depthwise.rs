//! Depthwise convolutions, 3x3 and 5x5, stride 1 and 2, with bias and limit to 0..=6.

use super::lanes::Lanes;
use super::last_index;
use super::pack::DepthwiseFilters;
use super::precision::Precision;
use super::unrolled;

/// One block of channels of the input: padded rows anywhere in one slice.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    pub values: &'a [f32],
    /// Where each padded input row begins in `values`, from the first that the first output row needs. A row of
    /// padding is a row of zeros like any other.
    pub rows: &'a [usize],
    /// Floats of a padded row.
    pub row_floats: usize,
    /// 1 or 2, in both directions.
    pub stride: usize,
}

/// Computes `rows` rows of `width` pixels of channel block `block`, one after the other into `output`. What is read and
/// written is in words of the filters' precision, f32 or two bf16; sums are f32.
///
/// # Panics
/// If a slice is too short for what it is said to hold, or the stride is neither 1 nor 2.
pub fn run(
    filters: &DepthwiseFilters,
    block: usize,
    input: Plane<'_>,
    rows: usize,
    width: usize,
    output: &mut [f32],
) {
    run_to(filters, block, input, (rows, width), None, output);
}

/// What a byte of [`run_to_bytes`] is worth.
pub const BYTE_OF_RELU6: f32 = 6.0 / 255.0;

/// As [`run`] for one row with filters for f32, into words of four bytes: each is the nearest number of [`BYTE_OF_RELU6`]s. A word has four
/// neighbouring channels, so four blocks share the words of `output`, and this is one of them.
///
/// # Panics
/// As [`run`].
pub fn run_to_bytes(
    filters: &DepthwiseFilters,
    block: usize,
    input: Plane<'_>,
    width: usize,
    output: &mut [f32],
) {
    run_to(filters, block, input, (1, width), Some(block % 4), output);
}

/// `quarter`: as bytes, which of the four blocks of a block of words.
fn run_to(
    filters: &DepthwiseFilters,
    block: usize,
    input: Plane<'_>,
    (rows, width): (usize, usize),
    quarter: Option<usize>,
    output: &mut [f32],
) {
    if rows == 0 || width == 0 {
        return;
    }
    let (lanes, size) = (filters.isa.lanes(), filters.size);
    assert!(block < filters.blocks(), "no block {block}");
    let is_bf16 = filters.precision == Precision::Bf16;
    assert!(!is_bf16 || quarter.is_none(), "bytes of bf16");
    assert!(matches!(input.stride, 1 | 2), "the stride is 1 or 2");
    let last_row = last_index(0, &[(rows, input.stride), (size, 1)]);
    assert!(
        last_row.is_some_and(|last| last < input.rows.len()),
        "fewer input rows than {rows} output rows need"
    );
    let last = last_index(
        0,
        &[(width, input.stride * lanes), (size, lanes), (lanes, 1)],
    );
    assert!(
        last.is_some_and(|last| last < input.row_floats),
        "an input row is shorter than {width} outputs need"
    );
    assert!(
        input.rows.iter().all(|&at| {
            at.checked_add(input.row_floats)
                .is_some_and(|end| end <= input.values.len())
        }),
        "an input row lies outside its slice"
    );
    let floats = rows.checked_mul(width).and_then(|n| n.checked_mul(lanes));
    assert!(
        floats.is_some_and(|floats| floats <= output.len()),
        "the output is shorter than its shape"
    );
    let (taps, channels) = (size * size, filters.precision.columns_per_word() * lanes);
    let job = Job {
        input: input.values.as_ptr(),
        row_offsets: input.rows,
        stride: input.stride,
        size,
        filter: filters.filters[block * taps * channels..].as_ptr(),
        bias: filters.bias[block * channels..].as_ptr(),
        is_bf16,
        rows,
        width,
        output: output
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(quarter.unwrap_or(0) * lanes),
        to_bytes: quarter.is_some(),
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set, and the
    // filters were packed for it.
    unsafe { (filters.isa.0.depthwise)(&job) }
}

/// What [`run`] has checked.
///
/// Contract: each of the `row_offsets` that the output rows reach begins a row of `input` that is long enough for
/// `width` outputs; `filter` has a vector for each tap, `bias` one, and with bf16 two for each; `output` has `rows * width` vectors, or
/// a quarter of each if it is of bytes.
pub(super) struct Job<'a> {
    input: *const f32,
    row_offsets: &'a [usize],
    stride: usize,
    size: usize,
    filter: *const f32,
    bias: *const f32,
    rows: usize,
    width: usize,
    /// Where the first pixel goes; the others follow at a vector of words.
    output: *mut u8,
    to_bytes: bool,
    /// Input and output are words of two bf16.
    is_bf16: bool,
}

/// Outputs computed together. With 5 taps of a row and a value that makes 13 registers, which the smallest set
/// (16) holds; and 7 divides the widths of all usual networks (112, 56, 28, 14, 7).
const TOGETHER: usize = 7;

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all_rows<V: Lanes>(job: &Job<'_>) {
    match (job.size, job.stride) {
        // SAFETY: the contract is handed on.
        (3, 1) => unsafe { rows_of::<V, 3, 1>(job) },
        // SAFETY: as above.
        (3, _) => unsafe { rows_of::<V, 3, 2>(job) },
        // SAFETY: as above.
        (_, 1) => unsafe { rows_of::<V, 5, 1>(job) },
        // SAFETY: as above.
        _ => unsafe { rows_of::<V, 5, 2>(job) },
    }
}

/// # Safety
/// As for [`all_rows`], with a filter of `SIZE` by `SIZE` at stride `STRIDE`.
#[inline(always)]
unsafe fn rows_of<V: Lanes, const SIZE: usize, const STRIDE: usize>(job: &Job<'_>) {
    let mut output = job.output;
    for row in 0..job.rows {
        let offsets = &job.row_offsets[row * STRIDE..][..SIZE];
        let mut x = 0;
        while x < job.width {
            let at = x * STRIDE * V::N;
            let is_single = x + TOGETHER > job.width;
            // SAFETY: these outputs are within the row, so what they read is too.
            unsafe {
                match (job.is_bf16, is_single) {
                    (false, false) => {
                        outputs::<V, SIZE, STRIDE, TOGETHER>(job, offsets, at, output)
                    }
                    (false, true) => outputs::<V, SIZE, STRIDE, 1>(job, offsets, at, output),
                    (true, false) => pairs::<V, SIZE, STRIDE, TOGETHER>(job, offsets, at, output),
                    (true, true) => pairs::<V, SIZE, STRIDE, 1>(job, offsets, at, output),
                }
            }
            let together = if is_single { 1 } else { TOGETHER };
            x += together;
            // SAFETY: at most one past the end of the output.
            output = unsafe { output.add(together * V::N * size_of::<f32>()) };
        }
    }
}

/// Columns of input of [`TOGETHER`] outputs, at most: with 5 taps at stride 2.
const COLUMNS_MAX: usize = 2 * (TOGETHER - 1) + 5;

/// `COUNT` neighbouring outputs of words of two bf16. Each word of the input is taken apart once a filter row, and then used by
/// all outputs that it meets.
///
/// # Safety
/// As for [`outputs`].
#[inline(always)]
unsafe fn pairs<V: Lanes, const SIZE: usize, const STRIDE: usize, const COUNT: usize>(
    job: &Job<'_>,
    offsets: &[usize],
    at: usize,
    output: *mut u8,
) {
    // SAFETY: two vectors, of the lower and of the upper halves.
    let both = |from: *const f32| unsafe { [V::load(from), V::load(from.wrapping_add(V::N))] };
    let mut sums = [both(job.bias); COUNT];
    for (tap_row, offset) in offsets.iter().enumerate().take(SIZE) {
        // SAFETY: the row is part of the input, and `at` is inside it.
        let input = unsafe { job.input.add(offset + at) };
        let filter = job.filter.wrapping_add(tap_row * SIZE * 2 * V::N);
        let mut taps = [both(filter); SIZE];
        unrolled!(for tap in 0..SIZE {
            taps[tap] = both(filter.wrapping_add(tap * 2 * V::N));
        });
        unrolled!(for column in 0..COLUMNS_MAX {
            if column < (COUNT - 1) * STRIDE + SIZE {
                // SAFETY: column `column` after `at` is an input of one of these outputs.
                let words = unsafe { V::load(input.wrapping_add(column * V::N)) };
                let (lower, upper) = (words.lower_bf16(), words.upper_bf16());
                unrolled!(for i in 0..COUNT {
                    if column >= i * STRIDE && column - i * STRIDE < SIZE {
                        let tap = taps[column - i * STRIDE];
                        sums[i] = [
                            lower.mul_add(tap[0], sums[i][0]),
                            upper.mul_add(tap[1], sums[i][1]),
                        ];
                    }
                });
            }
        });
    }
    let limited = |sum: V| sum.limited(sum.filled(0.0), sum.filled(6.0));
    unrolled!(for i in 0..COUNT {
        let words = V::words_of_bf16(limited(sums[i][0]), limited(sums[i][1]));
        let to: *mut f32 = output.wrapping_add(i * V::N * size_of::<f32>()).cast();
        // SAFETY: output `i` of these.
        unsafe { words.store(to) };
    });
}

/// `COUNT` neighbouring outputs. Each input value is loaded once a filter row and used by all taps that it meets.
///
/// # Safety
/// As for [`all_rows`]; the outputs, whose first input is `at` floats into each row, are within the row.
#[expect(
    clippy::needless_range_loop,
    reason = "index loops with constant bounds over arrays that must become registers"
)]
#[inline(always)]
unsafe fn outputs<V: Lanes, const SIZE: usize, const STRIDE: usize, const COUNT: usize>(
    job: &Job<'_>,
    offsets: &[usize],
    at: usize,
    output: *mut u8,
) {
    // SAFETY: the bias is a vector.
    let mut sums = [unsafe { V::load(job.bias) }; COUNT];
    for tap_row in 0..SIZE {
        // SAFETY: the row is part of the input, and `at` is inside it.
        let input = unsafe { job.input.add(offsets[tap_row] + at) };
        // SAFETY: the filter has SIZE * SIZE vectors.
        let filter = unsafe { job.filter.add(tap_row * SIZE * V::N) };
        // SAFETY: as above.
        let mut taps = [unsafe { V::load(filter) }; SIZE];
        for tap in 1..SIZE {
            // SAFETY: as above.
            taps[tap] = unsafe { V::load(filter.add(tap * V::N)) };
        }
        unrolled!(for tap in 0..SIZE {
            unrolled!(for i in 0..COUNT {
                // SAFETY: column `i * STRIDE + tap` after `at` is the input of output `i` at this tap.
                let value = unsafe { V::load(input.wrapping_add((i * STRIDE + tap) * V::N)) };
                sums[i] = value.mul_add(taps[tap], sums[i]);
            });
        });
    }
    let bytes = V::N * size_of::<f32>();
    if job.to_bytes {
        let factor = sums[0].filled(1.0 / BYTE_OF_RELU6);
        unrolled!(for i in 0..COUNT {
            // A byte's own limits are those of the activation: what is below 0 becomes 0, and 6 is 255.
            let sum = sums[i].mul(factor);
            // SAFETY: a quarter of output `i` of these.
            unsafe { sum.store_bytes(output.wrapping_add(i * bytes)) };
        });
        return;
    }
    unrolled!(for i in 0..COUNT {
        let to: *mut f32 = output.wrapping_add(i * bytes).cast();
        let limited = sums[i].limited(sums[i].filled(0.0), sums[i].filled(6.0));
        // SAFETY: output `i` of these.
        unsafe { limited.store(to) };
    });
}
