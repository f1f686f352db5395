//! What the frame sources promise: synthetic cameras and files.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

use reflexarc::rt::memory::Ledgers;

/// Counts allocations by thread.
#[global_allocator]
static ALLOCATOR: Ledgers = Ledgers;

mod sources {
    mod damage;
    mod file;
    mod footage;
    mod sealed;
    mod spec;
    mod synthetic;
}
