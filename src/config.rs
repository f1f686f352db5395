//! One description of the run: a TOML file, then the command line on top of it.
//!
//! Every section's struct lives with the code that it configures; this file puts them together, and turns
//! every mistake into a fault that names the file, the line and the fix. Nothing is read after the start.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::action::config::ActionConfig;
use crate::action::sinks::SinkConfig;
use crate::capture::file::FileConfig;
use crate::capture::spec::SourceSpec;
use crate::capture::synthetic::SyntheticConfig;
use crate::capture::v4l2::V4l2Config;
use crate::error::{Fault, Kind, Result};
use crate::features::encoders::EncoderConfig;
use crate::fusion::history::HistoryConfig;
use crate::language::sources::LanguageConfig;
use crate::rt::plan::ThreadsConfig;
use crate::scene::SceneConfig;
use crate::sensor::config::SensorConfig;
use crate::telemetry::goals::GoalsConfig;

/// The whole configuration. Every key has a default; `reflexarc.example.toml` shows and explains all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub camera: CameraConfig,
    pub encoder: EncoderConfig,
    pub language: LanguageConfig,
    /// `[[sensor]]`, one table a sensor. None: the scene's joint angles where the camera is the scene.
    pub sensor: Vec<SensorConfig>,
    pub history: HistoryConfig,
    pub policy: PolicyConfig,
    pub action: ActionConfig,
    /// None: the scene's joints where the camera is the scene, else `null`.
    pub sink: Option<SinkConfig>,
    pub goals: GoalsConfig,
    pub threads: ThreadsConfig,
    pub real_time: RealTimeConfig,
}

/// `[camera]`: which source, and the details of each kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// `"scene"` (default), `"v4l2:/dev/video0"`, `"file:PATH"`, `"synthetic"`; as `--source`.
    pub source: SourceSpec,
    pub v4l2: V4l2Config,
    pub file: FileConfig,
    pub synthetic: SyntheticConfig,
    pub scene: SceneConfig,
}

/// `[policy]`: what turns an aligned set into actions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// `"still"`.
    pub name: PolicyName,
}

/// The built-in policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Commands the position that the sensors report; for measuring the runtime itself.
    #[default]
    Still,
}

/// `[real_time]`: what is asked of the kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealTimeConfig {
    /// Refuse to run when the kernel does not grant everything. Default false: run, and say what is missing.
    pub strict: bool,
    /// Ask for `SCHED_FIFO`. Default true.
    pub fifo: bool,
    /// Lock all memory. Default true.
    pub lock_memory: bool,
    /// Keep cores out of deep sleep through `/dev/cpu_dma_latency`. Default true.
    pub keep_cores_awake: bool,
}

impl Default for RealTimeConfig {
    fn default() -> Self {
        Self {
            strict: false,
            fifo: true,
            lock_memory: true,
            keep_cores_awake: true,
        }
    }
}

impl Config {
    /// Reads a TOML file.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// Parses TOML; `name` stands in messages for the file.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| explain(&error, text, name))
    }

    /// Puts a board's `[threads]` in the place of the configuration's. See `boards/`.
    pub fn set_board(&mut self, name: &str) -> Result<()> {
        let path = find_board(name)?;
        let text = read(&path)?;
        let board: Board =
            toml::from_str(&text).map_err(|e| explain(&e, &text, &path.display().to_string()))?;
        self.threads = board.threads;
        Ok(())
    }
}

/// What a run takes from a board file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Board {
    #[expect(dead_code, reason = "for people who read the file")]
    name: String,
    threads: ThreadsConfig,
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        Fault::from_io(
            format!("the file {} could not be read", path.display()),
            &error,
            Kind::Config,
            "check the path, or leave the option out to use the defaults",
        )
    })
}

/// Board files are looked for where the project keeps them and where a package installs them.
fn board_folders() -> [PathBuf; 2] {
    ["boards".into(), "/usr/share/reflexarc/boards".into()]
}

fn find_board(name: &str) -> Result<PathBuf> {
    let folders = board_folders();
    let found = folders
        .iter()
        .map(|f| f.join(format!("{name}.toml")))
        .find(|p| p.is_file());
    found.ok_or_else(|| {
        let mut known: Vec<String> = folders
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
            .collect();
        known.sort();
        Fault::new(
            Kind::Config,
            format!("no board is called `{name}`"),
            format!("there is no {name}.toml in boards/ or /usr/share/reflexarc/boards/"),
            format!("use one of: {}; or leave --board out", known.join(", ")),
        )
    })
}

/// A TOML error as what, why, fix, with the line.
fn explain(error: &toml::de::Error, text: &str, name: &str) -> Fault {
    let place = error.span().map_or_else(String::new, |span| {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        format!(" line {line}, column {column}")
    });
    let quoted = error.span().and_then(|span| {
        let start = text[..span.start.min(text.len())]
            .rfind('\n')
            .map_or(0, |at| at + 1);
        text[start..].lines().next().map(str::trim)
    });
    let what = match quoted {
        Some(line) if !line.is_empty() => format!("{name}{place}: `{line}`"),
        _ => format!("{name}{place}"),
    };
    Fault::new(
        Kind::Config,
        what,
        error.message().replace('\n', " "),
        fix_for(error.message()),
    )
}

/// serde lists the known keys of an unknown one; the nearest is most likely what was meant.
fn fix_for(message: &str) -> String {
    const EXAMPLE: &str = "reflexarc.example.toml shows every key with its unit, range and default";
    let Some(rest) = message.strip_prefix("unknown ") else {
        return format!("correct the value; {EXAMPLE}");
    };
    let mut words = rest.split('`').skip(1).step_by(2);
    let Some(wrong) = words.next() else {
        return EXAMPLE.to_owned();
    };
    let nearest = words.min_by_key(|known| distance(wrong, known));
    match nearest {
        Some(known) if distance(wrong, known) <= 1 + wrong.len() / 3 => {
            format!("did you mean `{known}`? {EXAMPLE}")
        }
        _ => format!("remove it; {EXAMPLE}"),
    }
}

/// Levenshtein's edit distance.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
