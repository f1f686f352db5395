//! 1x1 convolutions, linear layers, and small dense convolutions whose window can be read in place: a matrix product
//! whose result is finished (bias, activation, residual) while it is in registers or in the nearest cache.

use super::Isa;
pub use super::activation::Activation;
use super::last_index;
use super::memory::SharedMut;
use super::pack::{Packed, Panel};
pub use super::precision::Precision;

/// Numbers between the windows of neighbouring outputs where the input is a picture of interleaved RGB and the
/// stride is 2.
pub const STEM_STEP: usize = 6;

/// Which pixels: `count` runs of `width` neighbouring pixels.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    pub count: usize,
    pub width: usize,
}

impl Runs {
    pub fn one(width: usize) -> Self {
        Self { count: 1, width }
    }
}

/// How the windows of neighbouring pixels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A blocked tensor: one vector apart.
    Block,
    /// A blocked tensor at stride 2: two vectors apart.
    Second,
    /// A picture of interleaved RGB at stride 2: [`STEM_STEP`] numbers apart.
    Picture,
}

impl Step {
    /// How many words of so precise numbers that is.
    pub fn words(self, isa: Isa, precision: Precision) -> usize {
        match self {
            Self::Block => isa.lanes(),
            Self::Second => 2 * isa.lanes(),
            Self::Picture => STEM_STEP / precision.columns_per_word(),
        }
    }
}

/// The input: where its first window begins, and how far apart things are, in words. A word is an f32, or two bf16 or four
/// bytes if the weights are such.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub values: &'a [f32],
    pub start: usize,
    pub step: Step,
    /// From one segment of the walk to the next: for a blocked tensor, from block to block.
    pub segment_stride: usize,
    /// From the first pixel of a run to that of the next.
    pub run_stride: usize,
    /// With weights of bytes for rows that have factors of their own: those.
    pub scales: Option<Scales<'a>>,
}

/// Factors of pixels: that of the first, the others of its run behind it.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'a> {
    pub values: &'a [f32],
    pub start: usize,
    pub run_stride: usize,
}

/// The output: where its first value goes, and how far apart things are, in words. A word is an f32, or two bf16 if that
/// is the output's precision: then a block has twice as many columns.
#[derive(Debug)]
pub struct Output<'a> {
    pub values: SharedMut<'a>,
    pub precision: Precision,
    pub start: usize,
    pub pixel_stride: usize,
    pub block_stride: usize,
    pub run_stride: usize,
    /// Added to the sum before the activation, from the same place as the result goes to in `values`, and as precise.
    pub residual: Option<&'a [f32]>,
}

/// Computes the output blocks of `panels`, which are neighbours in rising order. `output.start` is where the first
/// pixel of the first of these blocks goes.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(
    weights: &Packed,
    panels: &[Panel],
    activation: Activation,
    runs: Runs,
    input: Input<'_>,
    output: &mut Output<'_>,
) {
    if runs.count == 0 || runs.width == 0 {
        return;
    }
    let Some(first_block) = panels.first().map(|p| p.first_block) else {
        return;
    };
    let (isa, walk) = (weights.isa, weights.walk);
    let step = input.step.words(isa, weights.precision);
    let reads = |segments, length| {
        last_index(
            input.start,
            &[
                (runs.count, input.run_stride),
                (runs.width, step),
                (segments, input.segment_stride),
                (length, 1),
            ],
        )
    };
    let inside = |last: Option<usize>, len: usize| last.is_some_and(|last| last < len);
    assert!(
        inside(reads(walk.segments, walk.last), input.values.len())
            && (walk.segments == 1
                || inside(reads(walk.segments - 1, walk.length), input.values.len())),
        "the input is shorter than its shape"
    );
    let halves = output.precision.columns_per_word();
    assert!(
        first_block.is_multiple_of(halves),
        "a first block that is the second half of one, with bf16 as output"
    );
    assert!(
        weights.precision != Precision::Int8 || input.step != Step::Picture,
        "a picture is not of bytes"
    );
    assert!(
        matches!(output.precision, Precision::F32 | Precision::Bf16),
        "nothing goes out as f16 or bytes"
    );
    assert_eq!(
        input.scales.is_some(),
        weights.bytes.is_by_row,
        "factors of rows, for the weights that want them"
    );
    let scaled = input.scales.is_none_or(|scales| {
        let last = last_index(
            scales.start,
            &[(runs.count, scales.run_stride), (runs.width, 1)],
        );
        inside(last, scales.values.len())
    });
    assert!(scaled, "fewer factors than pixels");
    for panel in panels {
        assert!(weights.panels.contains(panel), "a panel of other weights");
        let blocks = (panel.first_block + panel.blocks).saturating_sub(first_block);
        let last = last_index(
            output.start,
            &[
                (runs.count, output.run_stride),
                (runs.width, output.pixel_stride),
                (blocks.div_ceil(halves), output.block_stride),
                (isa.lanes(), 1),
            ],
        );
        assert!(
            inside(last, output.values.len())
                && output.residual.is_none_or(|r| inside(last, r.len())),
            "the output is shorter than its shape"
        );
    }
    let job = Job {
        weights,
        panels,
        first_block,
        activation,
        runs,
        input,
        residual: output
            .residual
            .map_or(std::ptr::null(), |r| r[output.start..].as_ptr()),
        // Inside: the last element that is written comes after it.
        output: output.values.as_mut_ptr().wrapping_add(output.start),
        precision: output.precision,
        pixel_stride: output.pixel_stride,
        block_stride: output.block_stride,
        run_stride: output.run_stride,
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set, and
    // `Packed` was made for it.
    unsafe {
        match weights.precision {
            Precision::F32 => (isa.0.pointwise)(&job),
            Precision::Bf16 => (isa.0.pointwise_bf16)(&job),
            Precision::F16 => match isa.0.halves {
                Some(halves) => halves(&job),
                None => unreachable!("weights of f16 are packed for sets that take them"),
            },
            Precision::Int8 => match isa.0.quads {
                Some(quads) => quads(&job),
                None => unreachable!("weights of bytes are packed for sets that take them"),
            },
        }
    }
}

/// What [`run`] has checked.
///
/// Contract: for every pixel of the runs, the walk from its window stays inside `input.values`, and `input.scales`, if there are
/// any, have a factor; and for every pixel and every lane of the panels' blocks, `output` plus the strides, and `residual` unless
/// it is null, are valid; with bf16 as output there is a word for each two columns. `output` overlaps no input.
pub(super) struct Job<'a> {
    pub(super) weights: &'a Packed,
    pub(super) panels: &'a [Panel],
    pub(super) first_block: usize,
    pub(super) activation: Activation,
    pub(super) runs: Runs,
    pub(super) input: Input<'a>,
    pub(super) output: *mut f32,
    pub(super) precision: Precision,
    pub(super) residual: *const f32,
    pub(super) pixel_stride: usize,
    pub(super) block_stride: usize,
    pub(super) run_stride: usize,
}
