//! Instructions: text in, embedding out.

// Keeps the tensor library on the thread that asks.
mod candle_threads;

// From the sources through the encoder to the link.
mod listen;

// The text encoder.
pub mod minilm;

// Where instructions come from.
pub mod sources;

pub use candle_threads::{keep_candle_on_this_thread, limit_candle};
pub use listen::{Heard, Language, LanguageTotals, Notes};
pub use minilm::MiniLm;
pub use sources::LanguageConfig;

use crate::units::MonoTime;

/// Values of a sentence embedding (all-MiniLM-L6-v2).
pub const EMBEDDING_LEN: usize = 384;
/// Bytes of an instruction's text that travel with it; longer text is cut at a character boundary.
pub const TEXT_BYTES_MAX: usize = 240;

/// One instruction, with its embedding: fixed size, so it passes through a link without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// Counts instructions of this run from 1.
    pub id: u32,
    /// When its last byte was received.
    pub received: MonoTime,
    /// When its embedding was ready.
    pub encoded: MonoTime,
    /// Unit length.
    pub embedding: [f32; EMBEDDING_LEN],
    text: [u8; TEXT_BYTES_MAX],
    text_len: u8,
}

impl Instruction {
    pub fn new(id: u32, text: &str, received: MonoTime, embedding: [f32; EMBEDDING_LEN]) -> Self {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let mut bytes = [0; TEXT_BYTES_MAX];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        let text_len = u8::try_from(end).expect("TEXT_BYTES_MAX fits in a u8");
        Self {
            id,
            received,
            encoded: received,
            embedding,
            text: bytes,
            text_len,
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.text_len)]).unwrap_or_default()
    }
}
