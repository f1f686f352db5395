//! The loop that receives readings, the same for both kinds of socket.
//!
//! Thread: the sensor's. Allocates: in `new` and `start`. Blocks: in `next`, until the deadline. Locks: no.
//! Syscalls: `recvfrom`, `ppoll`.

use std::io;
use std::os::fd::AsFd;

use super::config::SensorConfig;
use super::counters::SensorCounters;
use super::intake::Intake;
use super::{Reading, SensorSource, readable};
use crate::clock;
use crate::error::{Result, StepError};
use crate::rt::sync::Arc;
use crate::units::MonoTime;

/// BOUND: the longest compact datagram takes 88 bytes, the longest JSON of ours 1152; the rest is room for
/// members that a sender adds. What is longer is cut by the kernel, and refused as malformed.
pub const DATAGRAM_BYTES: usize = 4096;

/// A bound, non-blocking datagram socket.
pub trait Socket: AsFd + Send {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize>;
}

/// Readings from a socket that `bind` makes.
pub struct DatagramSensor<S> {
    name: String,
    bind: Box<dyn Fn() -> Result<S> + Send>,
    socket: Option<S>,
    intake: Intake,
    bytes: Box<[u8; DATAGRAM_BYTES]>,
}

impl<S: Socket> DatagramSensor<S> {
    pub fn new(
        name: String,
        config: &SensorConfig,
        source_index: u8,
        bind: impl Fn() -> Result<S> + Send + 'static,
    ) -> Self {
        Self {
            name,
            bind: Box::new(bind),
            socket: None,
            intake: Intake::new(config, source_index),
            bytes: Box::new([0; DATAGRAM_BYTES]),
        }
    }
}

impl<S: Socket> SensorSource for DatagramSensor<S> {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn start(&mut self) -> Result<()> {
        if self.socket.is_none() {
            self.socket = Some((self.bind)()?);
        }
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        let socket = self.socket.as_ref().ok_or(StepError::DeviceLost)?;
        // BOUND: ends at the deadline, also when a flood of rubbish arrives.
        loop {
            match socket.receive(&mut self.bytes[..]) {
                Ok(len) => {
                    let arrived = clock::now();
                    let reading = self.intake.take(&self.bytes[..len], arrived);
                    if reading.is_some() || arrived >= deadline {
                        return Ok(reading);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !readable::wait(socket.as_fd(), deadline) {
                        return Ok(None);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(StepError::DeviceLost),
            }
        }
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(self.intake.counters())
    }
}
