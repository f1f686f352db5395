//! `reflexarc bench`: from the command line to results and an exit code.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bench::beside;
use crate::bench::clocks::{self, Locked, OnlyOne};
use crate::bench::compare::compare;
use crate::bench::data::{Bench, Cores, Kind, SCHEMA, Subject};
use crate::bench::features;
use crate::bench::findings::findings;
use crate::bench::folder::{self, BenchFolder};
use crate::bench::judge;
use crate::bench::page;
use crate::bench::part::Plan;
use crate::bench::show;
use crate::board::file::Board;
use crate::board::tree::Tree;
use crate::capture::spec::SourceKind;
use crate::cli::{self, BenchWhat};
use crate::config::{Config, PolicyName};
use crate::console;
use crate::doctor::command::{Judge, Subject as Examined, board};
use crate::doctor::examination::Examination;
use crate::doctor::json;
use crate::doctor::view::View;
use crate::error::{self, Fault, Result};
use crate::rt::plan::{self, Machine};
use crate::rt::signal;
use crate::run;
use crate::telemetry::environment::Environment;
use crate::telemetry::report::data::Verdict;
use crate::telemetry::report::utc;

/// What is printed, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub code: u8,
}

/// Carries the command out.
pub fn bench(args: &cli::Bench) -> Result<Answer> {
    if let Some(BenchWhat::Features(args)) = &args.what {
        return features::features(args);
    }
    if args.restore {
        return restore(args);
    }
    let earlier = args.compare.as_deref().map(folder::load).transpose()?;
    let config = configure(args)?;
    let folder = BenchFolder::open(args.out.as_deref())?;
    let mut bench = Bench {
        schema: SCHEMA.to_owned(),
        subject: subject(args, &config),
        ..Bench::default()
    };
    if args.beside {
        besides(&mut bench, config, args, &folder)?;
    } else {
        latencies(&mut bench, &config, args, &folder)?;
    }
    if let (Some(earlier), Some(with)) = (&earlier, &args.compare) {
        bench.comparison = Some(compare(earlier, &bench, with.display().to_string()));
    }
    bench.findings = findings(&bench);
    folder.keep("bench.html", page::page(&bench).as_bytes())?;
    let json = folder.finish(&bench)?;
    if !args.json {
        console::line(format_args!("{}", folder.path.join("bench.html").display()));
    }
    Ok(Answer {
        text: if args.json { json } else { show::text(&bench) },
        code: code(&bench),
    })
}

/// 0; or that something is missed or does not work; or that it is worse than before.
fn code(bench: &Bench) -> u8 {
    let is_worse = bench.comparison.as_ref().is_some_and(|c| c.worse > 0);
    match bench.verdict {
        _ if bench.interrupted => INTERRUPTED,
        Verdict::Missed => error::Kind::GoalsMissed.exit_code(),
        Verdict::Met | Verdict::NotJudged if is_worse => error::Kind::Worse.exit_code(),
        Verdict::Met | Verdict::NotJudged => 0,
    }
}

/// As a shell reports an end by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Beside a running robot.
fn besides(
    bench: &mut Bench,
    config: Config,
    args: &cli::Bench,
    folder: &BenchFolder,
) -> Result<()> {
    bench.kind = Kind::Beside;
    let part = beside::run(config, args.seconds, folder)?;
    bench.verdict = match part.broken.as_slice() {
        [] => Verdict::Met,
        _ => Verdict::Missed,
    };
    bench.reasons.clone_from(&part.broken);
    bench.environment = Environment::examined(board_name(&bench.subject));
    bench.parts.push(part);
    Ok(())
}

/// Idle and under each load.
fn latencies(
    bench: &mut Bench,
    config: &Config,
    args: &cli::Bench,
    folder: &BenchFolder,
) -> Result<()> {
    signal::install().map_err(|e| {
        let why = "report this";
        Fault::from_io("signals cannot be handled", &e, error::Kind::Internal, why)
    })?;
    let tree = tree(args);
    let _only = OnlyOne::hold(&tree)?;
    bench.clocks.left = clocks::take_back(&tree).1;
    let here = Tree::new(Path::new("/"));
    let judge = board(&here, args.board.as_deref().unwrap_or("auto"))?;
    bench.virtual_machine = examine(&here, &judge, args.strict, folder)?;
    bench.environment = Environment::examined(board_name(&bench.subject));
    bench.cores = cores(config);
    let board = judge.file.as_ref().map(|file| &file.board);
    let mut locked = None;
    if args.lock_clocks {
        bench.clocks.asked = true;
        let lock = Locked::lock(&tree, board)?;
        bench.clocks.set.clone_from(&lock.set);
        locked = Some(lock);
    }
    run_parts(bench, config, args, folder, &tree, board);
    if let Some(lock) = &mut locked {
        bench.clocks.left = lock.restore();
    }
    bench.interrupted = signal::came();
    judge::judge(bench);
    Ok(())
}

fn run_parts(
    bench: &mut Bench,
    config: &Config,
    args: &cli::Bench,
    folder: &BenchFolder,
    tree: &Tree,
    board: Option<&Board>,
) {
    let limit = |fact: Option<&crate::board::fact::Fact<crate::units::Nanos>>| {
        fact.map(|fact| fact.value.clamp_u64())
    };
    let (words, replaced) = words(config, args);
    bench.subject.replaced = replaced;
    let plan = Plan {
        tree,
        folder,
        cores: &bench.cores.clone(),
        seconds: args.seconds,
        with_baseline: !args.no_baseline,
        limits_ns: [
            limit(board.and_then(|board| board.latency.idle.as_ref())),
            limit(board.and_then(|board| board.latency.loaded.as_ref())),
        ],
        hottest: args.hottest,
        run: words,
    };
    for &load in &args.loads.0 {
        if signal::came() {
            break;
        }
        console::line(format_args!(
            "{}: {} s a measurement",
            load.name(),
            args.seconds
        ));
        let (part, said) = plan.run_part(load);
        said.iter()
            .for_each(|line| console::line(format_args!("  {line}")));
        bench.parts.push(part);
    }
}

/// The words of the run that is measured, and what they put in the place of the configuration's.
fn words(config: &Config, args: &cli::Bench) -> (Vec<String>, Vec<String>) {
    let mut words = vec!["run".to_owned(), "--quiet".to_owned()];
    let mut replaced = Vec::new();
    let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    say(
        "board",
        args.board.clone().unwrap_or_else(|| "auto".to_owned()),
    );
    if let Some(file) = &args.config {
        say("config", file.display().to_string());
    }
    if let Some(source) = &args.source {
        replaced.push(format!("source: {source}"));
        say("source", source.clone());
    }
    let robot = config.sink.as_ref().filter(|sink| sink.reaches_a_robot());
    match (&args.sink, robot) {
        (Some(sink), _) => {
            replaced.push(format!("sink: {sink}"));
            say("sink", sink.clone());
        }
        (None, Some(_)) => {
            replaced.push("sink: null, so that the robot does not move".to_owned());
            say("sink", "null".to_owned());
        }
        (None, None) => {}
    }
    let language = &config.language;
    let is_told = language.instruction.is_some() || language.script.is_some();
    let is_scene = config.camera.first.source.kind == SourceKind::Scene;
    if config.policy.name == PolicyName::Gaze && !is_told && !is_scene {
        say("instruct", beside::INSTRUCTION.to_owned());
    }
    (words, replaced)
}

/// Lets the doctor look, and keeps what it says. Gives the signs of a virtual machine.
fn examine(
    tree: &Tree,
    judge: &Judge,
    is_strict: bool,
    folder: &BenchFolder,
) -> Result<Option<String>> {
    let view = View::new(tree, judge.file.as_ref().map(|file| &file.board));
    let examination = Examination::all(&view);
    let subject = Examined {
        said: judge.said.clone(),
        root: None,
    };
    let text = json::document(&examination, &view, &subject);
    folder.keep("doctor.json", text.as_bytes())?;
    let failed: Vec<String> = examination
        .findings
        .iter()
        .filter(|finding| finding.outcome.status == crate::doctor::check::Status::Fail)
        .map(|f| format!("{} {}: {}", f.check.id, f.check.title, f.outcome.effective))
        .collect();
    if is_strict && !failed.is_empty() {
        return Err(Fault::new(
            error::Kind::CheckFailed,
            format!(
                "this machine is not fit for a bench: {} checks fail",
                failed.len()
            ),
            failed.join("; "),
            "`reflexarc doctor` says how to mend each; without --strict the bench runs, and says what fails",
        ));
    }
    let machine = examination.find("Y09").map(|found| &found.outcome);
    Ok(machine
        .filter(|outcome| outcome.status == crate::doctor::check::Status::Warn)
        .map(|outcome| outcome.effective.clone()))
}

/// The configuration that is measured, with the board's thread plan.
fn configure(args: &cli::Bench) -> Result<Config> {
    let mut config = run::configure(&cli::Run {
        config: args.config.clone(),
        board: Some(args.board.clone().unwrap_or_else(|| "auto".to_owned())),
        ..cli::Run::default()
    })?;
    // Both were looked at on the command line.
    if let Some(Ok(source)) = args.source.as_deref().map(str::parse) {
        config.camera.first.source = source;
    }
    Ok(config)
}

fn cores(config: &Config) -> Cores {
    let (way, housekeeping) = plan::cores(&config.threads, &Machine::detect());
    let is_shared = |core: &&usize| housekeeping.contains(core);
    Cores {
        shared: way.iter().filter(is_shared).copied().collect(),
        way,
        housekeeping,
    }
}

fn tree(args: &cli::Bench) -> Tree {
    Tree::new(args.root.as_deref().unwrap_or(Path::new("/")))
}

fn board_name(subject: &Subject) -> Option<&str> {
    Some(subject.board.as_str()).filter(|name| !name.is_empty())
}

fn subject(args: &cli::Bench, config: &Config) -> Subject {
    let now = SystemTime::now();
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let board = config.board.as_ref();
    let hash = |path: &Path| folder::sha256(path).unwrap_or_default();
    Subject {
        started: utc::rfc3339(now),
        started_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        command: std::env::args().collect(),
        seconds: args.seconds,
        board: board.and_then(|b| b.name.clone()).unwrap_or_default(),
        board_said: board.map_or("", |b| b.said.trim()).to_owned(),
        config: args.config.as_ref().map(|path| path.display().to_string()),
        config_sha256: args.config.as_deref().map(hash),
        replaced: Vec::new(),
        binary_sha256: hash(&PathBuf::from("/proc/self/exe")),
    }
}

/// `--restore`.
fn restore(args: &cli::Bench) -> Result<Answer> {
    let tree = tree(args);
    // A bench that is running sets its clocks back by itself.
    let _only = OnlyOne::hold(&tree)?;
    let (back, left) = clocks::take_back(&tree);
    let mut text: String = back
        .iter()
        .map(|one| format!("set back: {one}\n"))
        .collect();
    text.extend(left.iter().map(|one| format!("LEFT: {one}\n")));
    if back.is_empty() && left.is_empty() {
        text += "nothing to set back: no bench has left clocks locked here\n";
    }
    Ok(Answer {
        text,
        code: if left.is_empty() {
            0
        } else {
            error::Kind::CheckFailed.exit_code()
        },
    })
}
