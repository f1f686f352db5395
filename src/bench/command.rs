//! `reflexarc bench`: from the command line to results and an exit code.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bench::beside;
use crate::bench::data::{Bench, Kind, SCHEMA, Subject};
use crate::bench::folder::{self, BenchFolder};
use crate::bench::show;
use crate::cli;
use crate::config::Config;
use crate::error::{self, Result};
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
    let config = configure(args)?;
    let folder = BenchFolder::open(args.out.as_deref())?;
    let subject = subject(args, &config);
    let part = beside::run(config, args.seconds, &folder)?;
    let verdict = match part.broken.as_slice() {
        [] => Verdict::Met,
        _ => Verdict::Missed,
    };
    let bench = Bench {
        schema: SCHEMA.to_owned(),
        kind: Kind::Beside,
        verdict,
        reasons: part.broken.clone(),
        findings: Vec::new(),
        environment: Environment::examined(
            Some(&subject.board)
                .filter(|b| !b.is_empty())
                .map(String::as_str),
        ),
        subject,
        parts: vec![part],
    };
    let json = folder.finish(&bench)?;
    Ok(Answer {
        text: if args.json { json } else { show::text(&bench) },
        code: match verdict {
            Verdict::Missed => error::Kind::GoalsMissed.exit_code(),
            Verdict::Met | Verdict::NotJudged => 0,
        },
    })
}

/// The configuration that is measured, with the board's thread plan.
fn configure(args: &cli::Bench) -> Result<Config> {
    run::configure(&cli::Run {
        config: args.config.clone(),
        board: Some(args.board.clone().unwrap_or_else(|| "auto".to_owned())),
        ..cli::Run::default()
    })
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
        binary_sha256: hash(Path::new("/proc/self/exe")),
    }
}
