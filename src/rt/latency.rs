//! Keeps the processor's cores out of deep sleep while the run lasts.
//!
//! An idle core in a deep C-state needs 50 us and more to wake; `/dev/cpu_dma_latency` set to 0 keeps it
//! polling for as long as the file stays open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// Holds the promise of 0 us wake-up latency until dropped.
#[derive(Debug)]
pub struct AwakeCores(#[expect(dead_code, reason = "held open, never read")] File);

impl AwakeCores {
    pub fn hold() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .open("/dev/cpu_dma_latency")?;
        file.write_all(&0i32.to_ne_bytes())?;
        Ok(Self(file))
    }
}
