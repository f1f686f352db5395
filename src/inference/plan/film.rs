//! Columns multiplied and shifted by what other parts of a network computed.
//!
//! Thread: the plan's. Allocates: no. Blocks: no. Locks: no.

use super::super::kernels::pointwise::Activation;
use super::super::kernels::{Isa, bf16};
use super::super::network::Rows;
use super::canvas::Canvas;
use super::{Source, Stage, Tensor, sequences};

/// Rows of factors in the kernels' layout: their vectors, and how far apart the blocks are.
type Factors<'a> = (&'a [f32], usize);

impl Stage {
    /// Multiplies by 1 plus the gains, and adds the shifts.
    pub fn film(
        &self,
        isa: Isa,
        (x, values): (&Source, &[f32]),
        factors: [Factors<'_>; 2],
        activation: Activation,
        lengths: &[usize],
        to: &mut [f32],
    ) {
        let lanes = isa.lanes();
        let of = |sequence: usize, block: usize| {
            factors.map(|(values, pitch)| &values[block * pitch + sequence * lanes..][..lanes])
        };
        if let Rows::Picture { height, .. } = self.rows {
            let (from, canvas) = (Canvas::of(isa, x), self.canvas(isa));
            canvas.clear_edge(to);
            for row in 0..height {
                for block in 0..canvas.blocks() {
                    let values = &values[from.line(row, block)];
                    let to = &mut to[canvas.line(row, block)];
                    if canvas.per_lane == 1 {
                        line(values, of(0, block), activation, to);
                        continue;
                    }
                    // The last block of words may have but one of f32.
                    let last = canvas.channels.div_ceil(lanes) - 1;
                    let halves = [2 * block, (2 * block + 1).min(last)].map(|block| of(0, block));
                    pairs(values, halves, activation, to);
                }
            }
            canvas.fill_up(0..height, &to.into());
            return;
        }
        let tensor = Tensor::of(isa, self.rows, self.columns, lengths);
        for (sequence, (first, rows)) in sequences(self.rows, lengths).enumerate() {
            for block in 0..tensor.blocks() {
                let start = block * tensor.pitch() + first * lanes;
                let part = start..start + rows * lanes;
                let to = &mut to[part.clone()];
                line(&values[part], of(sequence, block), activation, to);
            }
        }
    }
}

/// Vectors that have their factors in common.
///
/// # Panics
/// If the activation is one that only products take.
fn line(values: &[f32], [gains, shifts]: [&[f32]; 2], activation: Activation, to: &mut [f32]) {
    let lanes = gains.len();
    for (x, to) in values.chunks_exact(lanes).zip(to.chunks_exact_mut(lanes)) {
        for (((x, gain), shift), to) in x.iter().zip(gains).zip(shifts).zip(to) {
            *to = activated(x * (1.0 + gain) + shift, activation);
        }
    }
}

/// As [`fn@line`], of words of two bf16: the first half of a vector has the channels of the first factors.
fn pairs(values: &[f32], halves: [[&[f32]; 2]; 2], activation: Activation, to: &mut [f32]) {
    let lanes = halves[0][0].len();
    for (x, to) in values.chunks_exact(lanes).zip(to.chunks_exact_mut(lanes)) {
        for (lane, (&x, to)) in x.iter().zip(to).enumerate() {
            let [gains, shifts] = halves[2 * lane / lanes];
            let channel = 2 * lane % lanes;
            let numbers = bf16::numbers(x);
            *to = bf16::word([0, 1].map(|half| {
                let (gain, shift) = (gains[channel + half], shifts[channel + half]);
                activated(numbers[half] * (1.0 + gain) + shift, activation)
            }));
        }
    }
}

fn activated(y: f32, activation: Activation) -> f32 {
    match activation {
        Activation::None => y,
        Activation::Relu => y.max(0.0),
        Activation::Relu6 => y.clamp(0.0, 6.0),
        Activation::Gelu | Activation::GeluTanh | Activation::Silu => {
            unreachable!("refused when the plan was made")
        }
    }
}
