//! Weights as the kernels read them: rows padded to eight values, and those of products to what is taken of a sum at a time.
//!
//! Thread: start-up. Allocates: yes.

use super::super::network::{Convolution, Linear, Op, Value, Window};
use super::compile::{COLOURS, Compiler, DEPTH, LANES, refused};
use super::program::Place;
use crate::error::Result;

impl Compiler<'_> {
    /// Rows with zeros behind each.
    pub(super) fn padded_rows(&mut self, rows: &[f32], columns: usize) -> Place {
        let padding = columns.next_multiple_of(LANES) - columns;
        let rows = rows.chunks_exact(columns);
        let values =
            rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, padding)));
        self.constants.numbers(self.numbers, values)
    }

    /// One row of f32.
    pub(super) fn padded_floats(&mut self, values: &[f32], columns: usize) -> Place {
        let padding = columns.next_multiple_of(LANES) - columns;
        self.constants.floats(
            values
                .iter()
                .copied()
                .chain(std::iter::repeat_n(0.0, padding)),
        )
    }

    /// `[tap][channel]`.
    pub(super) fn depthwise_filters(&mut self, layer: &Convolution) -> Place {
        let taps = layer.window.size.pow(2);
        let channels = layer.bias.len();
        let weights = &layer.weights;
        let rows: Vec<f32> = (0..taps)
            .flat_map(|tap| (0..channels).map(move |channel| weights[channel * taps + tap]))
            .collect();
        self.padded_rows(&rows, channels)
    }

    /// `[output][tap][channel]` from `[output][channel][tap]`.
    pub(super) fn convolution_weights(&mut self, x: Value, layer: &Convolution) -> (Place, Place) {
        let (channels, outputs) = (self.network.shape(x).columns, layer.bias.len());
        let taps = layer.window.size.pow(2);
        let weight = |output: usize, tap: usize, channel: usize| {
            layer.weights[(output * channels + channel) * taps + tap]
        };
        let weights = self.matrix(outputs, taps, (channels, self.pitch(x)), weight);
        (weights, self.padded_floats(&layer.bias, outputs))
    }

    /// Of a layer on patches: a convolution with windows of a patch.
    pub(super) fn linear_weights(
        &mut self,
        x: Value,
        layer: &Linear,
        factors: &[f32],
    ) -> Result<(Place, Place, Window)> {
        let inputs = self.network.shape(x).columns;
        let bias: Vec<f32> = layer.bias.iter().zip(factors).map(|(b, f)| b * f).collect();
        let weight =
            |output: usize, input: usize| layer.weights[output * inputs + input] * factors[output];
        let (weights, window) = match self.network.ops[x.index()] {
            Op::Patches { patch, .. } => {
                let window = Window {
                    size: patch,
                    stride: patch,
                    before: 0,
                    after: 0,
                };
                let weights = self.matrix(
                    bias.len(),
                    patch * patch,
                    (3, COLOURS),
                    |output, tap, colour| weight(output, tap * 3 + colour),
                );
                (weights, window)
            }
            Op::Picture { .. } => {
                return Err(refused(
                    "the input picture goes into a linear layer".to_owned(),
                ));
            }
            _ => {
                let weights = self.matrix(
                    bias.len(),
                    1,
                    (inputs, self.pitch(x)),
                    |output, _, input| weight(output, input),
                );
                (weights, Window::centred(1, 1))
            }
        };
        Ok((weights, self.padded_floats(&bias, bias.len()), window))
    }

    /// A row for each output, padded to a multiple of eight rows: taps one after the other, each with its channels and zeros up
    /// to `pitch`, and zeros up to a multiple of [`DEPTH`].
    fn matrix(
        &mut self,
        outputs: usize,
        taps: usize,
        (channels, pitch): (usize, usize),
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Place {
        let inner = taps * pitch;
        let row = |output: usize| {
            let weight = &weight;
            let taps = (0..taps).flat_map(move |tap| {
                (0..pitch).map(
                    move |channel| match channel < channels && output < outputs {
                        true => weight(output, tap, channel),
                        false => 0.0,
                    },
                )
            });
            taps.chain(std::iter::repeat_n(
                0.0,
                inner.next_multiple_of(DEPTH) - inner,
            ))
        };
        let rows = (0..outputs.next_multiple_of(LANES)).flat_map(row);
        self.constants.numbers(self.numbers, rows)
    }
}
