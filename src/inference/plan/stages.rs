//! What each stage does when a plan runs.
//!
//! Thread: the plan's; parts of stages on its partners'. Allocates: no. Blocks: no; waits for partners, see [`Crew::share`].
//! Locks: no.

use std::ops::Range;

use super::super::kernels::attention::{Attention, Part};
use super::super::kernels::layer_norm;
use super::super::kernels::memory::{Aligned, SharedMut};
use super::super::kernels::pointwise::{self, Output, Runs, Scales, Step};
use super::super::kernels::quantise;
use super::super::kernels::{Isa, bf16};
use super::super::network::Rows;
use super::blocked::{self, add_rows, copy_rows, from_rows};
use super::canvas::Canvas;
use super::shares::{self, Hands};
use super::{
    Columns, GROUP_MAX, Input, Inputs, Memory, Precision, Source, Stage, Tensor, Work, sequences,
};
use crate::rt::crew::{CHUNKS_MAX, Crew, Share};

impl Memory {
    /// Runs a stage on all of its rows.
    pub fn run(
        &mut self,
        isa: Isa,
        crew: &mut Crew,
        stage: &Stage,
        inputs: Inputs<'_>,
        lengths: &[usize],
    ) {
        // Taken out, so that the stage can read the others while it writes this one.
        let mut to = std::mem::take(&mut self.slots[stage.to]);
        let mut also = stage.also.map(|slot| std::mem::take(&mut self.slots[slot]));
        let outputs = (&mut *to, also.as_deref_mut());
        stage.run(isa, crew, self, inputs, lengths, outputs);
        self.slots[stage.to] = to;
        if let (Some(slot), Some(also)) = (stage.also, also) {
            self.slots[slot] = also;
        }
    }

    /// Runs stages on pictures in turns: each time the last makes `strip` rows, and those before it what that needs. Each of
    /// the crew makes rows of its own; what lies between two parts both of them compute.
    pub fn run_strips(&mut self, isa: Isa, crew: &mut Crew, stages: &[Stage], strip: usize) {
        let Some(last) = stages.last() else { return };
        let canvas = last.canvas(isa);
        let mut to = std::mem::take(&mut self.slots[last.to]);
        canvas.clear_edge(&mut to);
        let (out, inner) = (SharedMut::from(&mut to), SharedMut::from(&mut self.inner));
        let slots = &self.slots;
        // One each, and more only where what is computed twice is little.
        let chunks = match canvas.height {
            _ if crew.size() == 1 => 1,
            0..SMALL => crew.size().min(canvas.height),
            _ => 2 * crew.size(),
        };
        crew.share(chunks, &|Share { who, chunk }| {
            let rows = shares::part(canvas.height, chunks, chunk);
            // SAFETY: each of the crew has one, and one chunk at a time.
            let inner = &mut unsafe { inner.another() }.part(who..who + 1)[0];
            // SAFETY: a chunk writes its own rows.
            let out = unsafe { out.another() };
            run_turns(isa, stages, strip, slots, inner, &out, rows);
        });
        self.slots[last.to] = to;
    }
}

/// Pictures of fewer rows than this are cut into as few parts as can be: of what two parts both compute there would be too much.
const SMALL: usize = 40;

/// Makes rows `rows` of the last stage's picture, some at a time, in memory of one's own: stage `k` writes `inner[k]`, and the
/// next reads it.
fn run_turns(
    isa: Isa,
    stages: &[Stage],
    strip: usize,
    slots: &[Aligned],
    inner: &mut [Aligned],
    out: &SharedMut<'_>,
    rows: Range<usize>,
) {
    for (stage, inner) in stages.iter().zip(&mut *inner) {
        stage.canvas(isa).clear_edge(inner);
    }
    let mut done = [0; GROUP_MAX];
    let mut start = rows.start;
    for (stage, done) in stages.iter().zip(&mut done).rev() {
        *done = start;
        start = stage.first_needed(start);
    }
    let mut first = rows.start;
    while first < rows.end {
        // Turns end at multiples of a strip: so the rows of one are neighbours where they take the place of earlier ones.
        let next = rows.end.min((first / strip + 1) * strip);
        let mut ends = [0; GROUP_MAX];
        let mut end = next;
        for (stage, at) in stages.iter().zip(&mut ends).rev() {
            *at = end;
            end = stage.rows_needed(end);
        }
        for (index, (stage, end)) in stages.iter().zip(ends).enumerate() {
            let part = done[index]..end;
            let (before, after) = inner.split_at_mut(index.min(stages.len() - 1));
            let to = match index + 1 < stages.len() {
                true => (&mut after[0]).into(),
                // SAFETY: rows of ours, one after the other.
                false => unsafe { out.another() },
            };
            let x = match (before.last_mut(), stage.window()) {
                (Some(values), Some((x, window))) => {
                    // Only now, because what stood there was still needed.
                    let is_first = first == rows.start;
                    Canvas::of(isa, x).clear_below(part.clone(), window, is_first, values);
                    &**values
                }
                _ => stage.window().map_or(&[][..], |(x, _)| &slots[x.slot]),
            };
            stage.run_rows(isa, &mut Hands::one(), (x, slots), to, part);
            done[index] = end;
        }
        first = next;
    }
}

impl Stage {
    fn run(
        &self,
        isa: Isa,
        crew: &mut Crew,
        memory: &mut Memory,
        inputs: Inputs<'_>,
        lengths: &[usize],
        (to, also): (&mut [f32], Option<&mut [f32]>),
    ) {
        let slots = &memory.slots;
        let tensor = Tensor::of(isa, self.rows, self.columns, lengths);
        let shape = |x: &Source| Tensor::of(isa, x.rows, x.columns, lengths);
        let together = |x: &Source| {
            let parts = sequences(x.rows, lengths).zip(sequences(self.rows, lengths));
            parts.map(|((from, len), (to, _))| (from, to, len))
        };
        match (&self.work, inputs.input) {
            (Work::Words { table }, Input::Words(words)) => {
                for (row, &word) in words.iter().enumerate() {
                    let word = usize::try_from(word).unwrap_or(usize::MAX);
                    let values = &table[word * self.columns..][..self.columns];
                    from_rows(tensor, row, values, to);
                }
            }
            (Work::Rows, Input::Rows(values)) => from_rows(tensor, 0, values, to),
            (&Work::Patches { side, patch }, Input::Picture(values)) => {
                blocked::from_picture(tensor, (side, patch), values, to);
            }
            (Work::Picture, Input::Picture(values)) => {
                let canvas = self.canvas(isa);
                canvas.clear_edge(to);
                canvas.fill(isa, values, to);
            }
            // Refused by the check.
            (Work::Words { .. } | Work::Rows | Work::Patches { .. } | Work::Picture, _) => {}
            (Work::Dense { .. } | Work::Depthwise { .. } | Work::MaxPool { .. }, _) => {
                let canvas = self.canvas(isa);
                canvas.clear_edge(to);
                let x = self.source().map_or(&[][..], |x| &slots[x.slot]);
                self.run_rows(
                    isa,
                    &mut Hands::of(crew),
                    (x, slots),
                    to.into(),
                    0..canvas.height,
                );
            }
            (
                Work::Winograd {
                    x,
                    winograd,
                    activation,
                    residual,
                },
                _,
            ) => {
                let canvas = self.canvas(isa);
                canvas.clear_edge(to);
                winograd.run(
                    &mut Hands::of(crew),
                    (Canvas::of(isa, x), &slots[x.slot]),
                    (canvas, to.into()),
                    (*activation, residual.map(|y| &*slots[y.slot])),
                    &mut memory.scratch,
                );
            }
            (Work::Mean { x }, _) if matches!(x.rows, Rows::Picture { .. }) => {
                Canvas::of(isa, x).mean(&slots[x.slot], tensor.pitch(), to);
            }
            (Work::Condition { index }, _) => {
                from_rows(tensor, 0, inputs.conditions[*index], to);
            }
            (Work::Constant { rows }, _) => {
                for (first, _) in sequences(self.rows, lengths) {
                    from_rows(tensor, first, rows, to);
                }
            }
            (Work::Pixels { x }, _) => {
                Canvas::of(isa, x).to_tensor(&slots[x.slot], tensor, to);
            }
            (Work::Join { x, y }, _) => {
                let parts = together(x).zip(together(y));
                for ((x_from, first, x_len), (y_from, _, y_len)) in parts {
                    let [x, y] = [(x, x_from), (y, y_from)]
                        .map(|(source, from)| (shape(source), from, &*slots[source.slot]));
                    copy_rows(x, x_len, (tensor, first, to));
                    copy_rows(y, y_len, (tensor, first + x_len, to));
                }
            }
            (Work::Positions { x, table }, _) => {
                for (from, first, len) in together(x) {
                    copy_rows((shape(x), from, &slots[x.slot]), len, (tensor, first, to));
                    add_rows(tensor, first, &table[..len * self.columns], to);
                }
            }
            (
                Work::Linear {
                    x,
                    packed,
                    activation,
                    residual,
                },
                _,
            ) => shares::product(
                &mut Hands::of(crew),
                packed,
                *activation,
                Runs::one(tensor.rows),
                pointwise::Input {
                    values: &slots[x.slot],
                    start: 0,
                    step: Step::Block,
                    segment_stride: shape(x).pitch(),
                    run_stride: 0,
                    scales: packed.is_by_row().then(|| Scales {
                        values: &slots[x.slot],
                        start: shape(x).scales(),
                        run_stride: 0,
                    }),
                },
                &Output {
                    values: to.into(),
                    precision: self.precision,
                    start: 0,
                    pixel_stride: isa.lanes(),
                    block_stride: tensor.pitch(),
                    run_stride: 0,
                    residual: residual.map(|y| &*slots[y.slot]),
                },
            ),
            (Work::Add { x, y }, _) => {
                let pairs = slots[x.slot].iter().zip(&*slots[y.slot]);
                let all = match self.rows {
                    Rows::Picture { .. } => self.canvas(isa).floats(),
                    _ => tensor.blocks() * tensor.pitch(),
                };
                for (sum, (&x, &y)) in to[..all].iter_mut().zip(pairs) {
                    *sum = match self.precision {
                        Precision::F32 | Precision::F16 | Precision::Int8 => x + y,
                        Precision::Bf16 => bf16::add(x, y),
                    };
                }
            }
            (Work::LayerNorm { x, norm }, _) => {
                self.layer_norm(crew, norm, (tensor, &slots[x.slot]), (to, also));
            }
            (
                Work::Film {
                    x,
                    gains,
                    shifts,
                    activation,
                },
                _,
            ) => {
                let factors = [gains, shifts].map(|row| (&*slots[row.slot], shape(row).pitch()));
                let x = (x, &*slots[x.slot]);
                self.film(isa, x, factors, *activation, lengths, to);
            }
            (
                Work::Attention {
                    queries,
                    keys,
                    values,
                    kind,
                },
                _,
            ) => {
                let attentions = &mut memory.attentions[*kind];
                let attentions = (attentions[0].heads(), attentions.into());
                let reads = [queries, keys, values].map(|columns| Read {
                    columns,
                    values: &slots[columns.of.slot],
                    pitch: shape(&columns.of).pitch(),
                });
                self.attention(crew, attentions, lengths, reads, (tensor.pitch(), to));
            }
            (Work::Round { x }, _) if matches!(x.rows, Rows::Picture { .. }) => {
                let rows = 0..self.canvas(isa).height;
                let x = (&*slots[x.slot], &slots[..]);
                self.run_rows(isa, &mut Hands::of(crew), x, to.into(), rows);
            }
            (Work::Round { x }, _) if self.precision == Precision::Int8 => {
                quantise_rows(isa, crew, (tensor, &slots[x.slot]), to);
            }
            (Work::Round { x }, _) => {
                blocked::round(tensor, self.precision, &slots[x.slot], to);
            }
            (Work::Mean { x }, _) => {
                for (from, sequence, len) in together(x) {
                    blocked::mean(
                        (shape(x), from, &slots[x.slot]),
                        len,
                        (tensor, sequence, to),
                    );
                }
            }
            (Work::Take { x, row }, _) => {
                for (from, sequence, _) in together(x) {
                    copy_rows(
                        (shape(x), from + row, &slots[x.slot]),
                        1,
                        (tensor, sequence, to),
                    );
                }
            }
        }
    }
    fn layer_norm(
        &self,
        crew: &mut Crew,
        norm: &layer_norm::Norm,
        (tensor, from): (Tensor, &[f32]),
        (to, also): (&mut [f32], Option<&mut [f32]>),
    ) {
        let (lanes, pitch) = (tensor.lanes, tensor.pitch());
        let also = also.map(SharedMut::from);
        // A norm walks over a row three times.
        let work = 3 * tensor.rows * tensor.columns;
        let hands = &mut Hands::of(crew);
        shares::rows(hands, 0..tensor.rows, work, &to.into(), |rows, to| {
            let first = rows.start * lanes;
            // SAFETY: of this part's rows alone.
            let also = also.as_ref().map(|also| unsafe { also.another() });
            let (to, also) = (to.skip(first), also.map(|also| also.skip(first)));
            let (f32, bf16) = match self.precision {
                Precision::F32 => (Some(to), also),
                Precision::Bf16 => (None, Some(to)),
                Precision::F16 | Precision::Int8 => unreachable!("a norm makes none of these"),
            };
            let output = layer_norm::Output { f32, bf16 };
            layer_norm::run(norm, rows.len(), pitch, &from[first..], output);
        });
    }

    /// A chunk is a head of a sequence, or some of its queries if there are too few heads to be shared evenly.
    fn attention(
        &self,
        crew: &mut Crew,
        (heads, attentions): (usize, SharedMut<'_, Attention>),
        lengths: &[usize],
        [queries, keys, values]: [Read<'_>; 3],
        (pitch, to): (usize, &mut [f32]),
    ) {
        let to = SharedMut::from(to);
        let units = heads * lengths.len();
        let is_even = units.is_multiple_of(crew.size()) || units >= 8 * crew.size();
        let parts = if is_even { 1 } else { crew.size() };
        let one = |who: usize, unit: usize, part: usize| {
            let (sequence, head) = (unit / heads, unit % heads);
            let read = [&queries, &keys, &values].map(|read| read.sequence(sequence, lengths));
            let [Some(all), Some(keys), Some(values)] = read else {
                return;
            };
            let rows = shares::part(all.rows, parts, part);
            let queries = Part {
                first_row: all.first_row + rows.start,
                rows: rows.len(),
                ..all
            };
            // SAFETY: one for each of the crew, who has one chunk at a time.
            let attention = &mut unsafe { attentions.another() }.part(who..who + 1)[0];
            // SAFETY: a head writes its own columns, of the rows of these queries.
            let to = unsafe { to.another() };
            attention.head(head, queries, keys, values, to, pitch);
        };
        let chunks = (units * parts).min(CHUNKS_MAX);
        crew.share(chunks, &|Share { who, chunk }| {
            for unit in shares::part(units * parts, chunks, chunk) {
                one(who, unit / parts, unit % parts);
            }
        });
    }
}

/// Columns of a value that attention reads.
struct Read<'a> {
    columns: &'a Columns,
    values: &'a [f32],
    pitch: usize,
}

impl<'a> Read<'a> {
    /// Its rows of one sequence.
    fn sequence(&self, sequence: usize, lengths: &[usize]) -> Option<Part<'a>> {
        let (first_row, rows) = sequences(self.columns.of.rows, lengths).nth(sequence)?;
        Some(Part {
            values: self.values,
            pitch: self.pitch,
            first_row,
            rows,
            first_column: self.columns.first,
        })
    }
}

/// Rounds rows to bytes, each with a factor of its own; those stand behind them all.
fn quantise_rows(isa: Isa, crew: &mut Crew, (tensor, from): (Tensor, &[f32]), to: &mut [f32]) {
    let (lanes, pitch) = (tensor.lanes, tensor.pitch());
    // Two walks over each row.
    let work = 2 * tensor.rows * tensor.columns;
    let hands = &mut Hands::of(crew);
    shares::rows(hands, 0..tensor.rows, work, &to.into(), |rows, to| {
        let first = rows.start * lanes;
        let from = quantise::Rows {
            rows: rows.len(),
            blocks: tensor.blocks(),
            pitch,
            values: &from[first..],
        };
        let scales = tensor.scales();
        // SAFETY: of these two, one has the words of these rows and the other their factors, which stand behind all words.
        let (words, factors) = unsafe { (to.another(), to.another()) };
        let to = quantise::Bytes {
            words: words.skip(first),
            pitch,
            scales: factors.part(scales + rows.start..scales + rows.end),
        };
        quantise::run(isa, from, to);
    });
}
