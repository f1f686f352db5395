//! The language side of a run: opened, and what main hears of it.
//!
//! Thread: main, before the run. Allocates: yes.

use crate::capture::spec::SourceKind;
use crate::cli;
use crate::config::Config;
use crate::error::Result;
use crate::language::sources::LanguageConfig;
use crate::language::{Heard, Language};
use crate::link::{self, EveryReader};
use crate::pipeline::LanguageRun;
use crate::rt::wait::Bell;
use crate::run::parts::understands_words;
use crate::state::content::InForce;

/// The instruction of a scene run when nothing else is said.
const SCENE_INSTRUCTION: &str = "look at the cat";

/// Instructions that main has not yet taken note of.
const HEARD: usize = 64;

/// True if the configuration names no source of instructions of its own.
pub(super) fn listens_by_default(config: &Config) -> bool {
    config.language == LanguageConfig::default()
}

pub(super) fn open(
    config: &Config,
    args: &cli::Run,
    kind: SourceKind,
    resumed: Option<InForce>,
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
