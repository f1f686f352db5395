//! What the kernel alone does, without any pipeline: how late it wakes a thread on each core of the way, by cyclictest where it
//! is installed and by the doctor's own probe where not; and rtla's view of it, kept as it is.

use std::process::Command;

use crate::bench::child::{self, Program, Waited};
use crate::bench::cyclictest;
use crate::bench::data::{Budget, Percentiles, Wakes};
use crate::bench::folder::BenchFolder;
use crate::clock;
use crate::doctor::cpus;
use crate::doctor::measured::CoreWakes;
use crate::doctor::probe;
use crate::telemetry::durations::Durations;
use crate::units::Nanos;

/// For a program to start and to write its results, beyond the time that it measures.
const GRACE: Nanos = Nanos::from_secs(30);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `idle` or the load's name.
    pub part: &'a str,
    pub cores: &'a [usize],
    pub seconds: u32,
    /// The board file's limit for a wake-up.
    pub limit_ns: Option<u64>,
}

/// Measures the wake-ups. With them comes what a person should know, in words.
pub fn wakes(ask: &Ask<'_>, folder: &BenchFolder) -> (Vec<Wakes>, Vec<String>) {
    let Some(tool) = child::find("cyclictest") else {
        let said = "cyclictest is not installed (package rt-tests): reflexarc measured the wake-ups by itself";
        return (own(ask), vec![said.to_owned()]);
    };
    let json = format!("parts/{}.cyclictest.json", ask.part);
    let log = format!("parts/{}.cyclictest.log", ask.part);
    let place = folder.path.join(&json);
    let mut command = Command::new(tool);
    command
        // Memory locked, above the action thread's usual 80, five wake-ups in a millisecond as OSADL measures.
        .args([
            "--mlockall",
            "--priority=95",
            "--interval=200",
            "--distance=0",
            "--quiet",
        ])
        .arg(format!("--affinity={}", cpus::list(ask.cores)))
        .arg(format!("--threads={}", ask.cores.len()))
        .arg(format!("--duration={}", ask.seconds))
        .arg(format!("--histogram={}", cyclictest::BUCKETS))
        .arg(format!("--json={}", place.display()));
    let run = || -> Result<Vec<Wakes>, String> {
        let log = folder.path.join(log);
        let mut program = Program::start(&mut command, &log, &[]).map_err(|e| e.to_string())?;
        let until = clock::now() + Nanos::from_secs(i64::from(ask.seconds)) + GRACE;
        match program.wait(until, || None) {
            Waited::Ended(status) if status.success() => {}
            Waited::Ended(status) => return Err(format!("it ended with {status}")),
            Waited::Signal | Waited::Stopped(_) => return Err("it was interrupted".to_owned()),
            Waited::TooLong => return Err("it did not end".to_owned()),
        }
        let text = std::fs::read_to_string(&place).map_err(|e| e.to_string())?;
        cyclictest::parse(&text, ask.limit_ns)
    };
    match run() {
        Ok(mut wakes) => {
            for one in &mut wakes {
                one.raw = Some(json.clone());
            }
            (wakes, Vec::new())
        }
        Err(why) => {
            let said =
                format!("cyclictest could not be used ({why}): reflexarc measured by itself");
            (own(ask), vec![said])
        }
    }
}

/// By the doctor's probe, with the recipe of a run. Its lateness is that of the kernel's wake-up, as cyclictest's is.
fn own(ask: &Ask<'_>) -> Vec<Wakes> {
    let time = Nanos::from_secs(i64::from(ask.seconds));
    let (found, _) = probe::wakes(ask.cores, None, time);
    found.iter().map(|wakes| of_probe(wakes, ask)).collect()
}

fn of_probe(wakes: &CoreWakes, ask: &Ask<'_>) -> Wakes {
    Wakes {
        by: "reflexarc".to_owned(),
        core: wakes.core,
        percentiles: Percentiles::from(&wakes.kernel),
        budget: ask
            .limit_ns
            .map(|limit_ns| Budget::of_wakes(limit_ns, over(&wakes.kernel, limit_ns))),
        curve: wakes.kernel.curve(),
        raw: None,
        refused: wakes.refused.clone(),
    }
}

/// How many were longer, to the histogram's 1 part in 1000.
fn over(durations: &Durations, limit_ns: u64) -> u64 {
    let within = durations.histogram().count_between(0, limit_ns);
    durations.count().saturating_sub(within)
}

/// rtla's timer latencies and its noise of each core, in its own words: kept, not judged. Gives what came of it, in words.
pub fn rtla(ask: &Ask<'_>, folder: &BenchFolder) -> Vec<String> {
    let Some(tool) = child::find("rtla") else {
        return vec!["rtla is not installed (package rtla): no view of what disturbs a core from inside the kernel".to_owned()];
    };
    let modes: [&[&str]; 2] = [
        &["timerlat", "hist", "--no-irq"],
        &["osnoise", "top", "--quiet"],
    ];
    let mut said = Vec::new();
    for mode in modes {
        let name = format!("parts/{}.rtla-{}.txt", ask.part, mode[0]);
        let mut command = Command::new(&tool);
        command
            .args(mode)
            .args(["--cpus", &cpus::list(ask.cores)])
            .args(["--duration", &ask.seconds.to_string()]);
        let started = Program::start(&mut command, &folder.path.join(&name), &[]);
        let until = clock::now() + Nanos::from_secs(i64::from(ask.seconds)) + GRACE;
        let why = match started {
            Err(error) => Some(error.to_string()),
            Ok(mut program) => match program.wait(until, || None) {
                Waited::Ended(status) if status.success() => None,
                Waited::Ended(status) => Some(format!("it ended with {status}")),
                Waited::Signal | Waited::Stopped(_) => Some("it was interrupted".to_owned()),
                Waited::TooLong => Some("it did not end".to_owned()),
            },
        };
        let outcome = why.map_or_else(
            || "kept in".to_owned(),
            |why| format!("could not be used ({why}; it needs root and the kernel's tracers), see"),
        );
        said.push(format!("rtla {}: {outcome} {name}", mode[0]));
    }
    said
}
