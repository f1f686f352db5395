//! Promises of the stream engine: what operators give, how far time has come, and what several streams said at an instant.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

mod align;
mod asof;
mod audit;
mod configured;
mod joined;
mod loss;
mod made;
mod operators;
mod recorded;
mod sealed;
mod time;
mod windows;

use reflexarc::rt::memory::Ledgers;

#[global_allocator]
static ALLOCATOR: Ledgers = Ledgers;
