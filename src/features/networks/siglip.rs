//! SigLIP's eye: a vision transformer without a class token, whose patches one learnt query sums up (Zhai et al., "Sigmoid
//! Loss for Language Image Pre-Training", 2023). Many vision-language-action models see through it.
//!
//! Thread: start-up; the network that comes of it runs anywhere. Allocates: yes.

use super::Until;
use super::patches;
use crate::error::Result;
use crate::inference::network::{Activation, Linear, Network, Norm, Value, Weights};
use crate::inference::tensors::Source;

/// Rows and columns of the picture, in pixels.
pub const SIDE: usize = 224;
/// Rows and columns of a patch.
const PATCH: usize = 16;
/// Rows and columns of patches.
pub const MAP_SIDE: usize = SIDE / PATCH;
pub const PATCHES: usize = MAP_SIDE * MAP_SIDE;
/// Features of a patch.
pub const COLUMNS: usize = 768;
const INNER: usize = 4 * COLUMNS;
const HEADS: usize = 12;
const LAYERS: usize = 12;
/// Of layer normalisation.
const EPSILON: f32 = 1e-6;

/// The network: the patches behind the last layer norm, row by row; or, for [`Until::Summary`], what the query makes of them.
///
/// # Panics
/// Where classes are asked for: it was trained without.
///
/// # Errors
/// Those of the source.
pub fn network(source: &impl Source, until: Until) -> Result<Network> {
    assert_ne!(until, Until::Classes, "SigLIP has no classes");
    let mut eye = Eye {
        net: Network::default(),
        source,
    };
    let pixels = eye.net.patches(SIDE, PATCH);
    let embedding = patches::embedding(
        source,
        "vision_model.embeddings.patch_embedding",
        PATCH,
        COLUMNS,
    )?;
    let embedded = eye.net.linear(pixels, embedding);
    let positions = eye.vector("embeddings.position_embedding.weight", &[PATCHES, COLUMNS])?;
    let mut x = eye.net.positions(embedded, positions);
    for index in 0..LAYERS {
        x = eye.layer(index, x)?;
    }
    let norm = eye.norm("post_layernorm")?;
    let x = eye.net.layer_norm(x, norm);
    if until == Until::Summary {
        eye.sum_up(x)?;
    }
    Ok(eye.net)
}

/// The network in the making, and the weights for it, by the names that the authors' files give them.
struct Eye<'a, S> {
    net: Network,
    source: &'a S,
}

impl<S: Source> Eye<'_, S> {
    fn layer(&mut self, index: usize, x: Value) -> Result<Value> {
        let part = |name: &str| format!("encoder.layers.{index}.{name}");
        let normed = self.norm(&part("layer_norm1"))?;
        let normed = self.net.layer_norm(x, normed);
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|name| {
            let name = part(&format!("self_attn.{name}"));
            Ok((normed, self.linear(&name, COLUMNS, COLUMNS)?))
        });
        let attended = self.net.attend(q?, k?, v?, HEADS);
        let out = self.linear(&part("self_attn.out_proj"), COLUMNS, COLUMNS)?;
        let sum = self.net.linear(attended, out);
        let x = self.net.add(x, sum);
        self.perceptron(x, &part("layer_norm2"), &part("mlp"))
    }

    /// One query asks all patches.
    fn sum_up(&mut self, x: Value) -> Result<Value> {
        let probe = self.vector("head.probe", &[1, 1, COLUMNS])?;
        let probe = self.net.constant(probe, COLUMNS);
        let (rows, name) = (3 * COLUMNS, "head.attention.in_proj");
        let weights = self.vector(&format!("{name}_weight"), &[rows, COLUMNS])?;
        let bias = self.vector(&format!("{name}_bias"), &[rows])?;
        let part = |which: usize| Linear {
            weights: weights[which * COLUMNS * COLUMNS..][..COLUMNS * COLUMNS].into(),
            bias: bias[which * COLUMNS..][..COLUMNS].into(),
        };
        let (keys, values) = ((x, part(1)), (x, part(2)));
        let attended = self.net.attend((probe, part(0)), keys, values, HEADS);
        let out = self.linear("head.attention.out_proj", COLUMNS, COLUMNS)?;
        let x = self.net.linear(attended, out);
        self.perceptron(x, "head.layernorm", "head.mlp")
    }

    /// A norm and a two-layer network, which are added.
    fn perceptron(&mut self, x: Value, norm: &str, mlp: &str) -> Result<Value> {
        let norm = self.norm(norm)?;
        let normed = self.net.layer_norm(x, norm);
        let inner = self.linear(&format!("{mlp}.fc1"), COLUMNS, INNER)?;
        let inner = self.net.linear(normed, inner);
        let inner = self.net.activate(inner, Activation::GeluTanh);
        let outer = self.linear(&format!("{mlp}.fc2"), INNER, COLUMNS)?;
        let outer = self.net.linear(inner, outer);
        Ok(self.net.add(x, outer))
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Weights> {
        let name = format!("vision_model.{name}");
        Ok(self.source.tensor(&name, shape)?.into())
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        Ok(Linear {
            weights: self.vector(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.vector(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            gain: self.vector(&format!("{name}.weight"), &[COLUMNS])?,
            shift: self.vector(&format!("{name}.bias"), &[COLUMNS])?,
            epsilon: EPSILON,
        })
    }
}
