//! What a person may fix about one thread of the way: core, class, priority, waiting. What is left out follows
//! from the plan.
//!
//! Thread: main, before the start.

use crate::error::{Fault, Kind, Result};
use crate::rt::thread::Class;

/// `[threads.capture]`, `[threads.features]`, `[threads.fusion]`, `[threads.action]`, `[threads.sensor]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThreadChoice {
    /// The one core that the thread runs on. Default: as `threads.cores` and the layout say.
    pub core: Option<usize>,
    /// `"fifo"` or `"normal"`. Default: fifo, if `real_time.fifo` is true.
    pub class: Option<ClassChoice>,
    /// `SCHED_FIFO` priority, 1..=99. Default: follows from `threads.priority`.
    pub priority: Option<FifoPriority>,
    /// As `threads.wait`, for this thread. `"spin"` needs a core that no other thread of the way has.
    pub wait: Option<WaitChoice>,
}

impl ThreadChoice {
    /// Refuses keys that cannot be together; `name` is the thread's, for the message.
    pub fn check(&self, name: &str) -> Result<()> {
        if self.class == Some(ClassChoice::Normal) && self.priority.is_some() {
            return Err(Fault::new(
                Kind::Config,
                format!("threads.{name}.priority stands beside class = \"normal\""),
                "a normal thread has no real-time priority",
                "remove one of the two keys",
            ));
        }
        Ok(())
    }

    /// The class to ask the kernel for. `fifo`: real-time priorities are wanted at all.
    pub(super) fn class(&self, planned: u8, fifo: bool) -> Class {
        if !fifo || self.class == Some(ClassChoice::Normal) {
            return Class::Normal;
        }
        Class::Fifo(self.priority.map_or(planned, |priority| priority.0))
    }
}

/// A scheduling class as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassChoice {
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_OTHER`.
    Normal,
}

/// How a thread of the way waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitChoice {
    #[default]
    Auto,
    Park,
    Timed,
    Spin,
}

/// A `SCHED_FIFO` priority of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "u8")]
pub struct FifoPriority(pub(super) u8);

impl FifoPriority {
    pub fn value(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for FifoPriority {
    type Error = String;
    fn try_from(value: u8) -> Result<Self, String> {
        if (1..=99).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!(
                "priority {value} is outside 1..=99, which SCHED_FIFO has"
            ))
        }
    }
}
