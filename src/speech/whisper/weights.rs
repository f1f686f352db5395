//! The network's numbers by their names, which are those of the model's publication on Hugging Face.
//!
//! Thread: start-up. Allocates: yes.

use super::WIDTH;
use crate::error::Result;
use crate::inference::network::{Linear, Norm, Weights};
use crate::inference::tensors::Tensors;

/// Of layer normalisation: PyTorch's default.
const EPSILON: f32 = 1e-5;

pub(super) struct Reader<'a> {
    pub(super) tensors: Tensors<'a>,
}

impl Reader<'_> {
    pub(super) fn table(&self, name: &str, rows: usize) -> Result<Weights> {
        Ok(self.tensors.read(name, &[rows, WIDTH])?.into())
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm> {
        let vector = |part: &str| self.tensors.read(&format!("{name}.{part}"), &[WIDTH]);
        Ok(Norm {
            gain: vector("weight")?.into(),
            shift: vector("bias")?.into(),
            epsilon: EPSILON,
        })
    }

    pub(super) fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        Ok(Linear {
            weights: self
                .tensors
                .read(&format!("{name}.weight"), &[outputs, inputs])?
                .into(),
            bias: self
                .tensors
                .read(&format!("{name}.bias"), &[outputs])?
                .into(),
        })
    }

    /// One of an attention's projections. Whisper's keys have no bias.
    pub(super) fn projection(&self, name: &str, which: &str) -> Result<Linear> {
        let name = format!("{name}.{which}_proj");
        if which != "k" {
            return self.linear(&name, WIDTH, WIDTH);
        }
        Ok(Linear {
            weights: self
                .tensors
                .read(&format!("{name}.weight"), &[WIDTH, WIDTH])?
                .into(),
            bias: vec![0.0; WIDTH].into(),
        })
    }

    /// A convolution with three taps as a layer on three rows side by side.
    pub(super) fn convolution(&self, name: &str, inputs: usize) -> Result<Linear> {
        let weights = self
            .tensors
            .read(&format!("{name}.weight"), &[WIDTH, inputs, 3])?;
        let order = (0..WIDTH)
            .flat_map(|o| (0..3).flat_map(move |tap| (0..inputs).map(move |i| (o, tap, i))));
        Ok(Linear {
            weights: order
                .map(|(o, tap, i)| weights[(o * inputs + i) * 3 + tap])
                .collect(),
            bias: self.tensors.read(&format!("{name}.bias"), &[WIDTH])?.into(),
        })
    }
}
