//! The table of checks, a file for each kind. A check is a small function from what may be looked at to an outcome.

// The kernel itself: how it was built.
mod kernel;

// Isolation: what its arguments asked for, and what came of it.
mod isolation;

// The boot file: what the next boot will ask for.
mod boot;

// Scheduling classes, and what can refuse them.
mod scheduler;

// The limits of a process.
mod limits;

// Interrupts and their threads.
mod interrupts;

// Who else is on the cores of the way.
mod strangers;

// Clocks, idle states, heat, supply.
mod power;

// Which cores: online, clusters, sizes, siblings.
mod cores;

// Pages, swap, locks.
mod memory;

// Cameras.
mod camera;

// GPU and desktop.
mod gpu;

// The board, its system software, and what runs beside.
mod system;

// What only a measurement tells.
mod measured;

use crate::doctor::check::Check;

const TABLE: [&[Check]; 14] = [
    kernel::CHECKS,
    isolation::CHECKS,
    boot::CHECKS,
    scheduler::CHECKS,
    limits::CHECKS,
    interrupts::CHECKS,
    strangers::CHECKS,
    power::CHECKS,
    cores::CHECKS,
    memory::CHECKS,
    camera::CHECKS,
    gpu::CHECKS,
    system::CHECKS,
    measured::CHECKS,
];

/// All checks, by category and number.
pub fn all() -> Vec<Check> {
    let mut checks: Vec<Check> = TABLE.iter().flat_map(|part| part.iter().copied()).collect();
    checks.sort_by_key(|check| (check.category, check.id));
    checks
}
