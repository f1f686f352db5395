//! The operators that look at one element at a time, and those that bring two streams together.

// Which elements go on, and as what.
pub mod pick;

// What depends on elements before.
pub mod scan;

// Fewer elements.
pub mod thin;

// In order of event time.
pub mod order;

// What was lost.
pub mod fill;

// Two streams into one.
pub mod merge;

// Pairs of two streams.
pub mod join;
