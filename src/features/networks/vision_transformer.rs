//! Vision transformers: a picture is cut into square patches, which are the words of a transformer (Dosovitskiy et al., "An
//! Image is Worth 16x16 Words", 2021; Oquab et al., "DINOv2", 2023).
//!
//! Thread: start-up; the network that comes of it runs anywhere. Allocates: yes.

use super::{Until, patches, positions};
use crate::error::Result;
use crate::inference::network::{Activation, Linear, Network, Norm, Value, Weights};
use crate::inference::tensors::Source;

/// Of layer normalisation, in all of them.
const EPSILON: f32 = 1e-6;

/// What tells one vision transformer from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Rows and columns of the picture, in pixels.
    pub side: usize,
    /// Rows and columns of a patch.
    pub patch: usize,
    /// Features of a position.
    pub columns: usize,
    pub heads: usize,
    pub layers: usize,
    /// Every result that is added is scaled (LayerScale).
    pub is_scaled: bool,
}

/// ViT-Tiny with patches of 16 pixels: 1.25 thousand million multiply-adds.
pub const VIT_TINY: Spec = Spec {
    side: 224,
    patch: 16,
    columns: 192,
    heads: 3,
    layers: 12,
    is_scaled: false,
};

/// ViT-Small with patches of 16 pixels.
pub const VIT_SMALL: Spec = Spec {
    columns: 384,
    heads: 6,
    ..VIT_TINY
};

/// DINOv2-S: patches of 14 pixels, LayerScale.
pub const DINOV2_SMALL: Spec = Spec {
    patch: 14,
    is_scaled: true,
    ..VIT_SMALL
};

impl Spec {
    /// Rows and columns of patches.
    pub fn map_side(self) -> usize {
        self.side / self.patch
    }

    /// Patches of a picture.
    pub fn patches(self) -> usize {
        self.map_side().pow(2)
    }
}

/// The network, whose output is its last layer norm: the class token first, then the patches, row by row; or, for
/// [`Until::Summary`], the class token alone.
///
/// # Panics
/// Where classes are asked for: the class token is what each user trains a head of their own on.
///
/// # Errors
/// Those of the source.
pub fn network(spec: Spec, source: &impl Source, until: Until) -> Result<Network> {
    assert_ne!(until, Until::Classes, "a vision transformer has no classes");
    let Spec {
        patch,
        columns,
        heads,
        layers,
        ..
    } = spec;
    let reader = Reader { source };
    let mut net = Network::default();
    let pixels = net.patches(spec.side, patch);
    let embedded = net.linear(
        pixels,
        patches::embedding(source, "patch_embed.proj", patch, columns)?,
    );
    let class = reader.vector("cls_token", &[1, 1, columns])?;
    let tokens = net.first(embedded, class);
    let mut x = net.positions(tokens, reader.positions(spec)?);
    for index in 0..layers {
        let part = |name: &str| format!("blocks.{index}.{name}");
        let normed = net.layer_norm(x, reader.norm(&part("norm1"), columns)?);
        let qkv = reader.linear(&part("attn.qkv"), columns, 3 * columns)?;
        let attended = net.attention(normed, qkv, heads);
        let projected = reader.linear(&part("attn.proj"), columns, columns)?;
        let mut sum = net.linear(attended, projected);
        if spec.is_scaled {
            sum = net.scale(sum, reader.vector(&part("ls1.gamma"), &[columns])?);
        }
        x = net.add(x, sum);
        let mut sum = perceptron(&mut net, &reader, &part, x)?;
        if spec.is_scaled {
            sum = net.scale(sum, reader.vector(&part("ls2.gamma"), &[columns])?);
        }
        x = net.add(x, sum);
    }
    if until == Until::Summary {
        x = net.take(x, 0);
    }
    net.layer_norm(x, reader.norm("norm", columns)?);
    Ok(net)
}

/// The two-layer network after each attention, four times as wide inside.
fn perceptron(
    net: &mut Network,
    reader: &Reader<'_, impl Source>,
    part: &dyn Fn(&str) -> String,
    x: Value,
) -> Result<Value> {
    let columns = net.shape(x).columns;
    let normed = net.layer_norm(x, reader.norm(&part("norm2"), columns)?);
    let inner = reader.linear(&part("mlp.fc1"), columns, 4 * columns)?;
    let inner = net.linear(normed, inner);
    let inner = net.activate(inner, Activation::Gelu);
    let outer = reader.linear(&part("mlp.fc2"), 4 * columns, columns)?;
    Ok(net.linear(inner, outer))
}

/// Weights by the names that timm gives them.
struct Reader<'a, S> {
    source: &'a S,
}

impl<S: Source> Reader<'_, S> {
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Weights> {
        Ok(self.source.tensor(name, shape)?.into())
    }

    fn norm(&self, name: &str, columns: usize) -> Result<Norm> {
        Ok(Norm {
            gain: self.vector(&format!("{name}.weight"), &[columns])?,
            shift: self.vector(&format!("{name}.bias"), &[columns])?,
            epsilon: EPSILON,
        })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        Ok(Linear {
            weights: self.vector(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.vector(&format!("{name}.bias"), &[outputs])?,
        })
    }

    /// What is added to the class token and to each patch. A network that was trained on another number of patches has its
    /// table resampled, as timm does it.
    fn positions(&self, spec: Spec) -> Result<Weights> {
        let name = "pos_embed";
        let wanted = [1, spec.patches() + 1, spec.columns];
        let found = match self.source.shape(name)[..] {
            [1, rows, columns] if columns == spec.columns => rows,
            _ => return self.vector(name, &wanted),
        };
        let side = found.saturating_sub(1).isqrt();
        if found == wanted[1] || side == 0 || side * side + 1 != found {
            return self.vector(name, &wanted);
        }
        let table = self.source.tensor(name, &[1, found, spec.columns])?;
        let (class, patches) = table.split_at(spec.columns);
        let patches = positions::resample(patches, side, spec.map_side(), spec.columns);
        Ok(class.iter().copied().chain(patches).collect())
    }
}
