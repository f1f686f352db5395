//! What a check is, and what it can come to.

use serde::Serialize;

use crate::board::tree::Reading;
use crate::doctor::view::View;

/// How a check came out. What could not be found out is `Unknown`, and that is never a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pass,
    /// It costs latency, or is likely to.
    Warn,
    /// What was asked for does not hold, or latency cannot be bounded like this.
    Fail,
    Unknown,
    /// There is nothing here that the check is about.
    NotApplicable,
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Warn,
        Self::Fail,
        Self::Unknown,
        Self::NotApplicable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not applicable",
        }
    }

    /// Nothing is left to do.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Pass | Self::NotApplicable)
    }
}

/// Checks of one kind stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Kernel,
    Scheduler,
    Power,
    Memory,
    Camera,
    System,
    Measured,
}

impl Category {
    pub fn title(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Scheduler => "scheduler and interrupts",
            Self::Power => "processor and power",
            Self::Memory => "memory",
            Self::Camera => "camera and GPU",
            Self::System => "board and system",
            Self::Measured => "measured",
        }
    }
}

/// How a check finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It reads files, so a captured tree does as well as the machine.
    Passive,
    /// It tries something, for some milliseconds, on the machine itself.
    Active,
    /// It measures, for as long as `--measure` says.
    Measured,
}

impl Way {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Passive => "reads files",
            Self::Active => "tries it for a moment, on this machine only",
            Self::Measured => "measures, with --measure, on this machine only",
        }
    }
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// A letter for the category and a number: `K04`.
    pub id: &'static str,
    pub title: &'static str,
    pub category: Category,
    pub way: Way,
    /// Why it matters to a latency, for a person who may not know the words.
    pub why: &'static str,
    /// How sure the rule itself is: what it rests on, if that is not the kernel's own documentation or this
    /// project's measurements. Empty: it is one of those.
    pub rests_on: &'static str,
    pub look: fn(&View<'_>) -> Outcome,
}

impl Check {
    /// One that reads files.
    pub const fn new(
        category: Category,
        (id, title): (&'static str, &'static str),
        look: fn(&View<'_>) -> Outcome,
        why: &'static str,
        rests_on: &'static str,
    ) -> Self {
        Self {
            id,
            title,
            category,
            way: Way::Passive,
            why,
            rests_on,
            look,
        }
    }

    /// It tries something.
    pub const fn active(self) -> Self {
        Self {
            way: Way::Active,
            ..self
        }
    }

    /// It needs a measurement.
    pub const fn measured(self) -> Self {
        Self {
            way: Way::Measured,
            ..self
        }
    }
}

/// A file and what stands in it; or what was tried and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub path: String,
    pub content: String,
}

/// A setting that `--fix` makes. It takes effect at once and is gone after a reboot, but for files below `etc/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// From the root; or `systemd:UNIT`, whose values are `active` and `inactive`.
    pub path: String,
    pub value: String,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// For a person, as commands where there are some.
    pub do_this: String,
    /// What `--fix` sets.
    pub settings: Vec<Setting>,
    /// Kernel arguments to add.
    pub boot_arguments: Vec<String>,
    /// How it stays after a reboot; empty where it stays by itself, or cannot.
    pub to_stay: String,
    pub reboot: bool,
}

impl Fix {
    pub fn by_hand(do_this: impl Into<String>) -> Self {
        Self {
            do_this: do_this.into(),
            ..Self::default()
        }
    }

    pub fn with_reboot(mut self) -> Self {
        self.reboot = true;
        self
    }

    /// Kernel arguments, which need a reboot. `place` says where they are written.
    pub fn boot(arguments: Vec<String>, place: &str) -> Self {
        Self {
            do_this: format!(
                "add `{}` to the kernel's arguments ({place})",
                arguments.join(" ")
            ),
            boot_arguments: arguments,
            reboot: true,
            ..Self::default()
        }
    }

    /// Settings that `--fix` makes.
    pub fn set(settings: Vec<Setting>, to_stay: impl Into<String>) -> Self {
        // BOUND: of many alike (one a core) a person needs to see some.
        const SHOWN: usize = 4;
        let to_stay = to_stay.into();
        if settings.is_empty() {
            return Self::by_hand(to_stay);
        }
        let shown = settings.iter().take(SHOWN);
        let mut commands: Vec<String> = shown
            .map(|s| format!("echo {} > /{}", s.value, s.path))
            .collect();
        if settings.len() > SHOWN {
            commands.push(format!("and {} more like these", settings.len() - SHOWN));
        }
        Self {
            do_this: format!(
                "reflexarc doctor --fix, or as root: {}",
                commands.join("; ")
            ),
            settings,
            to_stay,
            ..Self::default()
        }
    }
}

impl Setting {
    pub fn new(path: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: value.into(),
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Status,
    /// What should be.
    pub requested: String,
    /// What is.
    pub effective: String,
    pub evidence: Vec<Evidence>,
    pub fix: Option<Fix>,
}

impl Outcome {
    pub fn new(status: Status, effective: impl Into<String>) -> Self {
        Self {
            status,
            requested: String::new(),
            effective: effective.into(),
            evidence: Vec::new(),
            fix: None,
        }
    }

    pub fn pass(effective: impl Into<String>) -> Self {
        Self::new(Status::Pass, effective)
    }

    pub fn warn(effective: impl Into<String>) -> Self {
        Self::new(Status::Warn, effective)
    }

    pub fn fail(effective: impl Into<String>) -> Self {
        Self::new(Status::Fail, effective)
    }

    /// `why` says what is missing.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::new(Status::Unknown, why)
    }

    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self::new(Status::NotApplicable, why)
    }

    pub fn requested(mut self, requested: impl Into<String>) -> Self {
        self.requested = requested.into();
        self
    }

    /// Adds a file that was read, or that was looked for in vain.
    pub fn seen(self, reading: &Reading<String>) -> Self {
        let content = match &reading.found {
            Ok(text) => shortened(text),
            Err(missing) => format!("({missing})"),
        };
        self.shown(reading.path.clone(), content)
    }

    /// Adds a piece of a file, or what was tried.
    pub fn shown(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.evidence.push(Evidence {
            path: path.into(),
            content: content.into(),
        });
        self
    }

    /// What to do about it. A check that passes has nothing to fix, and what is not known is not changed.
    pub fn fix(mut self, fix: Fix) -> Self {
        if matches!(self.status, Status::Warn | Status::Fail) {
            self.fix = Some(fix);
        }
        self
    }
}

/// As much of a file as a person reads.
fn shortened(text: &str) -> String {
    // BOUND: two lines of a terminal.
    const SHOWN: usize = 200;
    let line = text.replace(['\n', '\0'], " | ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
