//! How each thread of a plan waits, from its core and from who shares it.
//!
//! Thread: main, before the start.

use std::fmt::Write as _;

use crate::rt::choice::{ThreadChoice, WaitChoice};
use crate::rt::wait::WaitPolicy;
use crate::units::Nanos;

/// Spin before parking: a hand-over that comes within this time costs no system call.
const PARK_SPIN: Nanos = Nanos::from_micros(20);
/// How early a timed wait wakes: above the 20-50 us that an idle core needs to wake (150 us at times in a virtual
/// machine), and what touching the memory of the next step takes. At 30 frames a second it is 1 % of a core.
pub const TIMED_LEAD: Nanos = Nanos::from_micros(250);
/// How long a timed wait spins past the expected instant: the jitter of a camera's frames.
const TIMED_LATE: Nanos = Nanos::from_micros(300);

/// The timed wait of a run.
pub const TIMED: WaitPolicy = WaitPolicy::Timed {
    lead: TIMED_LEAD,
    late: TIMED_LATE,
};

/// A thread's place, before it is known how it waits.
pub(super) struct Seat<'a> {
    pub name: &'static str,
    pub choice: &'a ThreadChoice,
    /// Unless the choice has its own.
    pub priority: u8,
    pub core: usize,
    /// The layout has this thread.
    pub runs: bool,
}

impl<'a> Seat<'a> {
    pub fn new(name: &'static str, choice: &'a ThreadChoice, priority: u8, core: usize) -> Self {
        Self {
            name,
            choice,
            priority,
            core,
            runs: true,
        }
    }
}

/// How threads wait that have no choice of their own.
pub(super) struct Waits {
    frame: WaitPolicy,
    beat: WaitPolicy,
}

impl Waits {
    pub(super) const PARK: WaitPolicy = WaitPolicy::Park { spin: PARK_SPIN };
    pub(super) const SLEEP: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };
    const TIMED: WaitPolicy = TIMED;

    pub fn new(wait: WaitChoice, seats: &[Seat<'_>; 5], why: &mut String) -> Self {
        let [capture, features, fusion, action, _] = seats;
        let beat_shares_core = [capture, features, fusion]
            .iter()
            .any(|seat| seat.runs && seat.core == action.core);
        let (frame, beat) = match wait {
            // A spin before each beat would keep a frame waiting that comes just then.
            WaitChoice::Auto if beat_shares_core => (Self::TIMED, Self::SLEEP),
            WaitChoice::Auto | WaitChoice::Timed => (Self::TIMED, Self::TIMED),
            WaitChoice::Park => (Self::PARK, Self::SLEEP),
            WaitChoice::Spin if !beat_shares_core => (WaitPolicy::Spin, Self::TIMED),
            WaitChoice::Spin => {
                let _ = writeln!(
                    why,
                    "wait: too few cores for the way, so spinning would starve its other threads; timed instead."
                );
                (Self::TIMED, Self::SLEEP)
            }
        };
        Self { frame, beat }
    }

    pub fn of(&self, seat: &Seat<'_>, seats: &[Seat<'_>; 5], why: &mut String) -> WaitPolicy {
        let planned = match seat.name {
            "action" => self.beat,
            "sensor" => Self::PARK,
            _ => self.frame,
        };
        match seat.choice.wait.unwrap_or_default() {
            WaitChoice::Auto => planned,
            WaitChoice::Park if seat.name == "action" => Self::SLEEP,
            WaitChoice::Park => Self::PARK,
            WaitChoice::Timed => Self::TIMED,
            WaitChoice::Spin => {
                let others = seats.iter().filter(|other| other.name != seat.name);
                let shares = others.filter(|other| other.runs && other.core == seat.core);
                let names: Vec<&str> = shares.map(|other| other.name).collect();
                if names.is_empty() || !seat.runs {
                    return WaitPolicy::Spin;
                }
                let _ = writeln!(
                    why,
                    "wait: {} shares core {} with {}, so spinning would starve them; timed instead.",
                    seat.name,
                    seat.core,
                    names.join(" and "),
                );
                Self::TIMED
            }
        }
    }
}
