//! The probability that 32 ms of sound are speech: silero-vad, version 6, for 16 kHz.
//!
//! A short-time Fourier transform of 4 steps, four convolutions along time, one LSTM cell and a sigmoid (310,000 weights;
//! its graph is in the package's ONNX file, which the tests run beside it). Each chunk is seen with the last 64 samples of
//! the one before.
//!
//! Thread: the sensor's. Allocates: in `load`. Blocks: no. Locks: no. Syscalls: none.

use std::path::Path;

use super::CHUNK;
use crate::error::Result;
use crate::inference::tensors::{TensorFile, Tensors};

/// Samples of the chunk before.
const CONTEXT: usize = 64;
/// Samples that are mirrored behind the chunk.
const MIRRORED: usize = 64;
const WINDOW: usize = 256;
const HOP: usize = 128;
const STEPS: usize = (CONTEXT + CHUNK + MIRRORED - WINDOW) / HOP + 1;
/// Frequencies of a window.
const BINS: usize = WINDOW / 2 + 1;
/// Width of the LSTM cell.
const CELLS: usize = 128;
const FIX: &str = "run `reflexarc models fetch speech`, which replaces missing and damaged files";

/// The detector, with what it remembers of the sound so far.
#[derive(Clone, Debug)]
pub struct Silero {
    /// `[sample][real parts, imaginary parts]`.
    transform: Box<[f32]>,
    convolutions: [Convolution; 4],
    /// `[input and state][gate]`, and their biases added up.
    cell: Box<[f32]>,
    cell_bias: Box<[f32]>,
    out: Box<[f32]>,
    out_bias: f32,
    /// The state of the cell, and its memory.
    state: [f32; CELLS],
    memory: [f32; CELLS],
    context: [f32; CONTEXT],
    /// Between the layers, in turns.
    here: Box<[f32]>,
    there: Box<[f32]>,
}

/// A convolution along time with three taps, a step of zeros on either side, and ReLU behind it.
#[derive(Clone, Debug)]
struct Convolution {
    inputs: usize,
    outputs: usize,
    stride: usize,
    /// `[tap][input][output]`, so that the outputs lie side by side.
    weights: Box<[f32]>,
    bias: Box<[f32]>,
}

impl Silero {
    /// Reads `silero_vad_16k.safetensors`.
    ///
    /// # Errors
    /// [`Kind::Model`](crate::error::Kind::Model) if the file is missing or damaged, or a tensor is missing or has another shape.
    pub fn load(file: &Path) -> Result<Self> {
        let file = TensorFile::read(file, FIX)?;
        let tensors = file.tensors()?;
        let layer = |index: usize, inputs, outputs, stride| {
            Convolution::read(&tensors, index, inputs, outputs, stride)
        };
        let input = tensors.read("lstm_cell.weight_ih", &[4 * CELLS, CELLS])?;
        let state = tensors.read("lstm_cell.weight_hh", &[4 * CELLS, CELLS])?;
        let cell = [transposed(&input, CELLS), transposed(&state, CELLS)].concat();
        let input_bias = tensors.read("lstm_cell.bias_ih", &[4 * CELLS])?;
        let state_bias = tensors.read("lstm_cell.bias_hh", &[4 * CELLS])?;
        let transform = tensors.read("stft_conv.weight", &[2 * BINS, 1, WINDOW])?;
        Ok(Self {
            transform: transposed(&transform, WINDOW).into(),
            convolutions: [
                layer(1, BINS, 128, 1)?,
                layer(2, 128, 64, 2)?,
                layer(3, 64, 64, 2)?,
                layer(4, 64, CELLS, 1)?,
            ],
            cell: cell.into(),
            cell_bias: input_bias
                .iter()
                .zip(&state_bias)
                .map(|(i, s)| i + s)
                .collect(),
            out: tensors.read("final_conv.weight", &[1, CELLS, 1])?.into(),
            out_bias: tensors.read("final_conv.bias", &[1])?[0],
            state: [0.0; CELLS],
            memory: [0.0; CELLS],
            context: [0.0; CONTEXT],
            // The widest is the transform: real and imaginary parts of all steps.
            here: vec![0.0; STEPS * 2 * BINS].into(),
            there: vec![0.0; STEPS * 2 * BINS].into(),
        })
    }

    /// Forgets what it heard: sound is missing.
    pub fn forget(&mut self) {
        self.state = [0.0; CELLS];
        self.memory = [0.0; CELLS];
        self.context = [0.0; CONTEXT];
    }

    /// The probability that the next chunk is speech, 0 to 1.
    pub fn hear(&mut self, chunk: &[f32; CHUNK]) -> f32 {
        let mut sound = [0.0; CONTEXT + CHUNK + MIRRORED];
        sound[..CONTEXT].copy_from_slice(&self.context);
        sound[CONTEXT..CONTEXT + CHUNK].copy_from_slice(chunk);
        for k in 0..MIRRORED {
            sound[CONTEXT + CHUNK + k] = chunk[CHUNK - 2 - k];
        }
        self.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);

        let (mut from, mut to) = (&mut *self.here, &mut *self.there);
        let mut steps = STEPS;
        for (step, parts) in to.chunks_exact_mut(2 * BINS).take(STEPS).enumerate() {
            parts.fill(0.0);
            multiply(&self.transform, &sound[step * HOP..][..WINDOW], parts);
        }
        for step in 0..STEPS {
            let (real, imaginary) = to[step * 2 * BINS..][..2 * BINS].split_at(BINS);
            let sizes = from[step * BINS..].iter_mut();
            for (size, (r, i)) in sizes.zip(real.iter().zip(imaginary)) {
                *size = (r * r + i * i).sqrt();
            }
        }
        for layer in &self.convolutions {
            steps = layer.run(from, steps, to);
            std::mem::swap(&mut from, &mut to);
        }
        debug_assert_eq!(steps, 1, "the strides make one step of four");
        self.step(0)
    }

    /// One step of the cell on what the last convolution left in `here` (after four swaps) at `offset`.
    fn step(&mut self, offset: usize) -> f32 {
        let mut gates = [0.0; 4 * CELLS];
        gates.copy_from_slice(&self.cell_bias);
        let (input, state) = self.cell.split_at(CELLS * 4 * CELLS);
        multiply(input, &self.here[offset..offset + CELLS], &mut gates);
        multiply(state, &self.state, &mut gates);
        // In, forget, candidate, out: the order of PyTorch's LSTMCell.
        let [input, forget, candidate, out] =
            [0, 1, 2, 3].map(|gate| &gates[gate * CELLS..][..CELLS]);
        let mut sum = self.out_bias;
        for k in 0..CELLS {
            let kept = sigmoid(forget[k]) * self.memory[k];
            self.memory[k] = kept + sigmoid(input[k]) * candidate[k].tanh();
            self.state[k] = sigmoid(out[k]) * self.memory[k].tanh();
            sum += self.out[k] * self.state[k].max(0.0);
        }
        sigmoid(sum)
    }
}

impl Convolution {
    fn read(
        tensors: &Tensors<'_>,
        index: usize,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<Self> {
        let weights = tensors.read(&format!("conv{index}.weight"), &[outputs, inputs, 3])?;
        let at =
            |tap: usize, input: usize, output: usize| weights[(output * inputs + input) * 3 + tap];
        let order = (0..3).flat_map(|tap| (0..inputs).map(move |input| (tap, input)));
        Ok(Self {
            inputs,
            outputs,
            stride,
            weights: order
                .flat_map(|(tap, input)| (0..outputs).map(move |output| (tap, input, output)))
                .map(|(tap, input, output)| at(tap, input, output))
                .collect(),
            bias: tensors
                .read(&format!("conv{index}.bias"), &[outputs])?
                .into(),
        })
    }

    /// `[step][input]` to `[step][output]`; gives how many steps come out.
    fn run(&self, from: &[f32], steps: usize, to: &mut [f32]) -> usize {
        let count = (steps - 1) / self.stride + 1;
        for (step, row) in to.chunks_exact_mut(self.outputs).take(count).enumerate() {
            row.copy_from_slice(&self.bias);
            for tap in 0..3 {
                // The first tap lies one step before.
                let at = (step * self.stride + tap).wrapping_sub(1);
                if at < steps {
                    let size = self.inputs * self.outputs;
                    multiply(
                        &self.weights[tap * size..][..size],
                        &from[at * self.inputs..][..self.inputs],
                        row,
                    );
                }
            }
            row.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        count
    }
}

/// Adds `weights`, `[input][output]`, times `from` to `to`.
fn multiply(weights: &[f32], from: &[f32], to: &mut [f32]) {
    for (row, factor) in weights.chunks_exact(to.len()).zip(from) {
        for (sum, weight) in to.iter_mut().zip(row) {
            *sum += weight * factor;
        }
    }
}

/// `[row][column]` to `[column][row]`.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let order = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    order.map(|index| values[index]).collect()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
