//! What the work of a configured stream is, before it runs: measured on the real operators, with elements made up at the
//! rate of its port.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: no. Locks: no. Syscalls: the clock.
//!
//! All conditions count as fulfilled and all fields of other ports come as fast as its own, so this is the most work that
//! the rate can make.

use crate::clock;
use crate::error::Result;
use crate::stream::configured::condition::Comparison;
use crate::stream::configured::config::StreamConfig;
use crate::stream::configured::port::{FIELDS_MAX, Port, Row};
use crate::stream::configured::running::OneStream;
use crate::stream::element::{Element, Origin};
use crate::stream::window::config::Kind;
use crate::units::{Hertz, MonoTime, Nanos};

/// How long one stream is measured: a start after a kill waits for it.
// BOUND: this and sixteen elements, and the results that the end of a stream gives.
const BUDGET: Nanos = Nanos::from_millis(8);
/// And before that, unmeasured: the first elements meet cold caches and empty windows.
const WARM_UP: Nanos = Nanos::from_millis(2);
/// How often a run tells a stream what time it is.
const TURN: Nanos = Nanos::from_millis(25);
/// Where nothing says how fast a port is. The source document's sensors give as many.
const GUESS: f64 = 100.0;
/// Nobody gives instructions faster.
const INSTRUCTIONS: f64 = 1.0;

/// How fast the ports of a run are, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Of the camera; none if it goes as fast as it is read.
    pub camera: Option<Hertz>,
    /// Of the action clock.
    pub beat: Option<Hertz>,
    /// By the sensors' places.
    pub sensors: Vec<Option<Hertz>>,
}

impl Rates {
    /// Elements a second, and whether that is more than a guess.
    fn of(&self, port: Port) -> (f64, bool) {
        let beat = self.beat.map_or(GUESS, Hertz::get);
        // A frame is told of when it has become an action, so at most one each beat.
        let frames = self.camera.map_or(beat, |rate| rate.get().min(beat));
        match port {
            Port::Sensor(place) => {
                let rate = self.sensors.get(usize::from(place)).copied().flatten();
                (rate.map_or(GUESS, Hertz::get), rate.is_some())
            }
            Port::Frame => (frames, true),
            Port::Policy => (self.camera.map_or(beat, Hertz::get), true),
            Port::Action => (beat, true),
            Port::Instruction => (INSTRUCTIONS, true),
        }
    }
}

/// The work between two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// From one result to the next.
    pub period: Nanos,
    pub work: Nanos,
    /// Elements a second that this is for.
    pub rate: f64,
    /// Nothing says how fast the port is, so the rate is a guess.
    pub is_guess: bool,
}

/// Measures one stream.
///
/// # Errors
/// As when it is opened.
pub fn measure(config: &StreamConfig, rates: &Rates) -> Result<Measured> {
    let (rate, is_known) = rates.of(config.from);
    let period = period(config, rate);
    let mut trial = Trial::new(config, rate)?;
    trial.run(WARM_UP);
    let (fed, results) = (trial.fed, trial.results());
    let spent = time_of(|| trial.run(BUDGET));
    let elements = (trial.fed - fed).max(1);
    let between = rate * period.as_secs_f64();
    let mut work = Nanos::from_secs_f64(spent.as_secs_f64() / count(elements) * between);
    if trial.results() < results + 3 {
        // Too few results were among that: what one costs shows at the end.
        let before = trial.results();
        let spent = time_of(|| trial.stream.end());
        work +=
            Nanos::from_secs_f64(spent.as_secs_f64() / count((trial.results() - before).max(1)));
    }
    Ok(Measured {
        period,
        work,
        rate,
        is_guess: !is_known,
    })
}

/// On this thread: what else the machine does meanwhile is not this work.
fn time_of(work: impl FnOnce()) -> Nanos {
    let spent = || clock::read(libc::CLOCK_THREAD_CPUTIME_ID);
    let begin = spent();
    work();
    spent() - begin
}

/// From one result to the next, with so many elements a second.
fn period(config: &StreamConfig, rate: f64) -> Nanos {
    let window = &config.window;
    let elements = |count: u32| Nanos::from_secs_f64(f64::from(count) / rate);
    match window.kind {
        Kind::Tumbling | Kind::Sliding => window.slide,
        Kind::Count => elements(window.every),
        Kind::Session | Kind::Trailing => elements(1),
    }
}

#[expect(clippy::cast_precision_loss, reason = "as many as fit into the budget")]
fn count(of: u64) -> f64 {
    of as f64
}

/// One stream at work on what is made up.
struct Trial {
    stream: OneStream,
    port: Port,
    /// Ports that conditions ask for.
    others: Vec<Port>,
    interval: Nanos,
    now: MonoTime,
    next_turn: MonoTime,
    fed: u64,
    chance: u64,
}

impl Trial {
    fn new(config: &StreamConfig, rate: f64) -> Result<Self> {
        let mut config = config.clone();
        config.out = config.out.map(|_| "/dev/null".into());
        for condition in &mut config.when {
            (condition.is, condition.number) = (Comparison::Greater, f64::NEG_INFINITY);
        }
        let mut others = Vec::new();
        for port in config.when.iter().filter_map(|condition| condition.of) {
            if !others.contains(&port) {
                others.push(port);
            }
        }
        let begin = MonoTime(1_000_000_000);
        Ok(Self {
            port: config.from,
            others,
            stream: OneStream::open(&config, false)?,
            interval: Nanos::from_secs_f64(1.0 / rate).max(Nanos(1)),
            now: begin,
            next_turn: begin + TURN,
            fed: 0,
            chance: 0x9e37_79b9_7f4a_7c15,
        })
    }

    fn results(&self) -> u64 {
        self.stream.summary().results
    }

    /// Feeds it for so long.
    fn run(&mut self, time: Nanos) {
        let end = clock::now() + time;
        // BOUND: the time; a clock that is read each 16 elements costs next to nothing.
        while clock::now() < end {
            for _ in 0..16 {
                self.feed();
            }
        }
    }

    fn feed(&mut self) {
        // Marsaglia's xorshift: other digits each time, as a sensor's noise has.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let noise = f64::from(u32::try_from(self.chance >> 40).unwrap_or_default());
        let element = Element {
            at: self.now,
            arrived: self.now + Nanos(1),
            seq: self.fed,
            source: 0,
            origin: Origin::Measured,
            value: Row([1.0 + noise / f64::from(1 << 24); FIELDS_MAX]),
        };
        for port in &self.others {
            self.stream.take(*port, &element);
        }
        if !self.others.contains(&self.port) {
            self.stream.take(self.port, &element);
        }
        self.now += self.interval;
        self.fed += 1;
        // BOUND: a slow port has many turns between two elements, each of which finds nothing to do but the last.
        if self.now >= self.next_turn {
            self.stream.tick(self.now);
            self.next_turn = self.now + TURN;
        }
    }
}
