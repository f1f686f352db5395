//! The language side of a run: opened, and what main hears of it.
//!
//! Thread: main, before the run. Allocates: yes.

use crate::capture::spec::SourceKind;
use crate::cli;
use crate::config::Config;
use crate::error::{Fault, Kind, Result};
use crate::language::sources::LanguageConfig;
use crate::language::{Heard, Language};
use crate::link::{self, EveryReader, EveryWriter};
use crate::pipeline::LanguageRun;
use crate::rt::wait::Bell;
use crate::run::parts::understands_words;
use crate::sensor::config::SensorConfig;
use crate::speech::Chunk;
use crate::speech::listener::{self, Listener};
use crate::state::content::InForce;

/// The instruction of a scene run when nothing else is said.
const SCENE_INSTRUCTION: &str = "look at the cat";

/// Instructions that main has not yet taken note of.
const HEARD: usize = 64;

/// True if the configuration names no source of instructions of its own.
pub(super) fn listens_by_default(config: &Config) -> bool {
    config.language == LanguageConfig::default()
}

/// The way of sound from the first microphone to the language side, if instructions are spoken and understood.
///
/// # Errors
/// [`Kind::Config`] if there is no microphone.
pub(super) fn spoken(config: &Config) -> Result<Option<(EveryWriter<Chunk>, EveryReader<Chunk>)>> {
    if config.language.microphone.is_none() || !understands_words(config) {
        return Ok(None);
    }
    match config.sensor.iter().any(SensorConfig::is_sound) {
        true => Ok(Some(listener::chunks())),
        false => Err(Fault::new(
            Kind::Config,
            "[language.microphone] has no microphone",
            "it listens to the first [[sensor]] that is a microphone or a sound file, and there is none",
            "add a [[sensor]] with source = \"microphone:hw:CARD,DEVICE\"; `reflexarc microphones` lists them",
        )),
    }
}

pub(super) fn open(
    config: &Config,
    args: &cli::Run,
    kind: SourceKind,
    resumed: Option<InForce>,
    spoken: Option<EveryReader<Chunk>>,
) -> Result<(LanguageRun, Option<EveryReader<Heard>>)> {
    if !understands_words(config) {
        return Ok((Box::new(|_, _| {}), None));
    }
    let silent = listens_by_default(config);
    let initial = args
        .instruct
        .clone()
        .or_else(|| (kind == SourceKind::Scene && silent).then(|| SCENE_INSTRUCTION.to_owned()));
    let (heard_in, heard) = link::every(HEARD, &Bell::silent());
    let mut language = Language::open(&config.language, initial)?.with_heard(heard_in);
    if let (Some(config), Some(spoken)) = (&config.language.microphone, spoken) {
        language = language.with_listener(Listener::open(config, spoken)?);
    }
    if let Some(InForce { id, text }) = resumed {
        language = language.with_resumed(id, text);
    }
    Ok((
        Box::new(move |out, stop| {
            language.run(out, stop);
        }),
        Some(heard),
    ))
}
