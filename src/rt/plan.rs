//! Which stage runs on which thread, and which thread on which core.
//!
//! Chosen: hand over between cores only where stages truly overlap. One thread that runs capture, features
//! and fusion to completion has the lowest overhead (no wake, no cold cache), and the driver keeps
//! filling its buffers meanwhile. That holds while the work fits well inside the frame period. When it does
//! not, the driver runs out of buffers and the frames that wait in it grow old; then capture gets a thread of
//! its own, drains the camera to the newest frame, and the features stage always starts on that one.
//! So the choice follows from two measured numbers: the encoder's warm-up time and the frame period.
//!
//! Rejected: a thread for every stage by default. Two wakes of an idle core cost more than fusion's work.
//! Look again when: a stage's work grows past a period (then pipelining two frames pays).
//!
//! Thread: main, before the start.

use std::fmt::Write as _;
use std::fs;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::error::{Fault, Kind, Result};
use crate::rt::choice::ThreadChoice;
use crate::rt::seat::{Seat, Waits};
use crate::rt::thread::{Class, ThreadSpec, allowed_cores};
use crate::units::Nanos;

pub use crate::rt::choice::WaitChoice;
pub use crate::rt::seat::{TIMED, TIMED_LEAD as WAKE_LEAD};

/// How capture, features and fusion share threads. The action stage always has its own: its clock must
/// beat while an encoder works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Chosen from the encoder's warm-up time and the frame period.
    #[default]
    Auto,
    /// capture + features + fusion on one thread.
    Together,
    /// capture | features + fusion.
    CaptureApart,
    /// capture | features | fusion.
    Apart,
}

/// `[threads]`: where stages run and how their threads wait.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThreadsConfig {
    /// `"auto"` (default), `"together"`, `"capture-apart"`, `"apart"`.
    pub layout: Layout,
    /// Cores for the way of a frame and the action clock. Default: the isolated cores, else the last two or three.
    #[serde(deserialize_with = "core_list")]
    pub cores: Option<Vec<usize>>,
    /// Cores for everything else. Default: the cores that the way does not use, else the first.
    #[serde(deserialize_with = "core_list")]
    pub housekeeping: Option<Vec<usize>>,
    /// Cores of the encoder's workers, in turn. Default: those of the way that have the least to do, beginning with that of
    /// features.
    #[serde(deserialize_with = "core_list")]
    pub worker_cores: Option<Vec<usize>>,
    /// Cores of the other cameras, in turn. Default: those of the way but that of features.
    #[serde(deserialize_with = "core_list")]
    pub camera_cores: Option<Vec<usize>>,
    /// `"auto"` (default: timed; the action clock sleeps where it shares a core with frames), `"park"`, `"timed"`,
    /// `"spin"` (needs a core for each thread of frames and one for the action clock).
    pub wait: WaitChoice,
    /// `SCHED_FIFO` priority of the action thread, 3..=99; the other threads of the way are below it. Default 80.
    pub priority: Priority,
    /// Of one thread: core, class, priority, wait. What is left out follows from the above.
    pub capture: ThreadChoice,
    pub features: ThreadChoice,
    pub fusion: ThreadChoice,
    pub action: ThreadChoice,
    pub sensor: ThreadChoice,
}

impl ThreadsConfig {
    /// What was fixed for single threads, with their names.
    pub fn choices(&self) -> [(&'static str, &ThreadChoice); 5] {
        [
            ("capture", &self.capture),
            ("features", &self.features),
            ("fusion", &self.fusion),
            ("action", &self.action),
            ("sensor", &self.sensor),
        ]
    }

    /// Refuses cores that the machine lacks or that this process may not use, and keys that cannot be together.
    pub fn check(&self, machine: &Machine) -> Result<()> {
        let list = |cores: &Option<Vec<usize>>| cores.clone().unwrap_or_default();
        let mut named = vec![
            ("threads.cores".to_owned(), list(&self.cores)),
            ("threads.housekeeping".to_owned(), list(&self.housekeeping)),
            ("threads.worker_cores".to_owned(), list(&self.worker_cores)),
            ("threads.camera_cores".to_owned(), list(&self.camera_cores)),
        ];
        for (name, choice) in self.choices() {
            choice.check(name)?;
            named.push((
                format!("threads.{name}.core"),
                choice.core.into_iter().collect(),
            ));
        }
        for (key, cores) in named {
            if let Some(core) = cores.iter().find(|core| !machine.cores.contains(core)) {
                return Err(Fault::new(
                    Kind::Config,
                    format!("{key} names core {core}"),
                    format!("this process may run on the cores {:?}", machine.cores),
                    "name some of those, or leave the key out: the plan then follows from the machine",
                ));
            }
        }
        Ok(())
    }
}

/// A list of cores: at least one, none twice.
fn core_list<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<usize>>, D::Error> {
    let cores = Vec::<usize>::deserialize(d)?;
    if cores.is_empty() {
        return Err(D::Error::custom(
            "a list of no cores: name at least one, or leave the key out",
        ));
    }
    let twice = cores
        .iter()
        .enumerate()
        .find(|(i, core)| cores[..*i].contains(core));
    if let Some((_, core)) = twice {
        return Err(D::Error::custom(format!("core {core} is named twice")));
    }
    Ok(Some(cores))
}

/// A `SCHED_FIFO` priority that leaves room below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "u8")]
pub struct Priority(u8);

impl Default for Priority {
    fn default() -> Self {
        Self(80)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;
    fn try_from(value: u8) -> Result<Self, String> {
        if (3..=99).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!(
                "priority {value} is outside 3..=99 (SCHED_FIFO has 1..=99; two threads run below this one)"
            ))
        }
    }
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Never `Auto`.
    pub layout: Layout,
    pub capture: ThreadSpec,
    /// Used unless the layout is `Together`.
    pub features: ThreadSpec,
    /// Used if the layout is `Apart`.
    pub fusion: ThreadSpec,
    pub action: ThreadSpec,
    pub sensor: ThreadSpec,
    /// Of the encoder, each a thread like `features`; empty if that is the only one.
    pub workers: Vec<ThreadSpec>,
    /// Of the cameras after the first: capture and features on one thread each.
    pub cameras: Vec<ThreadSpec>,
    /// Of the encoder: those of each worker one after the other.
    pub partners: Vec<ThreadSpec>,
    pub housekeeping: Vec<usize>,
    /// Why it is like this, for people.
    pub why: String,
}

/// What the plan is made from.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: Vec<usize>,
    /// Those that the kernel keeps free of other work.
    pub isolated: Vec<usize>,
}

impl Machine {
    pub fn detect() -> Self {
        let isolated = fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
        let mut cores = allowed_cores();
        let isolated = parse_core_list(&isolated);
        // The process's mask leaves isolated cores out, yet threads may be pinned to them.
        cores.extend(&isolated);
        cores.sort_unstable();
        cores.dedup();
        Self { cores, isolated }
    }
}

/// Reads the kernel's form of a core list: `0-3,8`.
pub fn parse_core_list(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last.min(first + 4096));
        }
    }
    cores
}

impl Plan {
    /// `fifo`: ask for `SCHED_FIFO`. `work` is the measured time from frame to chunk; `period` the time between frames, if the source must
    /// be drained at that rate (none for a file that waits to be read).
    pub fn new(
        config: &ThreadsConfig,
        fifo: bool,
        machine: &Machine,
        work: Nanos,
        period: Option<Nanos>,
    ) -> Self {
        let (layout, mut why) = choose_layout(config.layout, work, period);
        let (way, housekeeping) = choose_cores(config, machine, &mut why);
        let rt = config.priority.0;
        let planned = |from_end: usize| way[way.len().saturating_sub(1 + from_end)];
        let core = |choice: &ThreadChoice, from_end| choice.core.unwrap_or(planned(from_end));
        let frame_threads: usize = match layout {
            Layout::Together | Layout::Auto => 1,
            // Fusion shares capture's core: both mostly wait.
            Layout::CaptureApart | Layout::Apart => 2,
        };
        // Where the action clock has no core of its own it shares capture's: it needs some 10 us a beat. Capture comes
        // above features, so that a frame is taken from the driver while an encoder works on the same core.
        let together = layout == Layout::Together;
        let mut seats = [
            Seat::new(
                "capture",
                &config.capture,
                rt - 1,
                core(&config.capture, usize::from(!together)),
            ),
            Seat::new(
                "features",
                &config.features,
                rt - 2,
                core(&config.features, 0),
            ),
            Seat::new("fusion", &config.fusion, rt - 1, core(&config.fusion, 1)),
            Seat::new(
                "action",
                &config.action,
                rt,
                core(&config.action, frame_threads),
            ),
            Seat::new("sensor", &config.sensor, rt - 1, core(&config.sensor, 1)),
        ];
        seats[1].runs = matches!(layout, Layout::CaptureApart | Layout::Apart);
        seats[2].runs = layout == Layout::Apart;

        let waits = Waits::new(config.wait, &seats, &mut why);
        let specs: [ThreadSpec; 5] = std::array::from_fn(|at| {
            let seat = &seats[at];
            ThreadSpec {
                name: seat.name.to_owned(),
                class: seat.choice.class(seat.priority, fifo),
                cores: vec![seat.core],
                wait: waits.of(seat, &seats, &mut why),
            }
        });
        let [capture, features, fusion, action, sensor] = specs;
        Self {
            layout,
            capture,
            features,
            fusion,
            action,
            sensor,
            workers: Vec::new(),
            cameras: Vec::new(),
            partners: Vec::new(),
            housekeeping,
            why,
        }
    }

    /// The same with so many workers of the encoder, for which the layout must be `Apart`, and so many cameras after the
    /// first.
    pub fn scaled(
        mut self,
        config: &ThreadsConfig,
        machine: &Machine,
        workers: usize,
        cameras: usize,
    ) -> Self {
        let (mut way, _) = choose_cores(config, machine, &mut String::new());
        let features = self.features.cores[0];
        // The core of features first, then those beside it; that of the action clock, which beats on time, last.
        way.retain(|core| *core != features);
        way.sort_by_key(|core| *core == self.action.cores[0]);
        let beside = |named: &Option<Vec<usize>>| {
            let planned = if way.is_empty() {
                vec![features]
            } else {
                way.clone()
            };
            named.clone().unwrap_or(planned)
        };
        if workers > 1 {
            let planned = || [vec![features], beside(&None)].concat();
            let cores = config.worker_cores.clone().unwrap_or_else(planned);
            self.workers = self.several("features", workers, &cores, 0);
            if workers > cores.len() {
                let _ = writeln!(
                    self.why,
                    "workers: {workers} of the encoder on {} cores, so they take turns on them and gain nothing; name \
                     more in threads.worker_cores, or take fewer.",
                    cores.len()
                );
            }
        }
        // Below all that works on the first camera's frames.
        let cores = beside(&config.camera_cores);
        self.cameras = self.several("camera", cameras, &cores, 1);
        self.cameras
            .iter_mut()
            .zip(1..)
            .for_each(|(camera, number)| camera.name = format!("camera-{number}"));
        self
    }

    /// The same with partners of the encoder on these cores. Their class is that of the threads that they help: whoever waits
    /// for a partner waits for nothing that comes after it. On the core of the action clock, or of sensors, they come right
    /// after those, which work for microseconds.
    ///
    /// # Errors
    /// `Config` if the machine lacks a core, or another thread of the way has it that works for longer.
    pub fn with_partners(
        mut self,
        config: &ThreadsConfig,
        machine: &Machine,
        cores: &[usize],
        sensors: usize,
    ) -> Result<Self> {
        let refused = |core: usize, why: String, fix: &str| {
            let what = format!("encoder.partners names core {core}");
            Err(Fault::new(Kind::Config, what, why, fix))
        };
        for &core in cores {
            if !machine.cores.contains(&core) {
                return refused(
                    core,
                    format!("this process may run on the cores {:?}", machine.cores),
                    "name some of those, or leave the key out",
                );
            }
            let mut others = self.long_threads();
            if let Some(other) = others.find(|spec| spec.cores.contains(&core)) {
                return refused(
                    core,
                    format!(
                        "the thread `{}` runs on it, and one would keep the other waiting",
                        other.name
                    ),
                    "name a core where at most the action clock or sensors run, or give that thread another (threads.cores, threads.*.core)",
                );
            }
        }
        let class = |core: usize| {
            let brief = self.brief_threads(sensors);
            let on_it = brief.filter(|spec| spec.cores.contains(&core));
            on_it.fold(self.encoding().class, |class, spec| {
                class.at_most_below(spec.class)
            })
        };
        let partners = (0..).zip(cores);
        let partners = partners.map(|(index, &core): (usize, &usize)| ThreadSpec {
            name: format!("partner-{index}"),
            class: class(core),
            cores: vec![core],
            // A call comes with the next frame, so a spin before that would be for nothing.
            wait: Waits::SLEEP,
        });
        self.partners = partners.collect();
        let free = |core: &usize| !cores.contains(core);
        let rest: Vec<usize> = self.housekeeping.iter().copied().filter(free).collect();
        if !cores.is_empty() && config.housekeeping.is_none() && !rest.is_empty() {
            self.housekeeping = rest;
        }
        if let Some(core) = self.housekeeping.iter().find(|core| !free(core)) {
            let _ = writeln!(
                self.why,
                "partners: core {core} serves housekeeping too, which a partner keeps waiting while it works."
            );
        }
        Ok(self)
    }

    /// The thread that encodes the first camera's frames, or the first of them.
    fn encoding(&self) -> &ThreadSpec {
        match self.layout {
            Layout::Together | Layout::Auto => &self.capture,
            _ => self.workers.first().unwrap_or(&self.features),
        }
    }

    /// The threads of the way that work for microseconds whenever they run, with so many sensors.
    fn brief_threads(&self, sensors: usize) -> impl Iterator<Item = &ThreadSpec> {
        let sensor = (sensors > 0).then_some(&self.sensor);
        [&self.action].into_iter().chain(sensor)
    }

    /// The other threads of the way, without partners.
    fn long_threads(&self) -> impl Iterator<Item = &ThreadSpec> {
        let features = match self.layout {
            Layout::Together | Layout::Auto => None,
            _ => self.workers.is_empty().then_some(&self.features),
        };
        let fusion = (self.layout == Layout::Apart).then_some(&self.fusion);
        [&self.capture]
            .into_iter()
            .chain(features)
            .chain(fusion)
            .chain(&self.workers)
            .chain(&self.cameras)
    }

    fn several(&self, name: &str, count: usize, cores: &[usize], below: u8) -> Vec<ThreadSpec> {
        let class = match self.features.class {
            Class::Fifo(priority) => Class::Fifo(priority.saturating_sub(below).max(1)),
            Class::Normal => Class::Normal,
        };
        let spec = |(index, core): (usize, &usize)| ThreadSpec {
            name: format!("{name}-{index}"),
            class,
            cores: vec![*core],
            // They share their cores, and a spin would take them from one another.
            wait: Waits::PARK,
        };
        cores
            .iter()
            .cycle()
            .take(count)
            .enumerate()
            .map(spec)
            .collect()
    }
}

/// The cores of the way and those of housekeeping, as a plan takes them. Where cores are few they overlap.
pub fn cores(config: &ThreadsConfig, machine: &Machine) -> (Vec<usize>, Vec<usize>) {
    choose_cores(config, machine, &mut String::new())
}

fn choose_layout(asked: Layout, work: Nanos, period: Option<Nanos>) -> (Layout, String) {
    if asked != Layout::Auto {
        return (asked, "layout: as configured.\n".to_owned());
    }
    match period {
        Some(period) if work * 2 > period => (
            Layout::CaptureApart,
            format!(
                "layout: capture apart, since the work on a frame ({work}) is more than half of the frame period ({period}): the camera must be drained meanwhile.\n"
            ),
        ),
        Some(period) => (
            Layout::Together,
            format!(
                "layout: capture, features and fusion together on one thread, since the work on a frame ({work}) is less than half of the frame period ({period}): no hand-over, no wake.\n"
            ),
        ),
        None => (
            Layout::Together,
            "layout: together, since the source has no rate of its own.\n".to_owned(),
        ),
    }
}

fn choose_cores(
    config: &ThreadsConfig,
    machine: &Machine,
    why: &mut String,
) -> (Vec<usize>, Vec<usize>) {
    let way = config
        .cores
        .clone()
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| {
            if !machine.isolated.is_empty() {
                let _ = writeln!(
                    why,
                    "cores: the isolated cores {:?} for the way.",
                    machine.isolated
                );
                return machine.isolated.clone();
            }
            // 2 cores of 2 to 4, 3 of 6 and more: the rest serves the kernel, the world and the reports. Of 2 cores one is
            // the frames' alone; the action clock takes its few us a beat from housekeeping on the other, which it preempts.
            let count = (machine.cores.len() / 2)
                .clamp(2, 3)
                .min(machine.cores.len());
            let way = machine.cores[machine.cores.len() - count..].to_vec();
            let shared = match machine.cores.len() {
                1 => "; one core is shared by everything",
                2 => "; the action clock shares the first with housekeeping",
                _ => "",
            };
            let _ = writeln!(
                why,
                "cores: {way:?} of {:?} for the way (none is isolated){shared}.",
                machine.cores
            );
            way
        });
    let housekeeping = config
        .housekeeping
        .clone()
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| {
            let rest: Vec<usize> = machine
                .cores
                .iter()
                .copied()
                .filter(|c| !way.contains(c))
                .collect();
            if rest.is_empty() {
                machine.cores[..1].to_vec()
            } else {
                rest
            }
        });
    (way, housekeeping)
}
