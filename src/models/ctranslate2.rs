//! Reads a Whisper model in CTranslate2's format and writes it as safetensors, under the names of the model's publication on
//! Hugging Face.
//!
//! The file: a version, the name of the kind of model, a revision, then each tensor with its name, shape, type and bytes, then
//! other names of some of them. CTranslate2 keeps queries, keys and values of an attention as one matrix; here each is its own.
//!
//! Thread: start-up. Allocates: a copy of each tensor.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// The newest layout of the file that is known here. It has not changed since 2022.
const VERSION: u32 = 6;
/// Most dimensions of a tensor: a convolution has 3.
const RANK_MAX: usize = 4;

struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: &'a [u8],
}

type Tensors<'a> = HashMap<&'a str, Tensor<'a>>;

/// The model in `file` as the bytes of a safetensors file. The same input gives the same bytes.
pub fn whisper_to_safetensors(file: &[u8]) -> Result<Vec<u8>, String> {
    let tensors = read(file)?;
    let mut named = Vec::new();
    for side in ["encoder", "decoder"] {
        for index in 0.. {
            if !tensors.contains_key(&*format!("{side}/layer_{index}/ffn/linear_0/weight")) {
                break;
            }
            layer(&tensors, side, index, &mut named)?;
        }
        norm(
            &tensors,
            &format!("{side}/layer_norm"),
            &format!("model.{side}.layer_norm"),
            &mut named,
        )?;
        let places = whole(&tensors, &format!("{side}/position_encodings/encodings"))?;
        named.push((format!("model.{side}.embed_positions.weight"), places));
    }
    for convolution in ["conv1", "conv2"] {
        let (from, to) = (
            format!("encoder/{convolution}"),
            format!("model.encoder.{convolution}"),
        );
        linear(&tensors, &from, &to, &mut named)?;
    }
    let words = whole(&tensors, "decoder/embeddings/weight")?;
    named.push(("model.decoder.embed_tokens.weight".to_owned(), words));
    safetensors::serialize(named, None)
        .map_err(|e| format!("the tensors do not fit safetensors: {e}"))
}

type Named<'a> = Vec<(String, TensorView<'a>)>;

/// One layer of the encoder or decoder.
fn layer<'a>(
    tensors: &Tensors<'a>,
    side: &str,
    index: u32,
    named: &mut Named<'a>,
) -> Result<(), String> {
    let from = |part: &str| format!("{side}/layer_{index}/{part}");
    let to = |part: &str| format!("model.{side}.layers.{index}.{part}");
    norm(
        tensors,
        &from("self_attention/layer_norm"),
        &to("self_attn_layer_norm"),
        named,
    )?;
    split(
        tensors,
        &from("self_attention/linear_0"),
        &to("self_attn"),
        &["q", "k", "v"],
        named,
    )?;
    split(
        tensors,
        &from("self_attention/linear_1"),
        &to("self_attn"),
        &["out"],
        named,
    )?;
    if side == "decoder" {
        norm(
            tensors,
            &from("attention/layer_norm"),
            &to("encoder_attn_layer_norm"),
            named,
        )?;
        split(
            tensors,
            &from("attention/linear_0"),
            &to("encoder_attn"),
            &["q"],
            named,
        )?;
        split(
            tensors,
            &from("attention/linear_1"),
            &to("encoder_attn"),
            &["k", "v"],
            named,
        )?;
        split(
            tensors,
            &from("attention/linear_2"),
            &to("encoder_attn"),
            &["out"],
            named,
        )?;
    }
    norm(
        tensors,
        &from("ffn/layer_norm"),
        &to("final_layer_norm"),
        named,
    )?;
    linear(tensors, &from("ffn/linear_0"), &to("fc1"), named)?;
    linear(tensors, &from("ffn/linear_1"), &to("fc2"), named)
}

fn norm<'a>(
    tensors: &Tensors<'a>,
    from: &str,
    to: &str,
    named: &mut Named<'a>,
) -> Result<(), String> {
    named.push((
        format!("{to}.weight"),
        whole(tensors, &format!("{from}/gamma"))?,
    ));
    named.push((
        format!("{to}.bias"),
        whole(tensors, &format!("{from}/beta"))?,
    ));
    Ok(())
}

fn linear<'a>(
    tensors: &Tensors<'a>,
    from: &str,
    to: &str,
    named: &mut Named<'a>,
) -> Result<(), String> {
    named.push((
        format!("{to}.weight"),
        whole(tensors, &format!("{from}/weight"))?,
    ));
    named.push((
        format!("{to}.bias"),
        whole(tensors, &format!("{from}/bias"))?,
    ));
    Ok(())
}

/// The projections that lie one after the other in a matrix. Keys have no bias in this model: theirs is left out, if it is 0.
fn split<'a>(
    tensors: &Tensors<'a>,
    from: &str,
    to: &str,
    parts: &[&str],
    named: &mut Named<'a>,
) -> Result<(), String> {
    for (index, part) in parts.iter().enumerate() {
        let to = format!("{to}.{part}_proj");
        named.push((
            format!("{to}.weight"),
            share(tensors, &format!("{from}/weight"), index, parts.len())?,
        ));
        let bias = share(tensors, &format!("{from}/bias"), index, parts.len())?;
        match *part {
            "k" if bias.data().iter().any(|&byte| byte != 0) => {
                return Err(format!(
                    "`{from}` has a bias for its keys, which Whisper has not"
                ));
            }
            "k" => {}
            _ => named.push((format!("{to}.bias"), bias)),
        }
    }
    Ok(())
}

fn whole<'a>(tensors: &Tensors<'a>, name: &str) -> Result<TensorView<'a>, String> {
    share(tensors, name, 0, 1)
}

/// Part `index` of `parts` equal ones, by rows.
fn share<'a>(
    tensors: &Tensors<'a>,
    name: &str,
    index: usize,
    parts: usize,
) -> Result<TensorView<'a>, String> {
    let tensor = tensors
        .get(name)
        .ok_or_else(|| format!("tensor `{name}` is missing"))?;
    let mut shape = tensor.shape.clone();
    match shape.first_mut() {
        Some(rows) if rows.is_multiple_of(parts) => *rows /= parts,
        _ => {
            return Err(format!(
                "tensor `{name}` {:?} is not {parts} of a kind",
                tensor.shape
            ));
        }
    }
    let size = tensor.data.len() / parts;
    TensorView::new(tensor.dtype, shape, &tensor.data[index * size..][..size])
        .map_err(|e| format!("tensor `{name}`: {e}"))
}

fn read(file: &[u8]) -> Result<Tensors<'_>, String> {
    let mut reader = Reader { left: file };
    let version = reader.word()?;
    if version != VERSION {
        return Err(format!(
            "its layout has version {version}, known is {VERSION}"
        ));
    }
    let kind = reader.text()?;
    if kind != "WhisperSpec" {
        return Err(format!("it is a `{kind}`, not a Whisper model"));
    }
    let _revision = reader.word()?;
    let mut tensors = HashMap::new();
    // BOUND: each tensor takes bytes off the file.
    for _ in 0..reader.word()? {
        let name = reader.text()?;
        let rank = usize::from(reader.take(1)?[0]);
        if rank > RANK_MAX {
            return Err(format!("tensor `{name}` has {rank} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(reader.size()?);
        }
        let dtype = match reader.take(1)?[0] {
            0 => Dtype::F32,
            1 => Dtype::I8,
            2 => Dtype::I16,
            3 => Dtype::I32,
            4 => Dtype::F16,
            other => return Err(format!("tensor `{name}` has the unknown type {other}")),
        };
        let size = reader.size()?;
        let data = reader.take(size)?;
        tensors.insert(name, Tensor { dtype, shape, data });
    }
    Ok(tensors)
}

/// What is left of the file. The names at its end are not needed.
struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, left) = self
            .left
            .split_at_checked(count)
            .ok_or("the file is cut short")?;
        self.left = left;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(self.word()?).map_err(|e| e.to_string())
    }

    /// Two bytes of length, then the text and a 0.
    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.take(2)?;
        let bytes = self.take(usize::from(u16::from_le_bytes([length[0], length[1]])))?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        std::str::from_utf8(text).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_whisper_model_is_refused_wherever_it_ends() {
        let mut file = 6_u32.to_le_bytes().to_vec();
        file.extend(12_u16.to_le_bytes());
        file.extend(b"WhisperSpec\0");
        file.extend(3_u32.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(2_u16.to_le_bytes());
        file.extend(b"x\0\x01");
        file.extend(2_u32.to_le_bytes());
        file.push(4);
        file.extend(4_u32.to_le_bytes());
        file.extend([0, 0x3c, 0, 0xc0]);
        assert_eq!(read(&file).unwrap()["x"].shape, [2]);
        assert!(
            whisper_to_safetensors(&file)
                .unwrap_err()
                .contains("encoder/layer_norm/gamma")
        );
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "cut at {end}");
        }
        file[0] = 7;
        assert!(read(&file).err().unwrap().contains("version 7"));
    }
}
