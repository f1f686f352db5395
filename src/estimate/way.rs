//! A user's own pipeline before it runs: can its threads keep up, how old can a frame get, how much memory is it?
//!
//! The same model as everywhere here, fed with the encoder's measured work and the camera's period. What is measured is
//! the middle of a few warm runs on an idle machine; a slower step makes a frame later, and a run's report shows it.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::error::{Fault, Kind};
use crate::estimate::closed::{Periodic, ceil_div};
use crate::estimate::figure::{Value, count_f64, spell_time};
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::rt::plan::Layout;
use crate::units::{Hertz, Nanos};

/// A thread that is busy for more of its time is late whenever anything else runs.
const NEARLY_ALL: f64 = 0.8;

/// What the check depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// Between frames; none if the source waits until it is read.
    pub period: Option<Nanos>,
    /// From a frame to its feature map.
    pub work: Nanos,
    /// Threads that do that, one frame each in turn.
    pub workers: u16,
    /// Which stages share a thread; not `Auto`.
    pub layout: Layout,
    /// From capture to features, where they do not share one.
    pub frames: LinkPolicy,
    /// Between beats of the action clock.
    pub beat: Nanos,
    /// From the camera's stamp to the first action of a frame.
    pub goal: Nanos,
    pub frame_bytes: u64,
    /// Frames that the source has memory for.
    pub slots: u32,
    /// Readings that can wait for fusion, of each sensor.
    pub readings_room: usize,
    /// How long fusion sleeps at most until it looks for readings.
    pub idle_turn: Nanos,
    /// Sensors whose rate is known.
    pub sensors: Vec<SensorLoad>,
    pub windows: Vec<WindowLoad>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SensorLoad {
    pub name: String,
    pub rate: Hertz,
}

/// Windows with the work that each is. None is on the way of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLoad {
    pub name: String,
    /// From one result to the next.
    pub slide: Nanos,
    /// For each result, by one worker.
    pub work: Nanos,
    pub workers: u16,
    /// Elements a second, where nobody knows how many there will be.
    pub guessed: Option<f64>,
}

/// One thread, or one kind of window.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub name: String,
    pub work: Nanos,
    pub period: Nanos,
    pub workers: u16,
}

impl Load {
    fn stream(&self) -> Periodic {
        Periodic {
            items: 1,
            interval: self.period,
            work: self.work,
            workers: self.workers,
        }
    }

    /// Of 1; above, not everything can be done.
    pub fn utilisation(&self) -> f64 {
        self.stream().utilisation()
    }

    /// How many a second are done.
    pub fn gets_through(&self) -> f64 {
        self.stream().steady_rate()
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of work every {}",
            self.name,
            rounded(self.work),
            rounded(self.period)
        )?;
        if self.workers > 1 {
            write!(f, " for each of {} workers", self.workers)?;
        }
        match self.utilisation() * 100.0 {
            small if small > 0.0 && small < 1.0 => write!(f, ": utilisation below 1 %"),
            percent => write!(f, ": utilisation {percent:.0} %"),
        }
    }
}

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    pub loads: Vec<Load>,
    /// What a frame's age at its first action is made of, at worst.
    pub age: Vec<(&'static str, Nanos)>,
    pub goal: Nanos,
    pub memory_bytes: u64,
    /// What will go wrong, with the sum.
    pub warnings: Vec<String>,
    /// What would go wrong without end, so that no run is begun with it.
    pub refusals: Vec<Fault>,
}

/// Computes all of it.
pub fn check(way: &Way) -> Check {
    let mut check = Check {
        goal: way.goal,
        memory_bytes: way.frame_bytes * u64::from(way.slots),
        ..Check::default()
    };
    let overloaded = frames(way, &mut check);
    check.age.extend(waits(way, overloaded));
    check.age.push(("of work", way.work));
    check.age.push(("until the next beat", way.beat));
    if check.age_sum() > way.goal {
        let warning = format!(
            "{}: over the goal of {}",
            check.age_in_words(),
            rounded(way.goal)
        );
        check.warnings.push(warning);
    }
    way.sensors
        .iter()
        .for_each(|sensor| readings(way, sensor, &mut check));
    windows(way, &mut check);
    check
}

/// The thread that has the encoder. True if it cannot keep up.
fn frames(way: &Way, check: &mut Check) -> bool {
    let Some(period) = way.period else {
        return false;
    };
    let period = period * i64::from(way.frames.one_of);
    let name = match way.layout {
        Layout::Together | Layout::Auto => "capture + features + fusion",
        Layout::CaptureApart => "features + fusion",
        Layout::Apart => "features",
    };
    let load = Load {
        name: name.to_owned(),
        work: way.work,
        period,
        workers: way.workers,
    };
    let overloaded = load.utilisation() > 1.0;
    if overloaded {
        check.warnings.push(format!(
            "{load}, frames will be skipped: at most {} a second get through",
            whole(load.gets_through())
        ));
    }
    check.loads.push(load);
    overloaded
}

/// What a frame waits for before its work begins, where there is too much: as long as the link lets it.
fn waits(way: &Way, overloaded: bool) -> Option<(&'static str, Nanos)> {
    let period = way.period.filter(|_| overloaded)? * i64::from(way.frames.one_of);
    let room = i64::try_from(way.frames.room).unwrap_or(i64::MAX);
    Some(match way.frames.when_full {
        // Where the stages share a thread the source has the newest.
        _ if matches!(way.layout, Layout::Together | Layout::Auto) => {
            ("until it is taken or gives way to the next", period)
        }
        WhenFull::NewestOnly => ("until it is taken or gives way to the next", period),
        WhenFull::DropOldest => (
            "until it is taken or as many newer ones have come as there is room for",
            period * room,
        ),
        WhenFull::DropNewest | WhenFull::Block => (
            "until those that wait before it are done",
            Nanos(way.work.0.saturating_mul(room) / i64::from(way.workers)),
        ),
    })
}

/// Readings come while fusion sleeps or its thread has the encoder.
fn readings(way: &Way, sensor: &SensorLoad, check: &mut Check) {
    let away = match way.layout {
        Layout::Apart => way.idle_turn,
        _ => way.idle_turn.max(way.work),
    };
    let waiting = sensor.rate.get() * away.as_secs_f64();
    let room = count_f64(way.readings_room as u64);
    if waiting > room {
        check.warnings.push(format!(
            "{}: {} readings a second for the {} that fusion is away are {}, and {room} can wait: {} will be lost each time",
            sensor.name,
            sensor.rate.get(),
            rounded(away),
            waiting.ceil(),
            (waiting - room).ceil()
        ));
    }
}

fn windows(way: &Way, check: &mut Check) {
    for window in &way.windows {
        let load = Load {
            name: window.name.clone(),
            work: window.work,
            period: window.slide,
            workers: window.workers,
        };
        judge(load, window.guessed, check);
    }
    // One thread does the work of all that have one worker.
    let alone = || way.windows.iter().filter(|window| window.workers == 1);
    let share = |window: &WindowLoad| window.work.as_secs_f64() / window.slide.as_secs_f64();
    if alone().count() > 1 {
        let second = Nanos::from_secs(1);
        let load = Load {
            name: "all streams together".to_owned(),
            work: Nanos::from_secs_f64(alone().map(share).sum()),
            period: second,
            workers: 1,
        };
        let guessed = alone().find_map(|window| window.guessed);
        judge(load, guessed, check);
    }
}

/// Windows cannot be left out as frames can: work that is too much makes each result later than the one before.
fn judge(load: Load, guessed: Option<f64>, check: &mut Check) {
    let utilisation = load.utilisation();
    let guess = guessed.map_or_else(String::new, |rate| {
        format!(" (at a guess of {rate} elements a second: nothing says how many there will be)")
    });
    if utilisation > 1.0 {
        let refusal = cannot_keep_up(&load, &guess);
        if guessed.is_none() {
            check.refusals.push(refusal);
        } else {
            // A guess is no reason to refuse.
            check
                .warnings
                .push(format!("{}: {}", refusal.what, refusal.why));
        }
    } else if utilisation > NEARLY_ALL {
        check.warnings.push(format!(
            "{load}{guess}: whatever else runs there makes its results late"
        ));
    }
    check.loads.push(load);
}

fn cannot_keep_up(load: &Load, guess: &str) -> Fault {
    let per_second = Nanos::from_secs(1).0.div_euclid(load.period.0.max(1));
    let nth = u32::try_from(per_second.max(2)).unwrap_or(u32::MAX);
    let late = |item| rounded(load.stream().latency(item));
    let workers = ceil_div(load.work, load.period);
    Fault::new(
        Kind::Config,
        format!("{load}{guess}: it cannot keep up"),
        format!(
            "the first result is done {} after its window's end, result {nth} {} after, and so on without end",
            late(1),
            late(nth)
        ),
        format!(
            "use a slide of at least {}, a statistic that is less work, fewer streams, or {workers} workers where there \
             can be several",
            rounded(load.work)
        ),
    )
}

impl Check {
    /// How old a frame is at its first action, at worst.
    pub fn age_sum(&self) -> Nanos {
        let mut sum = Nanos::ZERO;
        self.age.iter().for_each(|(_, part)| sum += *part);
        sum
    }

    /// Why no run may begin with this.
    ///
    /// # Errors
    /// The first reason, with the sum.
    pub fn refuse(&self) -> Result<(), Fault> {
        self.refusals
            .first()
            .map_or(Ok(()), |fault| Err(fault.clone()))
    }

    fn age_in_words(&self) -> String {
        let parts: Vec<String> = self
            .age
            .iter()
            .map(|(what, part)| format!("{} {what}", rounded(*part)))
            .collect();
        format!(
            "camera to action: {} = {} at worst",
            parts.join(" + "),
            rounded(self.age_sum())
        )
    }

    pub fn json(&self) -> Json {
        let load = |load: &Load| {
            json!({
                "name": load.name,
                "work_ns": load.work.0,
                "period_ns": load.period.0,
                "workers": load.workers,
                "utilisation": load.utilisation(),
                "gets_through_per_second": load.gets_through(),
            })
        };
        let part = |(what, ns): &(&str, Nanos)| json!({"what": what, "ns": ns.0});
        json!({
            "schema": "reflexarc estimate of a configuration 1",
            "loads": self.loads.iter().map(load).collect::<Vec<_>>(),
            "age_at_worst": {
                "parts": self.age.iter().map(part).collect::<Vec<_>>(),
                "ns": self.age_sum().0,
                "goal_ns": self.goal.0,
            },
            "memory_bytes": self.memory_bytes,
            "warnings": self.warnings,
            "refusals": self.refusals.iter().map(|fault| &fault.what).collect::<Vec<_>>(),
        })
    }
}

/// A line each, as `reflexarc check` shows them.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for load in &self.loads {
            writeln!(f, "load:    {load}")?;
        }
        writeln!(
            f,
            "age:     {}, from the measured work; goal {}",
            self.age_in_words(),
            rounded(self.goal)
        )?;
        writeln!(f, "memory:  {} for frames", Value::Bytes(self.memory_bytes))?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "refused: {}: {}", refusal.what, refusal.why)?;
        }
        Ok(())
    }
}

/// Three digits are enough for what was measured.
fn rounded(time: Nanos) -> String {
    let mut unit = 1;
    while time.0 / unit >= 1_000 {
        unit *= 10;
    }
    let half = unit / 2;
    spell_time(Nanos((time.0 + half) / unit * unit))
}

fn whole(rate: f64) -> f64 {
    rate.floor()
}
