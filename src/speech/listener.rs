//! From chunks to instructions: cuts utterances, has them recognised, and lets through what the recogniser is sure of.
//!
//! Thread: language. Allocates: yes. Blocks: no; recognising takes as long as it takes.

use super::config::SpeechConfig;
use super::utterance::Utterances;
use super::whisper::{Recognised, Whisper};
use super::{CHUNK, Chunk, RATE};
use crate::clock;
use crate::error::Result;
use crate::inference::kernels::Isa;
use crate::link::{self, EveryReader, EveryWriter};
use crate::models;
use crate::rt::wait::Bell;
use crate::units::{MonoTime, Nanos};

/// Chunks that wait: 20 s, in which the recogniser reads the longest utterance many times over.
const WAITING: usize = 20 * RATE as usize / CHUNK;

/// The way of chunks from the sensor's thread to the language thread.
pub fn chunks() -> (EveryWriter<Chunk>, EveryReader<Chunk>) {
    link::every(WAITING, &Bell::silent())
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The words, or why there are none to go by.
    pub text: std::result::Result<String, String>,
    /// When the last word was over.
    pub ended: MonoTime,
    /// How long recognising took.
    pub took: Nanos,
}

/// See the module.
pub struct Listener {
    config: SpeechConfig,
    chunks: EveryReader<Chunk>,
    utterances: Utterances,
    recogniser: Whisper,
}

impl Listener {
    /// Loads the recogniser from the models cache, where it must have been fetched.
    ///
    /// # Errors
    /// Those of [`Whisper::load`].
    pub fn open(config: &SpeechConfig, chunks: EveryReader<Chunk>) -> Result<Self> {
        Ok(Self {
            utterances: Utterances::new(config),
            config: config.clone(),
            chunks,
            recogniser: Whisper::load(&models::path(models::RECOGNISER), Isa::best())?,
        })
    }

    /// What was said since the last call, if an utterance has ended: at most one.
    pub fn heard(&mut self) -> Option<Spoken> {
        // BOUND: what the link holds.
        while let Some(chunk) = self.chunks.pop() {
            let Some(utterance) = self.utterances.push(&chunk) else {
                continue;
            };
            let begin = clock::now();
            let recognised = self
                .recogniser
                .recognise(utterance.samples, self.config.read);
            let text = match recognised {
                Ok(recognised) => judge(recognised, &self.config),
                Err(fault) => Err(format!("{}: {}", fault.what, fault.why)),
            };
            return Some(Spoken {
                text,
                ended: utterance.end,
                took: clock::now() - begin,
            });
        }
        None
    }
}

/// The words, if they can be gone by. Whisper writes something whatever it hears: music, a door, silence.
fn judge(recognised: Recognised, config: &SpeechConfig) -> std::result::Result<String, String> {
    let Recognised {
        text,
        no_speech,
        sureness,
        cut,
        ..
    } = recognised;
    if no_speech >= config.no_speech {
        return Err(format!(
            "it was probably no speech ({:.0} %)",
            no_speech * 100.0
        ));
    }
    if cut {
        return Err(
            "the recogniser did not come to an end, as with sounds that are no words".to_owned(),
        );
    }
    if sureness < config.sure {
        return Err(format!(
            "the recogniser is not sure of \"{text}\" (mean log probability {sureness:.2})"
        ));
    }
    match text.chars().any(char::is_alphanumeric) {
        true => Ok(text),
        false => Err("there was no word in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        text: &str,
        no_speech: f32,
        sureness: f32,
        cut: bool,
    ) -> std::result::Result<String, String> {
        let recognised = Recognised {
            text: text.to_owned(),
            no_speech,
            sureness,
            tokens: 3,
            cut,
        };
        judge(recognised, &SpeechConfig::default())
    }

    #[test]
    fn what_the_recogniser_is_not_sure_of_is_no_instruction() {
        assert_eq!(
            judged("Look at the cat.", 0.1, -0.3, false).as_deref(),
            Ok("Look at the cat.")
        );
        assert!(
            judged("Thank you.", 0.7, -0.3, false)
                .unwrap_err()
                .contains("no speech")
        );
        assert!(
            judged("cat cat cat", 0.1, -0.1, true)
                .unwrap_err()
                .contains("end")
        );
        assert!(
            judged("Luggage cot.", 0.1, -1.2, false)
                .unwrap_err()
                .contains("Luggage cot.")
        );
        assert!(
            judged("...", 0.1, -0.3, false)
                .unwrap_err()
                .contains("no word")
        );
    }
}
