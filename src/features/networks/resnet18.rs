//! ResNet18 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016): 1820 million multiply-adds, by the names
//! that torchvision and timm give its tensors.
//!
//! Thread: start-up. Allocates: yes.

use super::Until;
use super::layers::Layers;
use crate::error::Result;
use crate::inference::network::{Network, Window};
use crate::inference::tensors::Source;

/// Rows and columns of the picture, in pixels.
pub const SIDE: usize = 224;
/// Channels of the map.
pub const CHANNELS: usize = 512;

const STEM: usize = 64;
const EPSILON: f64 = 1e-5;

/// # Errors
/// Those of the source.
pub fn network(source: &impl Source, until: Until) -> Result<Network> {
    let mut layers = Layers::new(source, EPSILON);
    let mut x = layers.net.picture(SIDE, SIDE);
    x = layers.convolve(x, ["conv1", "bn1"], STEM, Window::centred(7, 2))?;
    x = layers.relu(x);
    x = layers.net.max_pool(x, Window::centred(3, 2));
    for (layer, outputs) in [(1, 64), (2, 128), (3, 256), (4, CHANNELS)] {
        for index in 0..2 {
            let part = |name: &str| format!("layer{layer}.{index}.{name}");
            let stride = if index == 0 && layer > 1 { 2 } else { 1 };
            let names = [part("conv1"), part("bn1")];
            let inner = layers.convolve(x, names, outputs, Window::centred(3, stride))?;
            let inner = layers.relu(inner);
            if layers.columns(x) != outputs {
                let names = [part("downsample.0"), part("downsample.1")];
                x = layers.convolve(x, names, outputs, Window::centred(1, stride))?;
            }
            let names = [part("conv2"), part("bn2")];
            let outer = layers.convolve(inner, names, outputs, Window::centred(3, 1))?;
            let sum = layers.net.add(x, outer);
            x = layers.relu(sum);
        }
    }
    layers.finish(x, until, "fc")
}
