//! A small stream engine: event time, bounds, operators, windows, alignment, loss.
//!
//! The words: an *element* is a fixed-size record with the instant at which it was true (its event time). A *bound* is a
//! promise: no element before this instant comes any more. Elements and bounds travel together as *events*; an operator
//! is a function from events to events that may keep a fixed amount of state. Whatever depends on a clock (a source that
//! fell silent, a deadline) enters as an event, so the same events give the same results on any machine at any speed.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

// What travels.
pub mod element;

// From events to events.
pub mod operator;

// One stream at a time, and two together.
pub mod operators;

// How far time has come in one source.
pub mod time;

// Many elements as one result.
pub mod aggregate;

// Which elements belong together, and when there is a result.
pub mod window;

// What several streams said at one instant.
pub mod align;

// State that outlives its process.
pub mod kept;

// One description, read from left to right.
pub mod builder;

// Streams that the configuration asks for.
pub mod configured;
