//! One description of the run: a TOML file, then the command line on top of it.
//!
//! Every section's struct lives with the code that it configures; this file puts them together, and turns
//! every mistake into a fault that names the file, the line and the fix. Nothing is read after the start.

use std::path::Path;

use serde::Deserialize;

/// One camera or several.
mod cameras;

/// The text that a configuration or a board was read from.
pub(crate) mod written;

pub use cameras::Cameras;

use crate::action::config::ActionConfig;
use crate::action::sinks::SinkConfig;
use crate::board::choose::{self, Chosen};
use crate::capture::file::FileConfig;
use crate::capture::spec::SourceSpec;
use crate::capture::synthetic::SyntheticConfig;
use crate::capture::v4l2::V4l2Config;
use crate::error::{Fault, Kind, Result};
use crate::features::encoders::{EncoderConfig, EncoderName};
use crate::features::preprocess::Crop;
use crate::fusion::align::AlignConfig;
use crate::fusion::views::ViewConfig;
use crate::language::sources::LanguageConfig;
use crate::link::policy::{LinksConfig, WhenFull};
use crate::policy::gaze::GazeConfig;
use crate::record::config::RecordConfig;
use crate::rt::plan::{Layout, Machine, ThreadsConfig};
use crate::scene::SceneConfig;
use crate::sensor::config::SensorConfig;
use crate::state::config::StateConfig;
use crate::stream::configured::config::StreamConfig;
use crate::telemetry::goals::GoalsConfig;

use written::Written;

/// The whole configuration. Every key has a default; `reflexarc.example.toml` shows and explains all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub camera: Cameras,
    pub encoder: EncoderConfig,
    pub language: LanguageConfig,
    /// `[[sensor]]`, one table a sensor. None: the scene's joint angles where the camera is the scene.
    pub sensor: Vec<SensorConfig>,
    /// How sensor state is brought to a frame's instant; a sensor may say otherwise for itself.
    pub align: AlignConfig,
    pub policy: PolicyConfig,
    /// What the links between threads do with more than their readers can take.
    pub links: LinksConfig,
    /// `[[stream]]`, one table a stream over what the run tells of itself.
    pub stream: Vec<StreamConfig>,
    pub action: ActionConfig,
    /// None: the scene's joints where the camera is the scene, else `null`.
    pub sink: Option<SinkConfig>,
    pub record: RecordConfig,
    pub goals: GoalsConfig,
    pub threads: ThreadsConfig,
    pub real_time: RealTimeConfig,
    /// What is left behind for the next run.
    pub state: StateConfig,
    /// The board whose plan `threads` is, if one was asked for.
    #[serde(skip)]
    pub board: Option<Chosen>,
    #[serde(skip)]
    written: Written,
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
    /// Which of its pictures go with a frame of the first camera. Only for the cameras after the first.
    pub view: Option<ViewConfig>,
}

impl Config {
    /// All cameras, the first before the others.
    pub fn cameras(&self) -> impl Iterator<Item = &CameraConfig> {
        std::iter::once(&self.camera.first).chain(&self.camera.others)
    }
}

/// `[policy]`: what turns an aligned set into actions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// `"gaze"` (default) or `"still"`.
    pub name: PolicyName,
    pub gaze: GazeConfig,
}

/// The built-in policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Points the camera at what the instruction names.
    #[default]
    Gaze,
    /// Commands the position that the sensors report; for measuring the runtime itself.
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
        Self::read(Written::read(path)?)
    }

    /// Parses TOML; `name` stands in messages for the file.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        Self::read(Written::new(text, name))
    }

    fn read(written: Written) -> Result<Self> {
        let config: Self = written.parse()?;
        Ok(Self { written, ..config })
    }

    /// Puts a board's thread plan in the place of the configuration's. `name` is a board's, a path, or `auto`, which
    /// leaves a configuration with a `[threads]` of its own as it is: whoever wrote it knew the machine better.
    pub fn set_board(&mut self, name: &str) -> Result<()> {
        let mut chosen = choose::choose(name, &Machine::detect())?;
        if name == choose::AUTO && self.written.has("threads") {
            chosen.leave_to_configuration();
        }
        if let Some(threads) = &chosen.threads {
            self.threads = threads.clone();
        }
        self.board = Some(chosen);
        Ok(())
    }

    /// Refuses what no single key can see: keys that cannot be together, and cores that this machine lacks.
    pub fn check(&self) -> Result<()> {
        let checked = self
            .action
            .check_together()
            .and_then(|()| self.threads.check(&Machine::detect()))
            .and_then(|()| self.check_policy())
            .and_then(|()| self.camera.check())
            .and_then(|()| self.check_workers())
            .and_then(|()| self.encoder.check_partners());
        checked.map_err(|fault| self.locate(fault))
    }

    /// Refuses what several workers cannot do.
    fn check_workers(&self) -> Result<()> {
        if self.encoder.workers.get() == 1 {
            return Ok(());
        }
        let refused = |what: &str, why: &str, fix: &str| {
            let what = format!(
                "{what} with encoder.workers = {}",
                self.encoder.workers.get()
            );
            Err(Fault::new(Kind::Config, what, why, fix))
        };
        if self.links.frames.when_full == Some(WhenFull::DropOldest) {
            return refused(
                "links.frames.when_full = \"drop-oldest\"",
                "several workers are dealt frames in turn, by which their results are brought back into order; a frame \
                 dropped behind another's back would leave a turn without a frame",
                "write \"newest-only\", \"drop-newest\" or \"block\"",
            );
        }
        let features = &self.links.features;
        let drops = matches!(
            features.when_full,
            Some(WhenFull::DropOldest | WhenFull::DropNewest)
        );
        if drops || features.one_of.is_some_and(|count| count > 1) {
            return refused(
                "a links.features that leaves results out",
                "fusion takes one result at each worker's turn, so every one must come",
                "write \"newest-only\" or \"block\" without one_of, or thin out links.frames",
            );
        }
        if let Layout::Together | Layout::CaptureApart = self.threads.layout {
            return refused(
                "a threads.layout other than \"apart\"",
                "each worker is a thread, and fusion takes the results of all on one of its own",
                "write threads.layout = \"apart\", or leave it out",
            );
        }
        if self.record.path.is_some() {
            return refused(
                "record.path",
                "a recording holds the frames of one features stage",
                "record with one worker; a replay may have several (`reflexarc replay --workers`)",
            );
        }
        Ok(())
    }

    /// Refuses an encoder that makes nothing which the policy could read.
    fn check_policy(&self) -> Result<()> {
        if self.policy.name != PolicyName::Gaze {
            return Ok(());
        }
        if self.encoder.name == EncoderName::Null {
            return Err(Fault::new(
                Kind::Config,
                "encoder.name = \"null\" with policy.name = \"gaze\"",
                "gaze looks for classes in a feature map, and the null encoder makes none",
                "set policy.name = \"still\", or use the encoder \"efficientnet-lite0\"",
            ));
        }
        if self.encoder.crop != Crop::Full {
            return Err(Fault::new(
                Kind::Config,
                "an encoder.crop other than \"full\" with policy.name = \"gaze\"",
                "gaze turns a place in the feature map into a direction, and takes the map for the whole picture",
                "leave encoder.crop out, or set policy.name = \"still\"",
            ));
        }
        Ok(())
    }

    /// The TOML text that it was read from; empty where there is none.
    pub fn text(&self) -> &str {
        self.written.text()
    }

    /// Adds file and line to a fault that names a key of this configuration.
    pub fn locate(&self, fault: Fault) -> Fault {
        self.written.locate(fault)
    }
}
