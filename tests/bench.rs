//! Promises of `reflexarc bench`: what it measures is what its logs say, what it changes it takes back, and it says what to
//! make of it.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "bench/beside.rs"]
mod beside;
