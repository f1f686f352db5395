//! The files of the runtime that have `unsafe` in them and need nothing else: see `Cargo.toml`.

#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/frame.rs"]
pub mod frame;
#[path = "../../../src/link/mod.rs"]
pub mod link;
#[path = "../../../src/slot.rs"]
pub mod slot;
#[path = "../../../src/units.rs"]
pub mod units;

pub mod features;
pub mod inference;
pub mod rt;
