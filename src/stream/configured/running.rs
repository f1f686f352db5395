//! Configured streams at work.
//!
//! Thread: main, between two looks at the probes. Allocates: when built. Blocks: in writes to its file. Locks: no.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use crate::error::{Fault, Kind, Result};
use crate::stream::aggregate::statistic::Statistic;
use crate::stream::align::choice::Choice;
use crate::stream::align::operator::{Align, LaneConfig, Told};
use crate::stream::builder::{Running, Stream};
use crate::stream::configured::condition::Condition;
use crate::stream::configured::config::{FOREIGN_MAX, StreamConfig};
use crate::stream::configured::port::{Port, Row};
use crate::stream::configured::tap::Tap;
use crate::stream::element::{Element, Event, Side};
use crate::stream::operator::{Input, Operator as _, Then};
use crate::stream::time::{SourceTime, SourceTimeConfig};
use crate::stream::window::{Window, Windows};
use crate::telemetry::record::Record;
use crate::units::MonoTime;

/// Values that one element of another port keeps company with.
// BOUND: 1000 Hz of policy for the longest sensible wait.
const FOREIGN_KEPT: usize = 1024;

/// All streams of a configuration.
#[derive(Debug, Default)]
pub struct Streams {
    tap: Tap,
    streams: Vec<OneStream>,
}

impl Streams {
    /// Takes all memory and opens the files.
    pub fn open(configs: &[StreamConfig]) -> Result<Self> {
        Ok(Self {
            tap: Tap::default(),
            streams: configs.iter().map(OneStream::open).collect::<Result<_>>()?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// A record came out of a probe.
    pub fn take(&mut self, record: &Record) {
        if self.streams.is_empty() {
            return;
        }
        if let Some((port, element)) = self.tap.element(record) {
            for stream in &mut self.streams {
                stream.take(port, &element);
            }
        }
    }

    /// It is `now`, and all records from before have been taken.
    pub fn tick(&mut self, now: MonoTime) {
        for stream in &mut self.streams {
            stream.tick(now);
        }
    }

    /// Nothing comes any more: what is in open windows is said.
    pub fn end(&mut self) {
        for stream in &mut self.streams {
            stream.end();
        }
    }

    /// Name, description and summary of each.
    pub fn summaries(&self) -> impl Iterator<Item = (&StreamConfig, Summary)> {
        self.streams
            .iter()
            .map(|stream| (&stream.config, stream.summary()))
    }
}

/// What became of a stream's elements, and what was said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Elements of its port.
    pub elements: u64,
    /// Those that were repeated, came from the future or were too old.
    pub put_aside: u64,
    /// Those for which all conditions held.
    pub kept: u64,
    /// Those that came when all their windows had been closed.
    pub late: u64,
    /// Windows of which something was said.
    pub results: u64,
    pub last: Option<Window<Option<f64>>>,
    pub least: Option<f64>,
    pub greatest: Option<f64>,
    /// Results that could not be written to its file.
    pub unwritten: u64,
}

type OfOne = fn(&f64) -> usize;
type Aggregated = Running<Then<Input<f64>, Windows<f64, Statistic, OfOne>>>;

/// One stream: admitted, filtered, joined with values of other ports, filtered again, and aggregated.
#[derive(Debug)]
pub(super) struct OneStream {
    config: StreamConfig,
    time: SourceTime,
    /// Conditions on its own fields.
    own: Vec<Condition>,
    /// Conditions on fields of other ports, one for each lane.
    foreign: Vec<Foreign>,
    core: Core,
    elements: u64,
}

/// A field of another port that a condition is on.
#[derive(Debug)]
struct Foreign {
    port: Port,
    field: usize,
    time: SourceTime,
}

/// What comes behind the admission.
#[derive(Debug)]
struct Core {
    align: Align<f64, f64, FOREIGN_MAX>,
    /// By lane.
    conditions: Vec<Condition>,
    windows: Aggregated,
    results: Results,
    kept: u64,
}

impl OneStream {
    pub(super) fn open(config: &StreamConfig) -> Result<Self> {
        let (conditions, own): (Vec<_>, Vec<_>) =
            config.when.iter().cloned().partition(|c| c.of.is_some());
        let foreign = conditions
            .iter()
            .filter_map(|condition| {
                Some(Foreign {
                    port: condition.of?,
                    field: condition.field,
                    // Others may be silent for long: the clock says how far they have come.
                    time: SourceTime::new(SourceTimeConfig {
                        max_delay: Some(config.wait),
                        ..SourceTimeConfig::default()
                    }),
                })
            })
            .collect();
        Ok(Self {
            time: SourceTime::new(config.time.clone()),
            own,
            foreign,
            core: Core::open(config, conditions)?,
            elements: 0,
            config: config.clone(),
        })
    }

    pub(super) fn take(&mut self, port: Port, element: &Element<Row>) {
        let Self {
            config,
            time,
            own,
            foreign,
            core,
            elements,
        } = self;
        let row = &element.value.0;
        for (lane, foreign) in foreign.iter_mut().enumerate() {
            if foreign.port == port {
                let value = element.with(row[foreign.field]);
                foreign
                    .time
                    .push(value, &mut |event| core.push(Told::Lane(lane, event)));
            }
        }
        if config.from == port {
            *elements += 1;
            let holds = own
                .iter()
                .all(|condition| condition.holds(row[condition.field]));
            time.push(element.with(row[config.field]), &mut |event| {
                // One that is dropped tells how far time has come as well.
                if holds || !matches!(event, Event::Element(_)) {
                    core.push(Told::Primary(event));
                }
            });
        }
    }

    pub(super) fn tick(&mut self, now: MonoTime) {
        let Self {
            time,
            foreign,
            core,
            ..
        } = self;
        for (lane, foreign) in foreign.iter_mut().enumerate() {
            foreign
                .time
                .tick(now, false, &mut |event| core.push(Told::Lane(lane, event)));
        }
        time.tick(now, false, &mut |event| core.push(Told::Primary(event)));
        core.push(Told::Now(now));
    }

    pub(super) fn end(&mut self) {
        let Self {
            time,
            foreign,
            core,
            ..
        } = self;
        for (lane, foreign) in foreign.iter_mut().enumerate() {
            foreign
                .time
                .end(&mut |event| core.push(Told::Lane(lane, event)));
        }
        time.end(&mut |event| core.push(Told::Primary(event)));
        core.results.flush();
    }

    pub(super) fn summary(&self) -> Summary {
        let counts = self.time.counts();
        Summary {
            elements: self.elements,
            put_aside: counts.duplicates + counts.from_future + counts.too_old,
            kept: self.core.kept,
            ..self.core.results.summary
        }
    }
}

impl Core {
    fn open(config: &StreamConfig, conditions: Vec<Condition>) -> Result<Self> {
        let lanes = std::array::from_fn(|lane| LaneConfig {
            chain: if lane < conditions.len() {
                vec![Choice::Hold {
                    max_age: config.max_age,
                }]
            } else {
                // Nobody asks for this one.
                vec![Choice::Default(0.0)]
            },
            is_needed: true,
            capacity: FOREIGN_KEPT,
            late_steps: 32,
        });
        let of_one: OfOne = |_| 0;
        let windows = Windows::new(&config.window, of_one, config.aggregate)?;
        Ok(Self {
            align: Align::new(lanes, FOREIGN_KEPT, config.wait),
            conditions,
            windows: Stream::input().then(windows).start(),
            results: Results::open(config)?,
            kept: 0,
        })
    }

    fn push(&mut self, told: Told<f64, f64>) {
        let Self {
            align,
            conditions,
            windows,
            results,
            kept,
        } = self;
        align.push(told, &mut |event| {
            if let Event::Element(set) = &event {
                let mut answers = set.value.answers.iter().map(|answer| answer.value);
                let holds = conditions.iter().all(|condition| {
                    let value = answers.next().flatten();
                    value.is_some_and(|value| condition.holds(value))
                });
                if !holds {
                    return;
                }
                *kept += 1;
            }
            windows.push(event.map(|set| set.primary), |given| results.take(given));
        });
    }
}

/// What was said of windows: summed up, and written to a file if one was asked for.
#[derive(Debug)]
struct Results {
    name: String,
    summary: Summary,
    file: Option<BufWriter<File>>,
}

impl Results {
    fn open(config: &StreamConfig) -> Result<Self> {
        let open = |path: &std::path::PathBuf| {
            File::create(path).map(BufWriter::new).map_err(|e| {
                Fault::from_io(
                    format!(
                        "the results of stream `{}` cannot be written to {}",
                        config.name,
                        path.display()
                    ),
                    &e,
                    Kind::Output,
                    "make its folder, or choose another `out`",
                )
            })
        };
        Ok(Self {
            name: config.name.clone(),
            summary: Summary::default(),
            file: config.out.as_ref().map(open).transpose()?,
        })
    }

    fn take(&mut self, given: Side<Event<Window<Option<f64>>>, Event<f64>>) {
        match given {
            Side::Left(Event::Element(element)) => self.result(&element.value),
            Side::Right(Event::Element(_)) => self.summary.late += 1,
            _ => {}
        }
    }

    fn result(&mut self, window: &Window<Option<f64>>) {
        let summary = &mut self.summary;
        summary.results += 1;
        summary.last = Some(*window);
        if let Some(value) = window.result {
            summary.least = Some(summary.least.map_or(value, |least| least.min(value)));
            summary.greatest = Some(summary.greatest.map_or(value, |most| most.max(value)));
        }
        let Some(file) = &mut self.file else { return };
        let line = serde_json::json!({
            "stream": self.name,
            "start_ns": window.start.0,
            "end_ns": window.end.0,
            "count": window.count,
            "filled": window.filled,
            "revision": window.revision,
            "is_final": window.is_final,
            "value": window.result,
        });
        if writeln!(file, "{line}").is_err() {
            summary.unwritten += 1;
        }
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && file.flush().is_err()
        {
            self.summary.unwritten += 1;
        }
    }
}
