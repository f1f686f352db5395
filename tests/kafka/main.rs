//! Promises of Kafka as a source, against real brokers and outside producers (see `fetch.py`), and of its protocol's bytes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stop where they fail, and no thread of theirs is hot"
)]

// Brokers, producers, and what is heard.
mod brokers;

// Bytes of other programs, whole and damaged.
mod bytes;

// A topic through lost connections.
mod lost;

// A topic and what it says.
mod heard;

// A sensor, and the running binary.
mod run;

#[path = "../support/mod.rs"]
mod support;

#[global_allocator]
static ALLOCATOR: reflexarc::rt::memory::Ledgers = reflexarc::rt::memory::Ledgers;
