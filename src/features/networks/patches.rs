//! The first layer of the vision transformers.
//!
//! Thread: start-up. Allocates: yes.

use crate::error::Result;
use crate::inference::network::Linear;
use crate::inference::tensors::Source;

/// A convolution `[output][colour][row][column]` as a linear layer on patches `[row][column][colour]`.
///
/// # Errors
/// Those of the source.
pub fn embedding(source: &impl Source, name: &str, patch: usize, outputs: usize) -> Result<Linear> {
    let shape = [outputs, 3, patch, patch];
    let planar = source.tensor(&format!("{name}.weight"), &shape)?;
    let plane = patch * patch;
    let weights = planar.chunks_exact(3 * plane).flat_map(|filter| {
        let pixel = move |pixel| (0..3).map(move |colour| filter[colour * plane + pixel]);
        (0..plane).flat_map(pixel)
    });
    Ok(Linear {
        weights: weights.collect(),
        bias: source.tensor(&format!("{name}.bias"), &[outputs])?.into(),
    })
}
