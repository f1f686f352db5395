//! The largest values of windows.

use super::Isa;
use super::lanes::Lanes;
use super::precision::Precision;

/// One block of channels of the rows that a row of windows meets: pixels are neighbours, one vector of words each.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    pub values: &'a [f32],
    /// f32 or bf16.
    pub precision: Precision,
    /// Where each row begins in `values`.
    pub rows: &'a [usize],
    /// Pixels of each.
    pub width: usize,
}

/// Which pixels of its rows a window meets: `size` from `stride` times its number less `before` on, but for those outside.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub size: usize,
    pub stride: usize,
    pub before: usize,
}

/// Writes as many windows as `output` holds vectors. Where a value is not finite, the result is a NaN.
///
/// # Panics
/// If there is no row, a window meets no pixel, or a slice is too short for what it is said to hold.
pub fn run(isa: Isa, input: Lines<'_>, columns: Columns, output: &mut [f32]) {
    let lanes = isa.lanes();
    let count = output.len() / lanes;
    if count == 0 {
        return;
    }
    assert!(
        matches!(input.precision, Precision::F32 | Precision::Bf16),
        "windows of f16 or bytes"
    );
    assert!(!input.rows.is_empty(), "a window meets a row");
    let last = (count - 1).checked_mul(columns.stride);
    assert!(
        columns.size > columns.before
            && columns.size.checked_add(input.width).is_some()
            && last.is_some_and(|last| last.saturating_sub(columns.before) < input.width)
            && last.is_some_and(|last| last.checked_add(columns.size).is_some()),
        "a window beside its rows"
    );
    let floats = input.width.checked_mul(lanes);
    assert!(
        floats.is_some_and(|floats| input.rows.iter().all(|at| {
            at.checked_add(floats)
                .is_some_and(|end| end <= input.values.len())
        })),
        "a row lies outside its slice"
    );
    let job = Job {
        input: input.values.as_ptr(),
        rows: input.rows,
        width: input.width,
        is_bf16: input.precision == Precision::Bf16,
        columns,
        count,
        output: output.as_mut_ptr(),
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set.
    unsafe { (isa.0.pool)(&job) }
}

/// What [`run`] has checked.
///
/// Contract: each of the rows, of which there is one, begins `width` vectors in `input`; each of `count` windows meets a column of
/// them; `output` has a vector for each.
pub(super) struct Job<'a> {
    input: *const f32,
    rows: &'a [usize],
    width: usize,
    is_bf16: bool,
    columns: Columns,
    count: usize,
    output: *mut f32,
}

/// # Safety
/// The contract of [`Job`]; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn all_windows<V: Lanes>(job: &Job<'_>) {
    match job.is_bf16 {
        // SAFETY: the contract is handed on.
        true => unsafe {
            windows(
                job,
                |words: V| [words.lower_bf16(), words.upper_bf16()],
                |[lower, upper]| V::words_of_bf16(lower, upper),
            );
        },
        // SAFETY: as above.
        false => unsafe { windows(job, |values: V| [values], |[largest]| largest) },
    }
}

/// # Safety
/// As for [`all_windows`]; `taken` gives the numbers of a vector of words, and `put` makes one of such.
#[inline(always)]
unsafe fn windows<V: Lanes, const N: usize>(
    job: &Job<'_>,
    taken: impl Fn(V) -> [V; N],
    put: impl Fn([V; N]) -> V,
) {
    let Columns {
        size,
        stride,
        before,
    } = job.columns;
    for window in 0..job.count {
        let first = (window * stride).saturating_sub(before);
        let end = (window * stride + size - before).min(job.width);
        let at = |row: usize, column: usize| {
            // SAFETY: a vector of one of the rows.
            taken(unsafe { V::load(job.input.wrapping_add(row + column * V::N)) })
        };
        let mut largest = at(job.rows[0], first);
        let zero = largest[0].filled(0.0);
        // Stays 0 as long as all is finite: a maximum may lose a NaN.
        let mut strange = [zero; N];
        for &row in job.rows {
            for column in first..end {
                let values = at(row, column);
                for ((largest, strange), value) in largest.iter_mut().zip(&mut strange).zip(values)
                {
                    *largest = largest.max(value);
                    *strange = value.mul_add(zero, *strange);
                }
            }
        }
        for (largest, strange) in largest.iter_mut().zip(strange) {
            *largest = largest.add(strange);
        }
        // SAFETY: there is a vector for each window.
        unsafe { put(largest).store(job.output.wrapping_add(window * V::N)) };
    }
}
