//! Where an utterance begins and ends.
//!
//! It begins 160 ms before the first chunk that is probably speech, so that a soft first sound is in it, and is over when
//! nobody has spoken for a while. A sound that is shorter than a syllable is none.
//!
//! Thread: language. Allocates: in `new`. Blocks: no.

use super::config::SpeechConfig;
use super::{CHUNK, Chunk, RATE};
use crate::units::{MonoTime, Nanos};

/// Chunks before the first that is speech: 160 ms.
const LEAD: usize = 5;
/// Chunks of speech at least: a quarter of a second.
const SPEECH_MIN: usize = 8;
/// An utterance goes on while the probability stays above the threshold less this: its author's hysteresis.
const HYSTERESIS: f32 = 0.15;

/// What was said.
#[derive(Clone, Copy, Debug)]
pub struct Utterance<'a> {
    /// At 16 kHz; with the pause that ended it.
    pub samples: &'a [f32],
    /// When speech ended: the last sample of the last chunk that was speech.
    pub end: MonoTime,
}

/// Cuts chunks into utterances.
#[derive(Debug)]
pub struct Utterances {
    threshold: f32,
    pause: usize,
    longest: usize,
    samples: Vec<f32>,
    /// Chunks of speech since the utterance began; none: nobody speaks.
    spoken: usize,
    /// Chunks since the last that was speech.
    silent: usize,
    end: MonoTime,
    /// The utterance that was given is over.
    is_over: bool,
    /// Sounds that were too short, and utterances in which sound was missing.
    dropped: u32,
}

impl Utterances {
    pub fn new(config: &SpeechConfig) -> Self {
        let chunks = |time: Nanos| {
            usize::try_from(time.0 * i64::from(RATE) / 1_000_000_000)
                .unwrap_or(0)
                .div_ceil(CHUNK)
        };
        let longest = chunks(config.longest) + LEAD;
        Self {
            threshold: config.speech,
            pause: chunks(config.pause),
            longest,
            samples: Vec::with_capacity((longest + 1) * CHUNK),
            spoken: 0,
            silent: 0,
            end: MonoTime::ZERO,
            is_over: false,
            dropped: 0,
        }
    }

    /// Takes the next chunk; gives the utterance that ends with it.
    pub fn push(&mut self, chunk: &Chunk) -> Option<Utterance<'_>> {
        if std::mem::take(&mut self.is_over) {
            self.begin_anew();
        }
        if !chunk.follows && !self.samples.is_empty() {
            self.dropped += u32::from(self.spoken > 0);
            self.begin_anew();
        }
        let going_on = if self.spoken > 0 { HYSTERESIS } else { 0.0 };
        let is_speech = chunk.probability >= self.threshold - going_on;
        self.samples.extend_from_slice(&chunk.samples);
        if is_speech {
            self.spoken += 1;
            self.silent = 0;
            self.end = chunk.first + Nanos::from_secs_f64(CHUNK as f64 / f64::from(RATE));
        } else if self.spoken > 0 {
            self.silent += 1;
        } else if self.samples.len() > LEAD * CHUNK {
            self.samples.drain(..CHUNK);
        }
        let is_full = self.samples.len() >= self.longest * CHUNK;
        if self.spoken == 0 || (self.silent < self.pause && !is_full) {
            return None;
        }
        self.is_over = true;
        if self.spoken < SPEECH_MIN {
            self.dropped += 1;
            return None;
        }
        Some(Utterance {
            samples: &self.samples,
            end: self.end,
        })
    }

    /// How many sounds were no utterance.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn begin_anew(&mut self) {
        self.samples.clear();
        (self.spoken, self.silent) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples and the end of each utterance in a row of chunks: `#` is speech, `+` nearly, `.` none, `|` none with sound
    /// missing before it.
    fn utterances(marks: &str) -> (Vec<(usize, i64)>, u32) {
        let mut cutter = Utterances::new(&SpeechConfig::default());
        let mut found = Vec::new();
        for (n, mark) in (0_u16..).zip(marks.chars()) {
            let chunk = Chunk {
                first: MonoTime(i64::from(n) * 32_000_000),
                follows: n > 0 && mark != '|',
                probability: match mark {
                    '#' => 0.9,
                    '+' => 0.4,
                    _ => 0.1,
                },
                samples: [f32::from(n); CHUNK],
            };
            if let Some(utterance) = cutter.push(&chunk) {
                found.push((
                    utterance.samples.len() / CHUNK,
                    utterance.end.0 / 32_000_000,
                ));
            }
        }
        (found, cutter.dropped())
    }

    #[test]
    fn an_utterance_begins_before_it_is_heard_and_ends_after_a_pause() {
        let pause = ".".repeat(16);
        // 5 before, 10 of speech, 16 of pause; it ended with chunk 19.
        assert_eq!(
            utterances(&format!(".........{}{pause}....", "#".repeat(10))),
            (vec![(31, 19)], 0)
        );
        // A shorter pause is part of it, and a doubtful chunk prolongs it but does not begin it.
        assert_eq!(
            utterances(&format!("++####...####++{pause}")),
            (vec![(31, 15)], 0)
        );
        // Two, one after the other; the second has what came before it too.
        let two = format!("{}{pause}......{}{pause}", "#".repeat(9), "#".repeat(8));
        assert_eq!(utterances(&two), (vec![(25, 9), (29, 39)], 0));
    }

    #[test]
    fn a_click_is_no_utterance_and_neither_is_one_with_a_hole() {
        let pause = ".".repeat(16);
        assert_eq!(utterances(&format!("....###{pause}")), (vec![], 1));
        assert_eq!(
            utterances(&format!("{}|{pause}{pause}", "#".repeat(12))),
            (vec![], 1)
        );
    }

    #[test]
    fn who_never_pauses_is_cut() {
        let (found, dropped) = utterances(&"#".repeat(700));
        assert_eq!(found.len(), 2);
        // 10 s, and what stands before an utterance.
        assert_eq!(found[0].0, 313 + 5);
        assert_eq!(dropped, 0);
    }
}
