//! What the convolutional networks are made of: convolutions with their batch normalisation folded in, by the names that a
//! file gives their tensors.
//!
//! Thread: start-up. Allocates: yes.

use super::Until;
use crate::error::Result;
use crate::inference::network::{
    Activation, BatchNorm, Convolution, Linear, Network, Value, Window,
};
use crate::inference::tensors::Source;

/// Classes of ImageNet.
pub const CLASSES: usize = 1000;

/// A description in the making, and the weights for it.
pub struct Layers<'a, S> {
    pub net: Network,
    source: &'a S,
    /// What batch normalisation adds to the variance.
    epsilon: f64,
}

impl<'a, S: Source> Layers<'a, S> {
    pub fn new(source: &'a S, epsilon: f64) -> Self {
        Self {
            net: Network::default(),
            source,
            epsilon,
        }
    }

    pub fn columns(&self, x: Value) -> usize {
        self.net.shape(x).columns
    }

    pub fn relu6(&mut self, x: Value) -> Value {
        self.net.activate(x, Activation::Relu6)
    }

    pub fn relu(&mut self, x: Value) -> Value {
        self.net.activate(x, Activation::Relu)
    }

    /// A dense convolution without bias, and the batch normalisation behind it.
    pub fn convolve(
        &mut self,
        x: Value,
        names: [impl AsRef<str>; 2],
        outputs: usize,
        window: Window,
    ) -> Result<Value> {
        let inputs = self.columns(x);
        self.layer(x, names, [outputs, inputs], window, false)
    }

    /// As [`convolve`](Self::convolve), one pixel at a time.
    pub fn pointwise(
        &mut self,
        x: Value,
        names: [impl AsRef<str>; 2],
        outputs: usize,
    ) -> Result<Value> {
        self.convolve(x, names, outputs, Window::centred(1, 1))
    }

    /// As [`convolve`](Self::convolve), each channel by itself.
    pub fn depthwise(
        &mut self,
        x: Value,
        names: [impl AsRef<str>; 2],
        window: Window,
    ) -> Result<Value> {
        let channels = self.columns(x);
        self.layer(x, names, [channels, 1], window, true)
    }

    fn layer(
        &mut self,
        x: Value,
        [name, norm]: [impl AsRef<str>; 2],
        [outputs, inputs]: [usize; 2],
        window: Window,
        is_depthwise: bool,
    ) -> Result<Value> {
        let shape = [outputs, inputs, window.size, window.size];
        let weights = format!("{}.weight", name.as_ref());
        let weights = self.source.tensor(&weights, &shape)?;
        let norm = self.norm(norm.as_ref(), outputs)?;
        let layer = Convolution {
            weights: weights.into(),
            bias: vec![0.0; outputs].into(),
            window,
            is_depthwise,
        };
        Ok(self.net.convolution(x, layer.normalised(&norm)))
    }

    fn norm(&self, name: &str, outputs: usize) -> Result<BatchNorm> {
        let vector = |part: &str| self.source.tensor(&format!("{name}.{part}"), &[outputs]);
        let variance = vector("running_var")?;
        if let Some(index) = variance.iter().position(|&v| v < 0.0) {
            return Err(self.source.damaged(format!(
                "tensor `{name}.running_var` holds {} at position {index}, expected a variance of 0 or more",
                variance[index]
            )));
        }
        Ok(BatchNorm {
            gain: vector("weight")?,
            shift: vector("bias")?,
            mean: vector("running_mean")?,
            variance,
            epsilon: self.epsilon,
        })
    }

    /// What comes behind the map `x`: nothing, the mean of all pixels, or that and one matrix, `classifier`.
    pub fn finish(mut self, x: Value, until: Until, classifier: &str) -> Result<Network> {
        if until == Until::Map {
            return Ok(self.net);
        }
        let inputs = self.columns(x);
        let pooled = self.net.mean(x);
        if until == Until::Classes {
            let [weights, bias] = ["weight", "bias"].map(|part| format!("{classifier}.{part}"));
            let layer = Linear {
                weights: self.source.tensor(&weights, &[CLASSES, inputs])?.into(),
                bias: self.source.tensor(&bias, &[CLASSES])?.into(),
            };
            self.net.linear(pooled, layer);
        }
        Ok(self.net)
    }
}
