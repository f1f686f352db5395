//! One partition of a Kafka topic, followed from a thread of its own: every record once and in order, through lost
//! connections, changes of leader and a broker that is away.
//!
//! Spoken here are the four exchanges that following takes (versions, metadata, list offsets, fetch), each in a version that
//! brokers from 2.1 (2018) to 4 know, and record batches of format 2. The two clients in pure Rust were tried:
//! `rskafka` 0.6 brings an asynchronous runtime with threads of its own (80 packages), and `kafka-protocol` 0.18, which is the
//! protocol alone (83 000 generated lines), asks for as much memory as a length from the network says, which ends the process
//! when a broker, or what was taken for one, says a large one. Here lengths are checked before anything is taken, memory has a
//! bound, and there is nothing to build for another processor. Look again when groups, transactions or TLS are wanted.
//!
//! What is not done: TLS and passwords, consumer groups, committed offsets (a new run begins as [`config::Begin`] says),
//! transactions (records of those that were given up are heard too), snappy and zstd (such records are skipped, counted, said).
//!
//! Thread: one of housekeeping for each topic followed; never one of the way. Allocates, blocks: there.

// The address of a topic, and how it is followed.
pub mod config;

// Numbers and strings of the protocol.
pub mod fields;

// The four exchanges.
pub mod exchange;

// Records out of batches.
pub mod batch;

// Bytes to a broker and back, within a time.
mod connection;

// Where the next record is, and what happened to the log.
mod position;

// From broker to broker, record after record.
mod follower;

// What a person is told when it cannot be heard.
mod trouble;

pub use config::{Begin, KafkaConfig, TopicAddress, Wait};
pub use follower::{Event, Follower};
