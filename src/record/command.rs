//! `reflexarc record | replay | diff`: from the command line to a recording and back to an exit code.
//!
//! Thread: main. Allocates: yes. Blocks: on the disk, for the pace, and for a key.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::diff;
use super::encode::Encoders;
use super::mcap::read::Ending;
use super::output::Output;
use super::recorded::{Did, Recorded};
use super::recover;
use super::replay::{Mind, Outcomes, Replay, Watcher};
use super::tap::{Beat, FusionStep};
use crate::action::Chunk;
use crate::action::player::Player;
use crate::capture::spec::SourceSpec;
use crate::clock;
use crate::config::{Config, PolicyName};
use crate::console;
use crate::error::{Fault, Kind, Result};
use crate::fusion::align::SensorLane;
use crate::fusion::decider::Decider;
use crate::run::parts;
use crate::units::{MonoTime, Nanos};

/// `reflexarc replay`, as typed.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// What `reflexarc record` has written
    pub file: PathBuf,

    /// `fast`: as fast as it goes; `recorded`: as it was; `step`: show each step, and wait for Enter
    #[arg(long, value_name = "SPEED", default_value = "fast")]
    pub speed: Speed,

    /// Threads that turn pictures into features
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: u8,

    /// What is computed again: from the `frames` on, or from the recorded `chunks` on (only the actions; needs no models)
    /// [default: frames, if they were recorded]
    #[arg(long, value_name = "WHAT")]
    pub from: Option<From>,

    /// Another configuration in place of the recorded one: its encoder, policy and action limits
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Another policy in place of the recorded one
    #[arg(long, value_name = "NAME", value_parser = policy_name)]
    pub policy: Option<PolicyName>,

    /// Values that differ by at most this are near enough: for a recording of another kind of processor, whose encoder rounds
    /// differently
    #[arg(long, value_name = "VALUE", default_value_t = 0.0)]
    pub tolerance: f32,

    /// Write steps, chunks and actions of the replay into this MCAP file, for `reflexarc diff`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    Recorded,
    Fast,
    Step,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "recorded" => Ok(Self::Recorded),
            "fast" => Ok(Self::Fast),
            "step" => Ok(Self::Step),
            _ => Err(format!("`{text}`: write recorded, fast or step")),
        }
    }
}

/// What a replay computes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Frames,
    Chunks,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "frames" => Ok(Self::Frames),
            "chunks" => Ok(Self::Chunks),
            _ => Err(format!("`{text}`: write frames or chunks")),
        }
    }
}

fn policy_name(text: &str) -> Result<PolicyName, String> {
    match text {
        "gaze" => Ok(PolicyName::Gaze),
        "still" => Ok(PolicyName::Still),
        _ => Err(format!("`{text}` is not a policy: write gaze or still")),
    }
}

/// What a command has to say, and whether the actions were the same.
#[derive(Clone, Debug)]
pub struct Answer {
    pub text: String,
    pub is_same: bool,
}

impl Answer {
    pub fn code(&self) -> u8 {
        match self.is_same {
            true => 0,
            false => Kind::Differs.exit_code(),
        }
    }
}

/// `reflexarc diff`.
pub fn diff(a: &Path, b: &Path) -> Result<Answer> {
    let (a, b) = (Recorded::open(a)?, Recorded::open(b)?);
    let mut text = String::new();
    for recorded in [&a, &b] {
        let _ = writeln!(text, "{}", describe(recorded));
    }
    let difference = diff::diff(&a, &b);
    let _ = write!(text, "{difference}");
    Ok(Answer {
        text,
        is_same: difference.is_same(),
    })
}

/// `reflexarc recover`.
pub fn recover(from: &Path, to: &Path) -> Result<String> {
    let recovered = recover::recover(from, to)?;
    let mut text = format!("{}: {} messages", to.display(), recovered.messages);
    if let Ending::Interrupted { at, why } = &recovered.ending {
        let _ = write!(text, "\n  after byte {at} of {} {why}", from.display());
    }
    Ok(text)
}

/// `reflexarc replay`.
pub fn replay(args: &ReplayArgs) -> Result<Answer> {
    let mut recorded = Recorded::open(&args.file)?;
    let mut text = describe(&recorded);
    let outcomes = outcomes(args, &mut recorded)?;
    for compared in outcomes.all() {
        let _ = write!(text, "\n{compared}");
    }
    if outcomes.left_out > 0 {
        let _ = write!(
            text,
            "\n{} steps were not computed, since their pictures are not recorded; behind each it went on from what the policy \
             remembered then",
            outcomes.left_out
        );
    }
    for (what, why) in [
        ("steps and chunks", &outcomes.fusion_ended),
        ("actions", &outcomes.actions_ended),
    ] {
        if let Some(why) = why {
            let _ = write!(text, "\n{what} end before the recording: {why}");
        }
    }
    Ok(Answer {
        text,
        is_same: outcomes.is_same(),
    })
}

/// Replays, and tells how it came out.
pub fn outcomes(args: &ReplayArgs, recorded: &mut Recorded) -> Result<Outcomes> {
    let config = configuration(args, recorded)?;
    let start = recorded.about.start.clone();
    let dof = u8::try_from(start.len()).unwrap_or(u8::MAX);
    let mind = mind(args, &config, recorded)?;
    let player = Player::new(&config.action, dof, &start).map_err(|f| config.locate(f))?;
    let mut watching = Watching {
        speed: args.speed,
        began: None,
        out: args
            .out
            .as_deref()
            .map(|path| Output::open(path, recorded))
            .transpose()?,
    };
    let outcomes = Replay::new(recorded, mind, player, args.tolerance).run(&mut watching)?;
    if let Some(out) = watching.out {
        out.finish()?;
    }
    Ok(outcomes)
}

/// The recorded configuration, with what the command line puts in its place.
fn configuration(args: &ReplayArgs, recorded: &Recorded) -> Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::parse(&recorded.about.configuration, "the recorded configuration")?,
    };
    let source: Result<SourceSpec, _> = recorded.about.source.parse();
    config.camera.first.source = source.map_err(|why| {
        Fault::new(
            Kind::BadInput,
            format!("the recording {} is damaged", recorded.path.display()),
            why,
            "take another one",
        )
    })?;
    if let Some(policy) = args.policy {
        config.policy.name = policy;
    }
    Ok(config)
}

fn mind(args: &ReplayArgs, config: &Config, recorded: &Recorded) -> Result<Mind> {
    let steps: Vec<u64> = recorded.steps().map(|step| step.seq).collect();
    let all = steps.iter().any(|seq| recorded.has_picture(*seq));
    let from = args.from.unwrap_or(match all {
        true => From::Frames,
        false => From::Chunks,
    });
    let format = recorded.frames.values().next().map(|f| f.meta.format);
    let (From::Frames, Some(format)) = (from, format) else {
        return Ok(Mind::Recorded);
    };
    let (encoders, policy) = parts::open_mind(config, format, usize::from(args.workers))?;
    let told = recorded.fusion.iter().map(|did| match did {
        Did::Read { sensor, .. } => usize::from(*sensor) + 1,
        _ => 0,
    });
    let sensors = told.max().unwrap_or(0).max(recorded.about.sensors.len());
    let lanes = (0..sensors).map(|sensor| SensorLane::new(parts::align_of(config, sensor)));
    let decider = Decider::new(policy, lanes.collect());
    Ok(Mind::Whole {
        decider: Box::new(decider),
        encoders: Encoders::new(encoders, steps.into_iter()),
        is_same: args.policy.is_none() && args.config.is_none(),
    })
}

/// What a recording holds, in lines.
fn describe(recorded: &Recorded) -> String {
    let begin = recorded.beats.first().map(|b| b.begin);
    let end = recorded.beats.last().map(|b| b.written);
    let lasted = begin.zip(end).map_or(Nanos::ZERO, |(b, e)| e - b);
    let mut text = format!(
        "{}: {lasted}, {} frames with {} pictures, {} chunks, {} actions; {} on {}",
        recorded.path.display(),
        recorded.frames.len(),
        recorded.picture_count(),
        recorded.chunks.len(),
        recorded.beats.len(),
        recorded.about.policy,
        recorded.architecture,
    );
    if let Ending::Interrupted { at, why } = &recorded.ending {
        let _ = write!(
            text,
            "\n  it was interrupted: after byte {at} {why}; all before was read"
        );
    }
    text
}

/// Keeps the pace, shows what happens, and writes it down.
struct Watching {
    speed: Speed,
    /// When the replay and the recording began.
    began: Option<(MonoTime, MonoTime)>,
    out: Option<Output>,
}

impl Watcher for Watching {
    fn step(&mut self, now: &FusionStep, then: &FusionStep, chunk: Option<&Chunk>) {
        if let Some(out) = &mut self.out {
            out.step(now, chunk);
        }
        if self.speed == Speed::Step {
            let steps = chunk.map_or(0, |chunk| chunk.steps().len());
            let same = if now == then {
                ""
            } else {
                " (not as recorded)"
            };
            show(format_args!(
                "frame {:>6}  {:?}, state {:?}, {steps} steps{same}",
                now.seq, now.outcome, now.state
            ));
            // Where nobody can answer it goes on.
            let _ = io::stdin().read_line(&mut String::new());
        }
    }

    fn before_beat(&mut self, at: MonoTime) {
        if self.speed == Speed::Recorded {
            let (now, then) = *self.began.get_or_insert((clock::now(), at));
            let due = now + (at - then);
            // BOUND: until it is due. A signal may end the sleep early.
            while clock::now() < due {
                clock::sleep_until(due);
            }
        }
    }

    fn beat(&mut self, now: &Beat, chunk: Option<&Chunk>) {
        if let Some(out) = &mut self.out {
            out.beat(now);
        }
        if self.speed == Speed::Step {
            let took = chunk.map_or(String::new(), |c| format!(", took frame {}", c.trace.seq));
            let (action, rung) = (&now.action, now.action.rung.name());
            show(format_args!(
                "  tick {:>6}  {rung}, {:?}{took}",
                action.tick,
                action.targets()
            ));
        }
    }
}

/// A line of the answer, at once.
fn show(line: std::fmt::Arguments<'_>) {
    // A reader that has gone ends nothing; the exit code still tells how the replay came out.
    let _ = console::answer(&line.to_string());
}
