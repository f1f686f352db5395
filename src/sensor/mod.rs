//! Sensor readings at 100 Hz and more.

use crate::error::{Result, StepError};
use crate::units::MonoTime;

/// Values of one reading or action, at most.
pub const DOF_MAX: usize = 16;

/// One reading of a robot's joints or another sensor; fixed size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When the values were true (event time), on `CLOCK_MONOTONIC`.
    pub at: MonoTime,
    /// When it arrived in this process.
    pub arrived: MonoTime,
    /// The sender's counter.
    pub seq: u32,
    /// Index of the sensor in the configuration.
    pub source_index: u8,
    /// How many of `values` are used.
    pub len: u8,
    /// In the sensor's own unit (joints: radian).
    pub values: [f32; DOF_MAX],
}

impl Reading {
    pub fn values(&self) -> &[f32] {
        &self.values[..usize::from(self.len)]
    }
}

/// A stream of readings. `next` is called in a loop on the sensor's thread.
pub trait SensorSource: Send {
    /// One line for people: `udp 127.0.0.1:9100, 100 Hz`.
    fn describe(&self) -> String;

    /// Binds, opens, begins. Takes all its memory.
    fn start(&mut self) -> Result<()>;

    /// The next reading, waiting for it at most until `deadline`. None when the deadline passed or the
    /// recording has ended. The one call that may block; it neither allocates nor locks.
    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError>;
}
