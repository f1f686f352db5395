//! Whether two configurations mean the same by a state.
//!
//! Thread: main. Allocates: yes. Blocks: no. Locks: no. Syscalls: none.

use sha2::{Digest, Sha256};

use crate::config::Config;

/// The first 64 bits of a SHA-256 of the sections that give a state its meaning: cameras' sources, encoder, policy, sensors,
/// align and action. Goals, threads, sinks and words may change without harm. Another version of this program may see
/// another graph in the same file; the state is then begun cold.
pub fn of(config: &Config) -> u64 {
    let Config {
        encoder,
        policy,
        sensor,
        align,
        action,
        ..
    } = config;
    let sources: Vec<_> = config.cameras().map(|camera| &camera.source).collect();
    let meaning = format!("{sources:?}{encoder:?}{policy:?}{sensor:?}{align:?}{action:?}");
    let digest = Sha256::digest(meaning.as_bytes());
    let (first, _) = digest.split_at(8);
    u64::from_le_bytes(first.try_into().expect("a SHA-256 has 32 bytes"))
}
