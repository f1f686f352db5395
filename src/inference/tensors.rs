//! Reading named tensors from a safetensors file by a checked path: whatever is wrong with the file, the reader
//! learns which tensor, what was expected and what to do.
//!
//! Thread: at the start, any. Allocates: yes. Blocks: on the disk.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::error::{Fault, Kind, Result};

/// A whole file in memory.
pub struct TensorFile {
    path: PathBuf,
    /// What to do about a file that cannot be used.
    fix: &'static str,
    bytes: Vec<u8>,
}

/// The tensors of a file whose header has been checked.
pub struct Tensors<'a> {
    file: &'a TensorFile,
    tensors: SafeTensors<'a>,
}

/// Where a network's weights come from, by their names and shapes: a file, or made up for a test.
pub trait Source {
    /// # Errors
    /// If there is no such tensor of this shape.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// The shape of a tensor that may have one of several. Empty where there is no such tensor, or it has whatever shape it
    /// is asked for in.
    fn shape(&self, _name: &str) -> Vec<usize> {
        Vec::new()
    }

    /// The fault of tensors that are all there, but hold what cannot be.
    fn damaged(&self, why: String) -> Fault {
        Fault::new(
            Kind::Model,
            "weights that cannot be used",
            why,
            "load weights of a network that was trained",
        )
    }
}

impl Source for Tensors<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.read(name, shape)
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let tensor = self.tensors.tensor(name);
        tensor.map_or_else(|_| Vec::new(), |tensor| tensor.shape().to_vec())
    }

    fn damaged(&self, why: String) -> Fault {
        self.file.damaged(why)
    }
}

impl TensorFile {
    /// `fix` is what a person is told to do where the file is missing or damaged.
    ///
    /// # Errors
    /// [`Kind::Model`] if it cannot be read.
    pub fn read(path: &Path, fix: &'static str) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Fault::from_io(
                format!("cannot read the model file {}", path.display()),
                &error,
                Kind::Model,
                fix,
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            fix,
            bytes,
        })
    }

    /// # Errors
    /// [`Kind::Model`] if it is no safetensors file, or not a whole one.
    pub fn tensors(&self) -> Result<Tensors<'_>> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|error| {
            self.damaged(format!(
                "the file is no complete safetensors file: {error} ({} bytes read)",
                self.bytes.len()
            ))
        })?;
        Ok(Tensors {
            file: self,
            tensors,
        })
    }

    fn damaged(&self, why: impl Into<String>) -> Fault {
        Fault::new(
            Kind::Model,
            format!("the model file {} cannot be used", self.path.display()),
            why,
            self.fix,
        )
    }
}

impl Tensors<'_> {
    /// The fault of a file whose tensors are all there, but hold what cannot be.
    pub fn damaged(&self, why: impl Into<String>) -> Fault {
        self.file.damaged(why)
    }

    /// The values of tensor `name`, which must be f32 or f16, of this shape, and finite.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensors.tensor(name).map_err(|_| {
            self.damaged(format!(
                "tensor `{name}` {shape:?} is missing; {}",
                self.summary()
            ))
        })?;
        if tensor.shape() != shape {
            return Err(self.damaged(format!(
                "tensor `{name}` has the shape {:?}, expected {shape:?}",
                tensor.shape()
            )));
        }
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => {
                let (words, _) = tensor.data().as_chunks::<4>();
                words.iter().map(|w| f32::from_le_bytes(*w)).collect()
            }
            Dtype::F16 => {
                let (words, _) = tensor.data().as_chunks::<2>();
                words
                    .iter()
                    .map(|w| from_half(u16::from_le_bytes(*w)))
                    .collect()
            }
            other => {
                return Err(self.damaged(format!(
                    "tensor `{name}` has the type {other:?}, expected F32 or F16"
                )));
            }
        };
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(self.damaged(format!(
                "tensor `{name}` {shape:?} holds {} at position {index}, expected finite numbers",
                values[index]
            )));
        }
        Ok(values)
    }

    /// What the file holds instead of what was looked for.
    fn summary(&self) -> String {
        let mut names = self.tensors.names();
        names.sort_unstable();
        match names.first() {
            Some(first) => format!("the file has {} tensors, such as `{first}`", names.len()),
            None => "the file has no tensors".to_owned(),
        }
    }
}

/// A number of IEEE 754's binary16. Exact.
fn from_half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 0x1f, bits & 0x3ff);
    let size = match exponent {
        // 2^-24 is the step of the smallest ones, which have no leading 1.
        0 => f32::from(fraction) / 16_777_216.0,
        0x1f => return f32::NAN,
        // The exponents' zeros are 15 and 127.
        _ => f32::from_bits((u32::from(exponent) + 112) << 23 | u32::from(fraction) << 13),
    };
    if sign == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_what_the_standard_says() {
        let halves = [
            0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x03ff, 0x0400,
        ];
        // numpy: `np.array(halves, np.uint16).view(np.float16).astype(np.float32)`.
        let floats = [
            0.0,
            1.0,
            -2.0,
            0.333_251_95,
            65_504.0,
            5.960_464_5e-8,
            6.097_555e-5,
            6.103_515_6e-5,
        ];
        assert_eq!(halves.map(from_half), floats);
        assert!(from_half(0x7c00).is_nan(), "infinity is refused as well");
    }
}
