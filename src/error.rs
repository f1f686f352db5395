//! Errors that explain themselves: what happened, why, and how to fix it.
//!
//! Two kinds. A [`Fault`] ends a command or refuses to start: it carries text and an exit code. A
//! [`StepError`] happens on the way of a frame: it is `Copy`, it is counted, and it never carries text.

use std::fmt;

/// Why the process ends; each kind has its own exit code, so scripts can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The run finished but missed its goals.
    GoalsMissed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration file is wrong.
    Config = 3,
    /// No such camera or device.
    NoDevice = 4,
    /// The device is in use.
    Busy = 5,
    /// The device or file has a format that cannot be used.
    Unsupported = 6,
    /// Not allowed.
    Permission = 7,
    /// An input file is missing, truncated or damaged.
    BadInput = 8,
    /// A model file is missing, damaged or of the wrong shape.
    Model = 9,
    /// A tool that is needed (pip, ffmpeg) is missing or failed.
    Tool = 10,
    /// The network or a package index could not be reached.
    Network = 11,
    /// The report or another output could not be written.
    Output = 12,
    /// `--strict-rt` was asked for and the kernel did not grant it.
    RealTime = 13,
    /// The camera or another source was lost during the run.
    Lost = 14,
    /// A check of `doctor` fails, or a setting could not be made.
    CheckFailed = 15,
    /// `doctor --strict`: none fails, and not all pass.
    CheckNotPassed = 16,
    /// `bench --compare`: a number got worse.
    Worse = 17,
    /// `replay` or `diff`: the actions are not the same.
    Differs = 18,
    /// A bug in reflexarc.
    Internal = 70,
}

impl Kind {
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// An error for a person: what, why, fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub what: String,
    pub why: String,
    pub fix: String,
}

pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    pub fn new(
        kind: Kind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
        }
    }

    /// A fault of the operating system, with a kind that follows from the error.
    pub fn from_io(
        what: impl Into<String>,
        error: &std::io::Error,
        fallback: Kind,
        fix: impl Into<String>,
    ) -> Self {
        use std::io::ErrorKind as E;
        let kind = match (error.kind(), error.raw_os_error()) {
            (E::PermissionDenied, _) => Kind::Permission,
            (_, Some(libc::EBUSY)) => Kind::Busy,
            (_, Some(libc::ENODEV | libc::ENXIO)) => Kind::NoDevice,
            _ => fallback,
        };
        Self::new(kind, what, error.to_string(), fix)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "error: {}\n  why: {}\n  fix: {}",
            self.what, self.why, self.fix
        )
    }
}

impl std::error::Error for Fault {}

/// What can go wrong on the way of a frame. Counted by kind, never formatted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// The frame's bytes could not be read as its format says (short, damaged JPEG).
    BadFrame,
    /// The model produced a value that is not finite.
    NotFinite,
    /// The model or the policy failed.
    Compute,
    /// The device is gone or refuses to go on.
    DeviceLost,
    /// A sink or socket did not take the bytes at once.
    WouldBlock,
    /// A value is out of its range.
    OutOfRange,
    /// A device did not give its result by the deadline.
    Late,
}
