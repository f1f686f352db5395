//! Convolutional encoders as descriptions: MobileNetV2 and ResNet18, from a picture to the logits of 1000 classes.
//!
//! Thread: start-up; the network that comes of it runs anywhere. Allocates: yes.

use crate::error::Result;
use crate::inference::network::{
    Activation, BatchNorm, Convolution, Linear, Network, Value, Window,
};
use crate::inference::tensors::Source;

/// Rows and columns of the input, in pixels.
pub const INPUT_SIZE: usize = 224;
/// Values of the input, `[row][column][red, green, blue]`.
pub const INPUT_LEN: usize = INPUT_SIZE * INPUT_SIZE * 3;
/// Classes of ImageNet.
pub const CLASSES: usize = 1000;
/// What batch normalisation adds to the variance.
const EPSILON: f64 = 1e-5;

/// MobileNetV2 (Sandler et al., 2018), 300 million multiply-adds, by the names that timm gives its tensors.
///
/// # Errors
/// Those of the source.
pub fn mobilenet_v2(source: &impl Source) -> Result<Network> {
    /// Hidden channels per input channel, outputs, blocks, stride of the first.
    const STAGES: [(usize, usize, usize, usize); 7] = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    const STEM: usize = 32;
    const HEAD: usize = 1280;
    let mut net = Builder::new(source);
    let mut x = net.net.picture(INPUT_SIZE, INPUT_SIZE);
    x = net.convolve(x, ["conv_stem", "bn1"], STEM, Window::centred(3, 2))?;
    x = net.net.activate(x, Activation::Relu6);
    for (stage, (expand, outputs, repeat, first_stride)) in STAGES.into_iter().enumerate() {
        for index in 0..repeat {
            let part = |name: &str| format!("blocks.{stage}.{index}.{name}");
            let stride = if index == 0 { first_stride } else { 1 };
            let inputs = net.columns(x);
            // The first block does not expand, and its parts have other names.
            let names = match expand {
                1 => ["conv_dw", "bn1", "conv_pw", "bn2"],
                _ => ["conv_dw", "bn2", "conv_pwl", "bn3"],
            };
            let [depthwise, depthwise_norm, project, project_norm] = names.map(part);
            let mut hidden = x;
            if expand > 1 {
                let names = [part("conv_pw"), part("bn1")];
                hidden =
                    net.convolve(x, names.each_ref(), expand * inputs, Window::centred(1, 1))?;
                hidden = net.net.activate(hidden, Activation::Relu6);
            }
            hidden = net.depthwise(
                hidden,
                [&depthwise, &depthwise_norm],
                Window::centred(3, stride),
            )?;
            hidden = net.net.activate(hidden, Activation::Relu6);
            let output = net.convolve(
                hidden,
                [&project, &project_norm],
                outputs,
                Window::centred(1, 1),
            )?;
            x = if stride == 1 && inputs == outputs {
                net.net.add(x, output)
            } else {
                output
            };
        }
    }
    x = net.convolve(x, ["conv_head", "bn2"], HEAD, Window::centred(1, 1))?;
    x = net.net.activate(x, Activation::Relu6);
    net.classify(x, "classifier")
}

/// ResNet18 (He et al., 2016), 1820 million multiply-adds, by the names that torchvision and timm give its tensors.
///
/// # Errors
/// Those of the source.
pub fn resnet18(source: &impl Source) -> Result<Network> {
    let mut net = Builder::new(source);
    let mut x = net.net.picture(INPUT_SIZE, INPUT_SIZE);
    x = net.convolve(x, ["conv1", "bn1"], 64, Window::centred(7, 2))?;
    x = net.net.activate(x, Activation::Relu);
    x = net.net.max_pool(x, Window::centred(3, 2));
    for (layer, outputs) in [(1, 64), (2, 128), (3, 256), (4, 512)] {
        for index in 0..2 {
            let part = |name: &str| format!("layer{layer}.{index}.{name}");
            let stride = if index == 0 && layer > 1 { 2 } else { 1 };
            let names = [part("conv1"), part("bn1")];
            let inner = net.convolve(x, names.each_ref(), outputs, Window::centred(3, stride))?;
            let inner = net.net.activate(inner, Activation::Relu);
            if net.columns(x) != outputs {
                let names = [part("downsample.0"), part("downsample.1")];
                x = net.convolve(x, names.each_ref(), outputs, Window::centred(1, stride))?;
            }
            let names = [part("conv2"), part("bn2")];
            let outer = net.convolve(inner, names.each_ref(), outputs, Window::centred(3, 1))?;
            let sum = net.net.add(x, outer);
            x = net.net.activate(sum, Activation::Relu);
        }
    }
    net.classify(x, "fc")
}

/// A description in the making, and the weights for it.
struct Builder<'a, S> {
    net: Network,
    source: &'a S,
}

impl<'a, S: Source> Builder<'a, S> {
    fn new(source: &'a S) -> Self {
        Self {
            net: Network::default(),
            source,
        }
    }

    fn columns(&self, x: Value) -> usize {
        self.net.shape(x).columns
    }

    /// A dense convolution without bias, and the batch normalisation behind it.
    fn convolve(
        &mut self,
        x: Value,
        names: [impl AsRef<str>; 2],
        outputs: usize,
        window: Window,
    ) -> Result<Value> {
        let inputs = self.columns(x);
        self.layer(x, names, [outputs, inputs], window, false)
    }

    /// As [`convolve`](Self::convolve), each channel by itself.
    fn depthwise(&mut self, x: Value, names: [&String; 2], window: Window) -> Result<Value> {
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
        let vector = |part: &str| {
            let name = format!("{}.{part}", norm.as_ref());
            self.source.tensor(&name, &[outputs])
        };
        let norm = BatchNorm {
            gain: vector("weight")?,
            shift: vector("bias")?,
            mean: vector("running_mean")?,
            variance: vector("running_var")?,
            epsilon: EPSILON,
        };
        let layer = Convolution {
            weights: self.source.tensor(&weights, &shape)?.into(),
            bias: vec![0.0; outputs].into(),
            window,
            is_depthwise,
        };
        Ok(self.net.convolution(x, layer.normalised(&norm)))
    }

    /// The mean of all pixels, and one matrix.
    fn classify(mut self, x: Value, name: &str) -> Result<Network> {
        let inputs = self.columns(x);
        let pooled = self.net.mean(x);
        let weights = format!("{name}.weight");
        let bias = format!("{name}.bias");
        let layer = Linear {
            weights: self.source.tensor(&weights, &[CLASSES, inputs])?.into(),
            bias: self.source.tensor(&bias, &[CLASSES])?.into(),
        };
        self.net.linear(pooled, layer);
        Ok(self.net)
    }
}
