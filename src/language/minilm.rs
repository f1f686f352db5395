//! all-MiniLM-L6-v2: a sentence becomes a vector of 384 numbers and length 1, near the vectors of sentences
//! that mean the same.
//!
//! The architecture is BERT's encoder with 6 layers and 12 heads, mean pooling over the tokens, and
//! division by the length (Wang et al., "MiniLM", 2020; Reimers and Gurevych, "Sentence-BERT", 2019).
//!
//! Thread: language (and start-up). Allocates: in the tokenizer; the network does not. Blocks: no. Locks: no.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::{Tokenizer, TruncationParams};

use super::EMBEDDING_LEN;
use crate::error::{Fault, Kind, Result};
use crate::inference::kernels::Isa;
use crate::inference::network::{Activation, Linear, Network, Norm, Weights};
use crate::inference::plan::{Input, Limits, Plan, Precision};
use crate::inference::tensors::{TensorFile, Tensors};

const LAYERS: usize = 6;
const HEADS: usize = 12;
/// Width of the two-layer network after each attention.
const INNER_LEN: usize = 1536;
const WORDS: usize = 30_522;
const POSITIONS: usize = 512;
/// Of layer normalisation, from the model's configuration.
const EPSILON: f32 = 1e-12;
/// Longer texts are cut; the model was made for at most 256.
pub const TOKENS_MAX: usize = 256;
/// Sentences that go through together have as many tokens in all as the longest one alone.
const LIMITS: Limits = Limits {
    rows: TOKENS_MAX,
    // BOUND: a sentence has at least the two tokens that mark its ends.
    sequences: TOKENS_MAX / 2,
};
/// The token for a word that the vocabulary lacks.
const UNKNOWN: &str = "[UNK]";
/// What to do about a file that cannot be used.
const FIX: &str = "run `reflexarc models fetch`, which replaces missing and damaged files";

/// A sentence's vector and what was noticed on the way.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Unit length.
    pub embedding: [f32; EMBEDDING_LEN],
    /// Tokens of the text itself, without the two that mark its ends.
    pub token_count: usize,
    /// Those of them that the vocabulary lacks.
    pub unknown_count: usize,
    /// The text had more tokens than [`TOKENS_MAX`] and was cut.
    pub cut: bool,
}

impl Encoded {
    /// Half of the text or more was not understood: it is probably not English.
    pub fn is_mostly_unknown(&self) -> bool {
        self.unknown_count > 0 && 2 * self.unknown_count >= self.token_count
    }
}

/// The model with its tokenizer. A clone shares the weights and has memory of its own (7 MB).
#[derive(Clone, Debug)]
pub struct MiniLm {
    tokenizer: Arc<Tokenizer>,
    unknown: u32,
    plan: Plan,
}

impl MiniLm {
    /// Reads `model.safetensors` and `tokenizer.json` in `dir`, for the fastest instruction set of this processor.
    ///
    /// # Errors
    /// [`Kind::Model`] if a file is missing or damaged, or a tensor is missing or has another shape or type.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_for(dir, Isa::best(), Precision::F32)
    }

    /// As [`load`](Self::load), for an instruction set and a precision of one's choice.
    pub fn load_for(dir: &Path, isa: Isa, precision: Precision) -> Result<Self> {
        let tokenizer = load_tokenizer(&dir.join("tokenizer.json"))?;
        Ok(Self {
            unknown: tokenizer.token_to_id(UNKNOWN).unwrap_or(u32::MAX),
            tokenizer: Arc::new(tokenizer),
            plan: Plan::new(&network(dir)?, isa, precision, LIMITS),
        })
    }

    /// The vector of one sentence. An empty text has a vector too (of the two tokens that mark its ends).
    ///
    /// # Errors
    /// [`Kind::Internal`] if the tokenizer fails, [`Kind::Model`] if the weights lead to a value that is not finite.
    pub fn encode(&mut self, text: &str) -> Result<[f32; EMBEDDING_LEN]> {
        self.encode_noting(text).map(|encoded| encoded.embedding)
    }

    /// As [`encode`](Self::encode), with what was noticed on the way.
    pub fn encode_noting(&mut self, text: &str) -> Result<Encoded> {
        let tokens = self.tokenize(text)?;
        Ok(Encoded {
            embedding: self.embed(&tokens.ids)?,
            token_count: tokens.ids.len().saturating_sub(2),
            unknown_count: tokens.ids.iter().filter(|&&id| id == self.unknown).count(),
            cut: tokens.cut,
        })
    }

    /// The vectors of many sentences, in their order; faster than one by one, because as many as fit go through
    /// together.
    pub fn encode_all(&mut self, texts: &[impl AsRef<str>]) -> Result<Vec<[f32; EMBEDDING_LEN]>> {
        let tokens = texts.iter().map(|t| self.tokenize(t.as_ref()));
        let tokens = tokens.collect::<Result<Vec<_>>>()?;
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut left = &tokens[..];
        while !left.is_empty() {
            let mut rows = 0;
            let fit = left.iter().take_while(|next| {
                rows += next.ids.len();
                rows <= LIMITS.rows
            });
            // One always fits, because texts are cut to the limit.
            let (batch, rest) = left.split_at(fit.count());
            let ids: Vec<u32> = batch.iter().flat_map(|t| &t.ids).copied().collect();
            let lengths: Vec<usize> = batch.iter().map(|t| t.ids.len()).collect();
            let mut pooled = vec![0.0; batch.len() * EMBEDDING_LEN];
            self.plan.run(Input::Words(&ids), &lengths, &mut pooled);
            let pooled = pooled.as_chunks::<EMBEDDING_LEN>().0;
            embeddings.extend(pooled.iter().map(unit_length).collect::<Result<Vec<_>>>()?);
            left = rest;
        }
        Ok(embeddings)
    }

    /// The vector of a sentence of tokens, at most [`TOKENS_MAX`]. Does not allocate.
    ///
    /// # Errors
    /// [`Kind::Internal`] if there are none or too many, or the model does not know one, [`Kind::Model`] if the weights
    /// lead to a value that is not finite.
    pub fn embed(&mut self, tokens: &[u32]) -> Result<[f32; EMBEDDING_LEN]> {
        let mut pooled = [0.0; EMBEDDING_LEN];
        check(tokens)?;
        self.plan
            .run(Input::Words(tokens), &[tokens.len()], &mut pooled);
        unit_length(&pooled)
    }

    fn tokenize(&self, text: &str) -> Result<Tokens> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(failed)?;
        check(encoding.get_ids())?;
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            cut: !encoding.get_overflowing().is_empty(),
        })
    }
}

struct Tokens {
    ids: Vec<u32>,
    cut: bool,
}

/// Some tokens, not too many, and all of them in the model's table.
fn check(tokens: &[u32]) -> Result<()> {
    let known = |&id: &u32| usize::try_from(id).is_ok_and(|id| id < WORDS);
    if tokens.is_empty() || tokens.len() > TOKENS_MAX {
        return Err(failed(format!("it has {} tokens", tokens.len())));
    }
    match tokens.iter().find(|id| !known(id)) {
        Some(id) => Err(failed(format!("the model has no token {id}"))),
        None => Ok(()),
    }
}

fn unit_length(values: &[f32; EMBEDDING_LEN]) -> Result<[f32; EMBEDDING_LEN]> {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let unit = values.map(|v| v / length);
    match unit.iter().all(|v| v.is_finite()) {
        true => Ok(unit),
        false => Err(Fault::new(
            Kind::Model,
            "the text encoder gave a value that is not finite",
            "its weights are damaged",
            "run `reflexarc models fetch`",
        )),
    }
}

/// The model as a description, with the weights of `model.safetensors` in `dir`.
///
/// # Errors
/// As of [`MiniLm::load`].
pub fn network(dir: &Path) -> Result<Network> {
    let file = TensorFile::read(&dir.join("model.safetensors"), FIX)?;
    let weights = Reader {
        tensors: file.tensors()?,
    };
    let mut net = Network::default();
    let words = weights.table("embeddings.word_embeddings", WORDS)?;
    let words = net.words(&words, EMBEDDING_LEN);
    let placed = net.positions(words, weights.positions()?);
    let mut x = net.layer_norm(placed, weights.norm("embeddings.LayerNorm")?);
    for index in 0..LAYERS {
        let part = |name: &str| format!("encoder.layer.{index}.{name}");
        let attended = net.attention(x, weights.qkv(&part("attention.self"))?, HEADS);
        let output = weights.linear(
            &part("attention.output.dense"),
            EMBEDDING_LEN,
            EMBEDDING_LEN,
        )?;
        let output = net.linear(attended, output);
        let sum = net.add(x, output);
        x = net.layer_norm(sum, weights.norm(&part("attention.output.LayerNorm"))?);

        let inner = weights.linear(&part("intermediate.dense"), EMBEDDING_LEN, INNER_LEN)?;
        let inner = net.linear(x, inner);
        let inner = net.activate(inner, Activation::Gelu);
        let outer = weights.linear(&part("output.dense"), INNER_LEN, EMBEDDING_LEN)?;
        let outer = net.linear(inner, outer);
        let sum = net.add(x, outer);
        x = net.layer_norm(sum, weights.norm(&part("output.LayerNorm"))?);
    }
    net.mean(x);
    Ok(net)
}

/// The weights by their names in the file.
struct Reader<'a> {
    tensors: Tensors<'a>,
}

impl Reader<'_> {
    fn table(&self, name: &str, rows: usize) -> Result<Weights> {
        let shape = [rows, EMBEDDING_LEN];
        Ok(self.tensors.read(&format!("{name}.weight"), &shape)?.into())
    }

    /// Of each position, with the vector of the first segment added: there is only one.
    fn positions(&self) -> Result<Weights> {
        let positions = self.table("embeddings.position_embeddings", POSITIONS)?;
        let segments = self.table("embeddings.token_type_embeddings", 2)?;
        let first = segments.iter().take(EMBEDDING_LEN).cycle();
        Ok(positions.iter().zip(first).map(|(p, s)| p + s).collect())
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        let vector = |part| {
            self.tensors
                .read(&format!("{name}.{part}"), &[EMBEDDING_LEN])
        };
        Ok(Norm {
            gain: vector("weight")?.into(),
            shift: vector("bias")?.into(),
            epsilon: EPSILON,
        })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weights = format!("{name}.weight");
        let bias = format!("{name}.bias");
        Ok(Linear {
            weights: self.tensors.read(&weights, &[outputs, inputs])?.into(),
            bias: self.tensors.read(&bias, &[outputs])?.into(),
        })
    }

    fn qkv(&self, name: &str) -> Result<Linear> {
        let part = |part| self.linear(&format!("{name}.{part}"), EMBEDDING_LEN, EMBEDDING_LEN);
        Ok(Linear::joined([
            part("query")?,
            part("key")?,
            part("value")?,
        ]))
    }
}

fn load_tokenizer(file: &PathBuf) -> Result<Tokenizer> {
    let bytes = std::fs::read(file).map_err(|e| unreadable(file, &e))?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| damaged(file, e))?;
    // The package's file pads every text to 128 tokens, which would be 128 tokens of work.
    tokenizer.with_padding(None);
    let truncation = TruncationParams {
        max_length: TOKENS_MAX,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|e| damaged(file, e))?;
    Ok(tokenizer)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Fault {
    Fault::from_io(
        format!("cannot read the text encoder's {}", file.display()),
        error,
        Kind::Model,
        FIX,
    )
}

fn damaged(file: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::new(
        Kind::Model,
        format!("the text encoder's {} is damaged", file.display()),
        error.to_string(),
        FIX,
    )
}

fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::new(
        Kind::Internal,
        "the text encoder failed on a text",
        error.to_string(),
        "please report it with the text",
    )
}
