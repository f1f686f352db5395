//! Where the joints are before the first command: the player starts from the first reading of the sensor that
//! reports them, so that a robot is never told to be where it is not.
//!
//! Thread: main, before the threads of the way begin. Allocates: no, but for a fault. Blocks: until the reading
//! comes, the time is over or a signal asks for the end. Locks: no. Syscalls: the sensor's.

use crate::action::player::Player;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::rt::signal;
use crate::sensor::{Reading, SensorSource};
use crate::units::Nanos;

/// How often a wait looks whether a signal came.
const TURN: Nanos = Nanos::from_millis(50);

/// Waits for the first reading of the first sensor, if the player waits for one, and starts the player there.
/// The reading is given back, since it counts as any other. The sensors must have been started.
///
/// # Errors
/// No reading in time ([`Kind::NoDevice`]); one that has too few values, or lies outside the limits.
pub fn from_first_reading(
    player: &mut Player,
    sensors: &mut [Box<dyn SensorSource>],
) -> Result<Option<Reading>> {
    let Some(within) = player.awaits_start() else {
        return Ok(None);
    };
    let Some(sensor) = sensors.first_mut() else {
        return Err(nothing("there is no sensor"));
    };
    let begin = clock::now();
    // BOUND: `within`, which the configuration limits to an hour.
    loop {
        let now = clock::now();
        if now >= begin + within {
            return Err(nothing(&silence(&**sensor, within)));
        }
        if signal::came() {
            return Err(nothing("the run was ended by a signal before one came"));
        }
        let deadline = (now + TURN).min(begin + within);
        match sensor.next(deadline) {
            Ok(Some(reading)) => {
                player.start_at(reading.values())?;
                return Ok(Some(reading));
            }
            Ok(None) => {}
            // It may come back until the time is over.
            Err(_) => clock::sleep_until(deadline),
        }
    }
}

fn nothing(why: &str) -> Fault {
    Fault::new(
        Kind::NoDevice,
        "nothing was commanded: no reading said where the joints are",
        why,
        "start what sends the joint positions (the first [[sensor]]), raise action.start_within, or write where \
         the joints are into action.start",
    )
}

fn silence(sensor: &dyn SensorSource, within: Nanos) -> String {
    let name = sensor.describe();
    match sensor.counters().map(|count| count.received.get()) {
        Some(refused) if refused > 0 => {
            format!("in {within} {refused} readings came to {name}, and none could be used")
        }
        _ => format!("nothing came from {name} in {within}"),
    }
}
