//! The kernels in this binary: what nvcc made of `kernels/all.cu` for each architecture, in one file.

use crate::error::{Fault, Kind, Result};

#[cfg(feature = "cuda")]
const IMAGE: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")));
#[cfg(not(feature = "cuda"))]
const IMAGE: Option<&[u8]> = None;

/// Whether they are there.
pub const ARE_HERE: bool = IMAGE.is_some();

/// In words, so that they are aligned as the driver wants them.
///
/// # Errors
/// `Unsupported` in a binary that was built without the feature `cuda`.
pub fn image() -> Result<Vec<u64>> {
    let Some(image) = IMAGE else {
        return Err(Fault::new(
            Kind::Unsupported,
            "the backend \"cuda\" is not in this binary",
            "it was built without the feature `cuda`, which puts the GPU's kernels into it",
            "build with `scripts/cuda-home && cargo build --release --features cuda` (docs/cuda.md), or set the backend to \"plan\"",
        ));
    };
    Ok(words(image))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let chunks = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    });
    chunks.collect()
}
