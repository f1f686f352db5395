//! `reflexarc estimate`: from the command line to an answer.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::cli;
use crate::error::{Fault, Kind, Result};
use crate::estimate::agreement;
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::compare::{self, Assumed};
use crate::estimate::examples::Example;
use crate::estimate::measure::{Measured, Trial, measure};
use crate::estimate::plot::{self, Way};
use crate::estimate::queue::WhenFull;
use crate::estimate::setting::Setting;
use crate::estimate::show::{self, Answer};
use crate::estimate::window::Window;
use crate::run;
use crate::units::Nanos;

/// Carries the command out; gives what is printed.
pub fn estimate(args: &cli::Estimate) -> Result<String> {
    if args.list {
        return Ok(list());
    }
    if let Some(config) = &args.config {
        return of_configuration(args, config);
    }
    let setting = setting(args)?;
    let outcome = setting.outcome();
    // The document's own sums hold for its own parameters; for others its formulas do.
    let example = args.example.filter(|example| setting == example.setting());
    let figures = match example {
        Some(example) => example.figures(&outcome),
        None => compare::figures(&setting, &outcome, Assumed::default()),
    };
    let answer = Answer {
        example,
        setting,
        outcome,
        figures,
    };
    let measured = args
        .measure
        .then(|| Trial::plan(&answer.setting, args.seconds).and_then(measure))
        .transpose()?;
    if let Some(path) = &args.plot {
        draw(path, &answer.setting, measured.as_ref())?;
    }
    Ok(said(args, &answer, measured.as_ref()))
}

fn said(args: &cli::Estimate, answer: &Answer, measured: Option<&Measured>) -> String {
    let found = measured.map(|measured| (measured, agreement::agreement(measured)));
    if args.json {
        let mut json = show::json(answer);
        if let Some((measured, agreement)) = &found {
            json["measurement"] = agreement::json(measured, agreement);
        }
        return format!("{json:#}");
    }
    let mut text = show::text(answer);
    if let Some((measured, agreement)) = &found {
        text += &agreement::text(measured, agreement);
    }
    text
}

fn of_configuration(args: &cli::Estimate, config: &Path) -> Result<String> {
    let check = run::estimate(&cli::Run {
        config: Some(config.to_owned()),
        board: args.board.clone(),
        ..cli::Run::default()
    })?;
    Ok(if args.json {
        format!("{:#}", check.json())
    } else {
        check.to_string()
    })
}

fn list() -> String {
    let mut text = String::new();
    for example in Example::ALL {
        let _ = writeln!(text, "{}  {}", example.name(), example.title());
    }
    text
}

fn draw(path: &Path, setting: &Setting, measured: Option<&Measured>) -> Result<()> {
    let (batch, stream) = (setting.batch(), setting.stream());
    // What was measured was made shorter: drawn beside its own theory.
    let svg = match measured {
        None => plot::svg(
            setting,
            &[Way::new("batch", &batch), Way::new("stream", &stream)],
        ),
        Some(measured) => {
            let trial = &measured.trial.setting;
            let (batch, stream) = (trial.batch(), trial.stream());
            let ways = [
                Way::new("batch", &batch),
                Way::new("stream", &stream),
                Way::new("measured", &measured.items),
            ];
            plot::svg(trial, &ways)
        }
    };
    fs::write(path, svg).map_err(|e| {
        Fault::from_io(
            format!("{} cannot be written", path.display()),
            &e,
            Kind::Output,
            "name a file in a folder that you may write to",
        )
    })
}

/// The example's setting, or none, with what was said on top.
fn setting(args: &cli::Estimate) -> Result<Setting> {
    let usage = |why: String| {
        Fault::new(
            Kind::Usage,
            "there is no estimate of this",
            why,
            "see `reflexarc estimate --help`; `reflexarc estimate --list` names the examples",
        )
    };
    let mut setting = match (args.example, args.interval, args.work) {
        (Some(example), ..) => example.setting(),
        (None, Some(interval), Some(work)) => Setting::periodic(100, interval, work),
        (None, None, Some(work)) if args.arrivals.is_some() => {
            Setting::periodic(u32::MAX, Nanos(1), work)
        }
        _ => {
            return Err(usage(
                "neither an example nor an --interval (or --arrivals) and a --work were named"
                    .to_owned(),
            ));
        }
    };
    put_on_top(args, &mut setting)?;
    if args.slide.is_some() && args.window.is_none() {
        return Err(usage("--slide without a --window".to_owned()));
    }
    if let Some(size) = args.window {
        let window = Window::new(size, args.slide.unwrap_or(size)).map_err(usage)?;
        setting.window = Some(window);
    }
    setting.check().map_err(usage)?;
    Ok(setting)
}

fn put_on_top(args: &cli::Estimate, setting: &mut Setting) -> Result<()> {
    let interval = args.interval.unwrap_or(setting.interval());
    if args.interval.is_some() {
        setting.arrivals = Arrivals::Periodic { interval };
    }
    if args.poisson {
        setting.arrivals = Arrivals::Poisson {
            mean: interval,
            seed: args.seed,
        };
    }
    if let Some(path) = &args.arrivals {
        let list = listed(path)?;
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        setting.items = args.items.unwrap_or(count).min(count);
        setting.arrivals = Arrivals::Listed(list);
    } else if let Some(items) = args.items {
        setting.items = items;
    }
    if let Some(work) = args.work {
        setting.work = Work::Fixed(work);
    }
    if let Some(deviation) = args.spread {
        setting.work = Work::Bell {
            mean: setting.work.mean(),
            deviation,
            seed: args.seed,
        };
    }
    if let Some(workers) = args.workers {
        setting.queue.workers = workers;
    }
    if args.room.is_some() {
        setting.queue.room = args.room;
    }
    if let Some(when_full) = args.when_full {
        setting.queue.when_full = when_full;
        if when_full == WhenFull::NewestOnly {
            setting.queue.room = Some(1);
        }
    }
    if let Some(bytes) = args.item_bytes {
        setting.item_bytes = bytes;
    }
    if args.goal.is_some() {
        setting.goal = args.goal;
    }
    Ok(())
}

/// Instants from a file, one a line, such as `1.5 s`; lines that begin with # say nothing.
fn listed(path: &Path) -> Result<Vec<Nanos>> {
    let text = fs::read_to_string(path).map_err(|e| {
        Fault::from_io(
            format!("{} cannot be read", path.display()),
            &e,
            Kind::BadInput,
            "name a file with an instant a line, such as `1.5 s`",
        )
    })?;
    let lines = text.lines().map(str::trim).enumerate();
    let instants = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut list = instants
        .map(|(at, line)| {
            line.parse().map_err(|why: String| {
                Fault::new(
                    Kind::BadInput,
                    format!("{}, line {}", path.display(), at + 1),
                    why,
                    "write an instant after the start a line, such as `1.5 s`",
                )
            })
        })
        .collect::<Result<Vec<Nanos>>>()?;
    list.sort_unstable();
    Ok(list)
}
