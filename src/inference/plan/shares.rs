//! How a stage is cut into chunks that a crew does: along its output alone, never along a sum, so that the result is the same to
//! the bit whoever does what.
//!
//! Thread: the plan's, and its partners'. Allocates: no. Blocks: no; waits for partners, see [`Crew::share`]. Locks: no.

use std::ops::Range;

use super::super::kernels::memory::SharedMut;
use super::super::kernels::pack::{Packed, Panel};
use super::super::kernels::pointwise::{self, Activation, Input, Output, Runs, Scales};
use super::super::kernels::winograd;
use crate::rt::crew::{Crew, Share};

/// Multiply-adds of a chunk at least: about 1 us, and to claim a chunk of which another core has just claimed the neighbour
/// takes some 0.1 us.
const CHUNK_MIN: usize = 50_000;
/// Chunks for each of the crew: more of them are shared more evenly where one comes late.
const CHUNKS_EACH: usize = 4;

/// Who does a stage.
pub struct Hands<'a>(Option<&'a mut Crew>);

impl Hands<'_> {
    /// The thread that is here.
    pub fn one() -> Self {
        Self(None)
    }

    pub fn of(crew: &mut Crew) -> Hands<'_> {
        Hands(Some(crew))
    }

    fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |crew| crew.size())
    }

    fn share(&mut self, chunks: usize, work: &(dyn Fn(usize) + Sync)) {
        match &mut self.0 {
            Some(crew) => crew.share(chunks, &|share: Share| work(share.chunk)),
            None => (0..chunks).for_each(work),
        }
    }
}

/// How many chunks so much work is cut into: at most one for each unit.
fn chunks(hands: &Hands<'_>, units: usize, multiply_adds: usize) -> usize {
    if hands.size() == 1 {
        return 1;
    }
    let most = units.min(CHUNKS_EACH * hands.size());
    (multiply_adds / CHUNK_MIN).min(most).max(1)
}

/// The units of a chunk.
pub fn part(units: usize, chunks: usize, chunk: usize) -> Range<usize> {
    units * chunk / chunks..units * (chunk + 1) / chunks
}

/// As [`pointwise::run`] with all panels, by a crew.
///
/// Weights are read once by each who needs them, and so is the input: it is cut across that of the two which is larger.
pub fn product(
    hands: &mut Hands<'_>,
    weights: &Packed,
    activation: Activation,
    runs: Runs,
    input: Input<'_>,
    output: &Output<'_>,
) {
    let panels = weights.panels();
    let (pixels, outputs) = (runs.count * runs.width, weights.outputs());
    let multiply_adds = pixels * outputs * weights.steps();
    // SAFETY: chunks write different pixels or different blocks; and the caller's own is not used before all are done.
    let values = || unsafe { output.values.another() };
    let step = input.step.words(weights.isa(), weights.precision());
    let run = |panels: &[Panel], runs: Runs, first: (usize, usize), written: usize| {
        let (run, pixel) = first;
        let scales = input.scales.map(|scales| Scales {
            start: scales.start + run * scales.run_stride + pixel,
            ..scales
        });
        let input = Input {
            start: input.start + run * input.run_stride + pixel * step,
            scales,
            ..input
        };
        let output = &mut Output {
            values: values(),
            start: output.start + written,
            ..*output
        };
        pointwise::run(weights, panels, activation, runs, input, output);
    };
    let by_panels = panels.len() >= 2 * hands.size() && outputs >= pixels;
    if by_panels {
        let chunks = chunks(hands, panels.len(), multiply_adds);
        let halves = output.precision.columns_per_word();
        hands.share(chunks, &|chunk| {
            let cut = |chunk| cut(panels, halves, weights.blocks() * chunk / chunks);
            let panels = &panels[cut(chunk)..cut(chunk + 1)];
            let first = panels.first().map_or(0, |panel| panel.first_block);
            run(panels, runs, (0, 0), first / halves * output.block_stride);
        });
    } else if runs.count > 1 {
        let chunks = chunks(hands, runs.count, multiply_adds);
        hands.share(chunks, &|chunk| {
            let part = part(runs.count, chunks, chunk);
            let count = part.len();
            let written = part.start * output.run_stride;
            run(panels, Runs { count, ..runs }, (part.start, 0), written);
        });
    } else {
        let chunks = chunks(hands, runs.width, multiply_adds);
        hands.share(chunks, &|chunk| {
            let part = part(runs.width, chunks, chunk);
            let (first, written) = ((0, part.start), part.start * output.pixel_stride);
            run(
                panels,
                Runs {
                    width: part.len(),
                    ..runs
                },
                first,
                written,
            );
        });
    }
}

/// The first panel that begins at `block` or behind it, where a word of the output begins.
fn cut(panels: &[Panel], halves: usize, block: usize) -> usize {
    let begins =
        |panel: &Panel| panel.first_block >= block && panel.first_block.is_multiple_of(halves);
    panels.iter().position(begins).unwrap_or(panels.len())
}

/// A convolution by its three steps, each by a crew.
pub fn winograd(hands: &mut Hands<'_>, job: &winograd::Job<'_>) {
    let work = job.multiply_adds();
    // To spread and to gather is about a tenth of the work each.
    let mut step = |units: usize, work: usize, one: &(dyn Fn(Range<usize>) + Sync)| {
        let chunks = chunks(hands, units, work);
        hands.share(chunks, &|chunk| one(part(units, chunks, chunk)));
    };
    // SAFETY: one step after the other, and each in parts that do not meet.
    step(job.spreads(), work / 10, &|blocks| unsafe {
        job.spread(blocks)
    });
    // SAFETY: as above.
    step(winograd::PLACES, work, &|places| unsafe {
        job.multiply(places)
    });
    // SAFETY: as above.
    step(job.gathers(), work / 10, &|blocks| unsafe {
        job.gather(blocks)
    });
}

/// Calls `rows` once for each part of so many rows, with what may be written.
pub fn rows<'a>(
    hands: &mut Hands<'_>,
    rows: Range<usize>,
    multiply_adds: usize,
    to: &SharedMut<'a>,
    work: impl Fn(Range<usize>, SharedMut<'a>) + Sync,
) {
    let chunks = chunks(hands, rows.len(), multiply_adds);
    hands.share(chunks, &|chunk| {
        let part = part(rows.len(), chunks, chunk);
        // SAFETY: `work` writes its own rows; and the caller's own is not used before all are done.
        let to = unsafe { to.another() };
        work(rows.start + part.start..rows.start + part.end, to);
    });
}
