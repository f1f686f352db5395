//! Whisper tiny.en: an utterance becomes text (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022).
//!
//! An encoder of two convolutions and four transformer layers reads the spectrum, a decoder of four layers writes one token after
//! the other, always the most probable. Both run on the project's own kernels ([`crate::inference`]), on the calling thread alone.
//!
//! Whisper was trained on 30 s, with silence behind what was said. Less can be read, and is faster, but then it writes other words
//! now and then and often the same again and again: `docs/microphone.md` has the table.
//!
//! Thread: language. Allocates: yes. Blocks: no. Locks: no.

use std::path::Path;

use tokenizers::Tokenizer;

use super::RATE;
use super::mel::{HOP, Mel};
use crate::error::{Fault, Kind, Result};
use crate::inference::kernels::Isa;
use crate::inference::tensors::TensorFile;
use crate::units::Nanos;

// From spectrum to what the decoder looks at.
mod encoder;

// One token after the other.
mod decoder;

// The network's numbers, by their names.
mod weights;

use decoder::{Decoder, WORDS};
use encoder::Encoder;
use weights::Reader;

/// Width of the network, its layers, and the heads of an attention.
const WIDTH: usize = 384;
const LAYERS: usize = 4;
const HEADS: usize = 6;
/// Rows of the encoder: 20 ms each, 30 s in all.
const ROWS_MAX: usize = 1500;
/// Tokens of one text at most. BOUND: an instruction has fewer than 40; the positions would end at 448.
pub const TOKENS_MAX: usize = 96;

/// Tokens with a meaning of their own.
const END: u32 = 50_256;
const START: u32 = 50_257;
const NO_SPEECH: u32 = 50_361;
const NO_TIMES: u32 = 50_362;
/// What to do about a file that cannot be used.
const FIX: &str = "run `reflexarc models fetch speech`, which replaces missing and damaged files";

/// What the recogniser makes of an utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    pub text: String,
    /// Its own probability that nobody spoke, 0 to 1.
    pub no_speech: f32,
    /// Mean of the logarithm of its tokens' probabilities, below 0.
    pub sureness: f32,
    /// Tokens of the text.
    pub tokens: usize,
    /// It did not come to an end within [`TOKENS_MAX`].
    pub cut: bool,
}

/// See the module.
pub struct Whisper {
    mel: Mel,
    encoder: Encoder,
    decoder: Decoder,
    tokenizer: Tokenizer,
    /// For each token whether it may be written.
    allowed: Vec<bool>,
    /// Tokens that do not begin a text.
    not_first: Vec<u32>,
}

impl Whisper {
    /// Reads `model.safetensors`, `tokenizer.json` and `config.json` in `dir`.
    ///
    /// # Errors
    /// [`Kind::Model`] if a file is missing or damaged.
    pub fn load(dir: &Path, isa: Isa) -> Result<Self> {
        let file = TensorFile::read(&dir.join("model.safetensors"), FIX)?;
        let weights = Reader {
            tensors: file.tensors()?,
        };
        let damaged = |name: &str, why: String| {
            let what = format!(
                "the recogniser's {name} in {} cannot be used",
                dir.display()
            );
            Fault::new(Kind::Model, what, why, FIX)
        };
        let tokenizer = Tokenizer::from_file(dir.join("tokenizer.json"))
            .map_err(|e| damaged("tokenizer.json", e.to_string()))?;
        let suppressed = Suppressed::read(&dir.join("config.json"))
            .map_err(|why| damaged("config.json", why))?;
        // Times are not asked for.
        let mut allowed: Vec<_> = (0..WORDS).map(|token| token < NO_TIMES as usize).collect();
        for &token in &suppressed.suppress_ids {
            if let Some(may) = allowed.get_mut(token as usize) {
                *may = false;
            }
        }
        Ok(Self {
            mel: Mel::new(isa),
            encoder: Encoder::new(&weights, isa)?,
            decoder: Decoder::new(&weights, isa)?,
            tokenizer,
            allowed,
            not_first: suppressed.suppress_ids_begin,
        })
    }

    /// The text of 16 kHz samples, of which the first 30 s count. `read`: how much of 30 s is read, at least what there is.
    ///
    /// # Errors
    /// [`Kind::Internal`] if the tokenizer fails on what was written.
    pub fn recognise(&mut self, samples: &[f32], read: Nanos) -> Result<Recognised> {
        let read = usize::try_from(read.0 * i64::from(RATE) / 1_000_000_000).unwrap_or(0);
        let rows = samples.len().max(read).div_ceil(2 * HOP).clamp(1, ROWS_MAX);
        let spectrum = self.mel.spectrum(samples, 2 * rows);
        let heard = self.encoder.run(&spectrum);
        self.decoder.listen(heard);

        let mut written = Vec::new();
        let (mut sum, mut steps, mut cut) = (0.0, 0.0, true);
        let no_speech = probability(self.decoder.step(START), NO_SPEECH);
        let mut next = NO_TIMES;
        while written.len() < TOKENS_MAX {
            let scores = self.decoder.step(next);
            let first = written.is_empty();
            let may = |token: u32| {
                self.allowed[token as usize] && !(first && self.not_first.contains(&token))
            };
            let (token, logarithm) = best(scores, may);
            sum += logarithm;
            steps += 1.0;
            if token == END {
                cut = false;
                break;
            }
            written.push(token);
            next = token;
        }
        let text = self.tokenizer.decode(&written, true).map_err(|e| {
            Fault::new(
                Kind::Internal,
                "the recogniser's tokens are no text",
                e.to_string(),
                "please report it",
            )
        })?;
        Ok(Recognised {
            text: text.trim().to_owned(),
            no_speech,
            sureness: sum / steps,
            tokens: written.len(),
            cut,
        })
    }
}

#[derive(serde::Deserialize)]
struct Suppressed {
    suppress_ids: Vec<u32>,
    suppress_ids_begin: Vec<u32>,
}

impl Suppressed {
    fn read(file: &Path) -> std::result::Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    }
}

/// The probability of one token.
fn probability(scores: &[f32], token: u32) -> f32 {
    (scores[token as usize] - log_sum(scores, |_| true)).exp()
}

/// The most probable of the tokens that may be written, and the logarithm of its probability among those.
fn best(scores: &[f32], may: impl Fn(u32) -> bool) -> (u32, f32) {
    let allowed = (0_u32..).zip(scores).filter(|(token, _)| may(*token));
    let (token, score) = allowed.fold((END, f32::MIN), |best, (token, &score)| {
        if score > best.1 { (token, score) } else { best }
    });
    (token, score - log_sum(scores, may))
}

/// The logarithm of the sum of `exp`.
fn log_sum(scores: &[f32], may: impl Fn(u32) -> bool) -> f32 {
    let allowed = || {
        (0_u32..)
            .zip(scores)
            .filter(|(token, _)| may(*token))
            .map(|(_, score)| *score)
    };
    let highest = allowed().fold(f32::MIN, f32::max);
    highest
        + allowed()
            .map(|score| (score - highest).exp())
            .sum::<f32>()
            .ln()
}
