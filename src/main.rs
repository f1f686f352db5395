//! The `reflexarc` command: from the command line to the library and back to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use reflexarc::capture::v4l2;
use reflexarc::cli::{self, BoardCommand, Cli, Command, ModelsCommand};
use reflexarc::error::{Kind, Result};
use reflexarc::models::{Group, Listing, Progress, Store, Which};
use reflexarc::telemetry::report::data::Verdict;
use reflexarc::{
    bench, board, console, doctor, estimate, language, microphone, models, record, run, telemetry,
};

/// Counts every thread's allocations; see `rt::memory`.
#[global_allocator]
static ALLOCATOR: reflexarc::rt::memory::Ledgers = reflexarc::rt::memory::Ledgers;

fn main() -> ExitCode {
    // Before any thread: candle reads its thread counts from the environment.
    language::limit_candle();
    let done = match Cli::try_parse() {
        Ok(cli) => perform(cli.command.unwrap_or_else(Command::default_run)),
        // What `--help` and `--version` ask for comes as an error too.
        Err(answer) if !answer.use_stderr() => {
            let _ = answer.print();
            Ok(0)
        }
        Err(error) => {
            let words: Vec<_> = std::env::args_os().skip(1).collect();
            Err(cli::explain(&error, &words))
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            console::line(&fault);
            ExitCode::from(fault.kind.exit_code())
        }
    }
}

/// Carries the command out; gives the exit code of a success.
fn perform(command: Command) -> Result<u8> {
    match command {
        Command::Run(args) => Ok(match run::run(&args)? {
            Verdict::Met | Verdict::NotJudged => 0,
            Verdict::Missed => Kind::GoalsMissed.exit_code(),
        }),
        Command::Record { file, mut run } => {
            run.record = Some(file);
            perform(Command::Run(run))
        }
        Command::Replay(args) => {
            let answer = record::command::replay(&args)?;
            say(&answer.text)?;
            Ok(answer.code())
        }
        Command::Recover { file, to } => say(&record::command::recover(&file, &to)?),
        Command::Diff { first, second } => {
            let answer = record::command::diff(&first, &second)?;
            say(&answer.text)?;
            Ok(answer.code())
        }
        Command::Check(args) => say(&run::check(&args)?),
        Command::Cameras => say(&v4l2::list::render(&v4l2::list::list())),
        Command::Microphones => say(&microphone::alsa::list::listing()),
        Command::Report { path } => say(&telemetry::report::text::render(&path)?),
        Command::Board { command } => of_boards(&command),
        Command::Doctor(args) => {
            let answer = doctor::command::doctor(&args)?;
            say(&answer.text)?;
            Ok(answer.code)
        }
        Command::Bench(args) => {
            let answer = bench::command::bench(&args)?;
            say(&answer.text)?;
            Ok(answer.code)
        }
        Command::Estimate(args) => say(&estimate::command::estimate(&args)?),
        Command::Models {
            command: ModelsCommand::List,
        } => {
            let store = Store::default();
            say(&format!(
                "cache: {}\n{}",
                store.dir().display(),
                Listing(&store.list())
            ))
        }
        Command::Models {
            command: ModelsCommand::Fetch { groups, again },
        } => {
            let groups = if groups.is_empty() {
                vec![Group::Run]
            } else {
                groups
            };
            let which = if again { Which::All } else { Which::Missing };
            let placed = Store::default().fetch(&groups, which, &mut Progress::stderr())?;
            let dir = models::cache_dir();
            say(&format!(
                "{placed} files placed; all is in {}",
                dir.display()
            ))
        }
    }
}

fn of_boards(command: &BoardCommand) -> Result<u8> {
    let answer = match command {
        BoardCommand::List { markdown } => board::command::list(*markdown)?,
        BoardCommand::Show { name } => board::command::show(name)?,
        BoardCommand::Detect { root } => board::command::detect(root)?,
        BoardCommand::Check { file } => board::command::check(file.as_deref())?,
    };
    say(&answer.text)?;
    answer.fault.map_or(Ok(0), Err)
}

/// The answer of a command that did what it was asked for.
fn say(text: &str) -> Result<u8> {
    console::answer(text).map(|()| 0)
}
