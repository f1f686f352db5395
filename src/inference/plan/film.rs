//! Columns multiplied and shifted by what other parts of a network computed.
//!
//! Thread: the plan's. Allocates: no. Blocks: no. Locks: no.

use super::super::kernels::Isa;
use super::super::kernels::pointwise::Activation;
use super::super::network::Rows;
use super::pictures::Canvas;
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
                    line(values, of(0, block), activation, to);
                }
            }
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
            let y = x * (1.0 + gain) + shift;
            *to = match activation {
                Activation::None => y,
                Activation::Relu => y.max(0.0),
                Activation::Relu6 => y.clamp(0.0, 6.0),
                Activation::Gelu | Activation::GeluTanh | Activation::Silu => {
                    unreachable!("refused when the plan was made")
                }
            };
        }
    }
}
