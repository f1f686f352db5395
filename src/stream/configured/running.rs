//! Configured streams at work.
//!
//! Thread: main, between two looks at the probes. Allocates: when built. Blocks: in writes to its file. Locks: no.

use crate::error::Result;
use crate::link::EveryWriter;
use crate::record::tap::Given;
use crate::state::bytes::Fields;
use crate::state::snapshot::SNAPSHOT_BYTES_MAX;
use crate::stream::aggregate::statistic::Statistic;
use crate::stream::align::choice::Choice;
use crate::stream::align::operator::{Align, LaneConfig, Told};
use crate::stream::configured::condition::Condition;
use crate::stream::configured::config::{FOREIGN_MAX, StreamConfig};
use crate::stream::configured::port::{Port, Row};
use crate::stream::configured::results::Results;
pub use crate::stream::configured::results::Summary;
use crate::stream::configured::tap::Tap;
use crate::stream::element::{Element, Event};
use crate::stream::kept::{Kept, kept};
use crate::stream::operator::Operator as _;
use crate::stream::time::{SourceTime, SourceTimeConfig};
use crate::stream::window::Windows;
use crate::telemetry::record::Record;
use crate::units::MonoTime;

/// Values that one element of another port keeps company with.
// BOUND: 1000 Hz of policy for the longest sensible wait.
const FOREIGN_KEPT: usize = 1024;

/// Of one stream, in a snapshot.
// BOUND: some thousand panes or elements; a larger state would take longer to write than windows are worth.
const STREAM_BYTES_MAX: usize = 256 * 1024;
/// Of all of them, with room for the rest of the snapshot.
const KEPT_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX * 3 / 4;

/// All streams of a configuration.
#[derive(Debug, Default)]
pub struct Streams {
    tap: Tap,
    streams: Vec<OneStream>,
    /// Who else wants the results.
    told: Option<EveryWriter<Given>>,
}

impl Streams {
    /// Takes all memory and opens the files.
    pub fn open(configs: &[StreamConfig]) -> Result<Self> {
        let streams = configs.iter().map(|config| OneStream::open(config, false));
        Ok(Self {
            streams: streams.collect::<Result<_>>()?,
            ..Self::default()
        })
    }

    /// The same, and goes on with what [`Streams::keep`] has kept; a stream that has changed begins cold. A line for each
    /// stream that says which.
    ///
    /// # Errors
    /// As [`Streams::open`].
    pub fn resume(configs: &[StreamConfig], kept: &[u8]) -> Result<(Self, Vec<String>)> {
        let mut streams = Self::default();
        let kept = streams
            .read_kept(&mut Fields::new(kept))
            .unwrap_or_default();
        let mut said = Vec::new();
        for config in configs {
            let fingerprint = config.fingerprint();
            let found = kept.iter().find(|(of, _)| *of == fingerprint);
            let (stream, how) = match found {
                None => (None, "begins cold: it is not as it was"),
                Some((_, [])) => (None, "begins cold: its windows were too large to be kept"),
                Some((_, bytes)) => match OneStream::open(config, true)?.resume(bytes) {
                    Some((stream, true)) => (Some(stream), "goes on with what was in its windows"),
                    Some((stream, false)) => (
                        Some(stream),
                        "goes on, and its file lacks what was said before",
                    ),
                    None => (None, "begins cold: what was kept of it cannot be read"),
                },
            };
            said.push(format!("stream `{}` {how}", config.name));
            streams.streams.push(match stream {
                Some(stream) => stream,
                None => OneStream::open(config, false)?,
            });
        }
        Ok((streams, said))
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
            self.tell();
        }
    }

    /// From now on a recording gets the results too.
    pub fn tell_to(&mut self, told: EveryWriter<Given>) {
        self.told = Some(told);
        for stream in &mut self.streams {
            stream.core.results.fresh = Some(Vec::new());
        }
    }

    fn tell(&mut self) {
        let Some(told) = &mut self.told else { return };
        for (index, stream) in (0..).zip(&mut self.streams) {
            let fresh = stream.core.results.fresh.iter_mut();
            for window in fresh.flat_map(|fresh| fresh.drain(..)) {
                // A full link has counted it.
                let _ = told.push(Given {
                    stream: index,
                    window,
                });
            }
        }
    }

    /// It is `now`, and all records from before have been taken.
    pub fn tick(&mut self, now: MonoTime) {
        for stream in &mut self.streams {
            stream.tick(now);
        }
        self.tell();
    }

    /// Nothing comes any more: what is in open windows is said.
    pub fn end(&mut self) {
        for stream in &mut self.streams {
            stream.end();
        }
        self.tell();
    }

    /// Appends the state of all, and brings what was said so far into the files.
    pub fn keep(&mut self, out: &mut Vec<u8>) {
        if self.streams.is_empty() {
            return;
        }
        self.tap.keep(out);
        self.streams.len().keep(out);
        for stream in &mut self.streams {
            stream.core.results.flush();
            stream.config.fingerprint().keep(out);
            let at = out.len();
            0_usize.keep(out);
            let begin = out.len();
            stream.keep(out);
            let len = out.len() - begin;
            if len > STREAM_BYTES_MAX || out.len() > KEPT_BYTES_MAX {
                // Nothing of it: a stream without its state begins cold.
                out.truncate(begin);
            } else {
                out[at..begin].copy_from_slice(&(len as u64).to_le_bytes());
            }
        }
    }

    /// The streams' states, by their fingerprints.
    fn read_kept<'a>(&mut self, from: &mut Fields<'a>) -> Option<Vec<(u64, &'a [u8])>> {
        let mut tap = Tap::default();
        tap.put_back(from)?;
        let mut count = 0_usize;
        count.put_back(from)?;
        let mut kept = Vec::new();
        // BOUND: the bytes; each stream takes at least 16.
        for _ in 0..count {
            let fingerprint = from.u64()?;
            let len = usize::try_from(from.u64()?).ok()?;
            kept.push((fingerprint, from.bytes(len)?));
        }
        self.tap = tap;
        Some(kept)
    }

    /// Name, description and summary of each.
    pub fn summaries(&self) -> impl Iterator<Item = (&StreamConfig, Summary)> {
        self.streams
            .iter()
            .map(|stream| (&stream.config, stream.summary()))
    }
}

type OfOne = fn(&f64) -> usize;
type Aggregated = Windows<f64, Statistic, OfOne>;

/// One stream: admitted, filtered, joined with values of other ports, filtered again, and aggregated.
#[derive(Debug)]
pub(super) struct OneStream {
    config: StreamConfig,
    time: SourceTime,
    /// Conditions on its own fields.
    own: Vec<Condition>,
    /// Conditions on fields of other ports, one for each lane.
    foreign: Box<[Foreign]>,
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

kept!(impl [] OneStream { time, foreign, core, elements });
kept!(impl [] Foreign { time });
kept!(impl [] Core { align, windows, results, kept });

impl OneStream {
    /// `keeps_file`: what stands in its file stays there.
    pub(super) fn open(config: &StreamConfig, keeps_file: bool) -> Result<Self> {
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
            core: Core::open(config, conditions, keeps_file)?,
            elements: 0,
            config: config.clone(),
        })
    }

    /// Goes on with what was kept; false beside it if its file is shorter than it was.
    fn resume(mut self, kept: &[u8]) -> Option<(Self, bool)> {
        let mut from = Fields::new(kept);
        self.put_back(&mut from)?;
        from.end()?;
        let is_whole = self.core.results.go_on();
        Some((self, is_whole))
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
    fn open(config: &StreamConfig, conditions: Vec<Condition>, keeps_file: bool) -> Result<Self> {
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
            windows,
            results: Results::open(config, keeps_file)?,
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
            windows.push(event.map(|set| set.primary), &mut |given| {
                results.take(given);
            });
        });
    }
}
