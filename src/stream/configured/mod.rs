//! `[[stream]]`: streams that a user asks for in the configuration, over what the run tells of itself.
//!
//! They run on the housekeeping side, on the records that the threads of the way leave behind, and can never slow it.
//!
//! | port | an element is | its time | fields |
//! |---|---|---|---|
//! | `sensor-N` | a reading | when its values were true | `v0` to `v15`, `speed0` to `speed15` (their change a second), `speed` (the mean of the absolute speeds), `age_ms` |
//! | `frame` | a frame whose first action was written | its capture | `total_ms`, `features_ms`, `fusion_ms` |
//! | `action` | a beat of the action clock | when it was due | `age_ms`, `jitter_ms`, `rung` (0 fresh, 1 tail, 2 hold, 3 stop), `missed` |
//! | `policy` | a change of what the policy says of itself | when it said so | `confidence`, `match_score`, `object`, `phase`, `offset_x`, `offset_y` |
//! | `instruction` | an instruction that was understood | when it was received | `id`, `encode_ms` |
//!
//! Thread: main. Allocates: when built. Blocks: no. Locks: no.

// What there is to ask for.
pub mod port;

// From the records of a run to elements.
pub mod tap;

// `speed > 0.5`.
pub mod condition;

// What a user writes.
pub mod config;

// What is said.
mod results;

// At work.
pub mod running;

// What its work is, before it runs.
pub mod load;
