//! A user's own pipeline before it runs: can its threads keep up, how old can a frame get, how much memory is it?
//!
//! The same model as everywhere here, fed with the encoder's measured work and the camera's period. What is measured is
//! the middle of a few warm runs on an idle machine; a slower step makes a frame later, and a run's report shows it.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::estimate::closed::Periodic;
use crate::estimate::figure::{Value, count_f64, spell_time};
use crate::estimate::window::Window;
use crate::rt::plan::Layout;
use crate::units::{Hertz, Nanos};

/// What the check depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// Between frames; none if the source waits until it is read.
    pub period: Option<Nanos>,
    /// From a frame to its feature map.
    pub work: Nanos,
    /// Which stages share a thread; not `Auto`.
    pub layout: Layout,
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

/// Windows with the work that each is.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLoad {
    pub name: String,
    pub window: Window,
    pub work: Nanos,
    pub workers: u16,
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
        write!(f, ": utilisation {:.0} %", self.utilisation() * 100.0)
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
    way.windows
        .iter()
        .for_each(|window| windows(way, window, &mut check));
    check
}

/// The thread that has the encoder. True if it cannot keep up.
fn frames(way: &Way, check: &mut Check) -> bool {
    let Some(period) = way.period else {
        return false;
    };
    let name = match way.layout {
        Layout::Together | Layout::Auto => "capture + features + fusion",
        Layout::CaptureApart => "features + fusion",
        Layout::Apart => "features",
    };
    let load = Load {
        name: name.to_owned(),
        work: way.work,
        period,
        workers: 1,
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

/// What a frame waits for before its work begins. The source and the link have the newest, so that a frame is taken or
/// gives way within a period.
fn waits(way: &Way, overloaded: bool) -> Option<(&'static str, Nanos)> {
    let period = way.period.filter(|_| overloaded)?;
    Some(("until it is taken or gives way to the next", period))
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

fn windows(way: &Way, window: &WindowLoad, check: &mut Check) {
    let load = Load {
        name: window.name.clone(),
        work: window.work,
        period: window.window.slide(),
        workers: window.workers,
    };
    let wait = window.window.longest_wait();
    if load.utilisation() > 1.0 {
        let later = (load.work - load.period * i64::from(load.workers)).0 / i64::from(load.workers);
        check.warnings.push(format!(
            "{load}: each window is {} later than the one before, for ever; take {} workers, less work, or a longer slide",
            rounded(Nanos(later)),
            crate::estimate::closed::ceil_div(load.work, load.period)
        ));
    } else if wait + load.work > way.goal {
        check.warnings.push(format!(
            "{}: {} until a window is complete and {} of work are {}: over the goal of {}",
            load.name,
            rounded(wait),
            rounded(load.work),
            rounded(wait + load.work),
            rounded(way.goal)
        ));
    }
    check.loads.push(load);
}

impl Check {
    /// How old a frame is at its first action, at worst.
    pub fn age_sum(&self) -> Nanos {
        let mut sum = Nanos::ZERO;
        self.age.iter().for_each(|(_, part)| sum += *part);
        sum
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
