//! The kernel's hwlat tracer: gaps that no kernel makes, found with interrupts off.
//!
//! Syscalls: writes to tracefs, which are taken back at the end.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock;
use crate::units::Nanos;

const TRACING: &str = "/sys/kernel/tracing";

/// Lets the tracer run for this long. It holds a core for half of the time, with interrupts off.
pub fn longest_gap(time: Nanos) -> Result<Nanos, String> {
    let folder = Path::new(TRACING);
    let read =
        |file: &str| fs::read_to_string(folder.join(file)).map(|text| text.trim().to_owned());
    let known = read("available_tracers")
        .map_err(|error| format!("the tracers cannot be read: {error}"))?;
    if !known.split_whitespace().any(|tracer| tracer == "hwlat") {
        return Err("this kernel has no hwlat tracer".to_owned());
    }
    let before = read("current_tracer").map_err(|error| error.to_string())?;
    if before != "nop" {
        return Err(format!("the tracer {before} is in use"));
    }
    let result = run(folder, time);
    // Whatever happened, tracing ends as it was.
    let ended = fs::write(folder.join("current_tracer"), "nop");
    let text = result.and_then(|text| ended.map(|()| text));
    let text = text.map_err(|error| format!("the hwlat tracer: {error}"))?;
    let us: i64 = text
        .trim()
        .parse()
        .map_err(|_| format!("the hwlat tracer said {text}"))?;
    Ok(Nanos::from_micros(us))
}

fn run(folder: &Path, time: Nanos) -> io::Result<String> {
    fs::write(folder.join("current_tracer"), "hwlat")?;
    fs::write(folder.join("tracing_max_latency"), "0")?;
    clock::sleep_until(clock::now() + time);
    fs::read_to_string(folder.join("tracing_max_latency"))
}
