//! Recording a run, replaying it, and telling two runs apart.
//!
//! A recording holds what came in (pictures, readings, instructions), what went out (chunks, actions), and everything
//! that was decided by chance between them: which frames were taken, in which order fusion saw readings and frames, the
//! instants that the stages read from the clock, which chunk a beat took. So the same code, given the same bytes in the
//! same order with the same instants, must give the same actions to the last bit, and a replay checks that it does.
//! docs/recording.md documents every message.

// What a user says about it.
pub mod config;

// The hot ends.
pub mod tap;

// The container.
pub mod mcap;

// How a message's fields become bytes.
pub mod cdr;

// What each message looks like.
pub mod schema;

// Their topics.
pub mod topic;

// The messages.
pub mod message;

// From the taps to messages.
pub mod recorder;

// From messages to the file.
pub mod writer;

// A recording, read.
pub mod recorded;

// Whether two outputs are the same.
pub mod compare;

// From recorded pictures to feature maps.
pub mod encode;

// A recorded run, once more.
pub mod replay;

// What a replay computed, as a recording of its own.
pub mod output;

// How two recordings' actions differ.
pub mod diff;

// The commands.
pub mod command;

// From a recording that was cut off to one that is whole.
pub mod recover;
