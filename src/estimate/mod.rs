//! The batch-versus-stream model: how late, how many, how much memory; `reflexarc estimate`.
//!
//! n items arrive, each takes some work, one or several workers do it. A *batch* collects all items and then works; a
//! *stream* works on each item as it comes. The document that reflexarc was born from compares the two with formulas.
//! Here stand those formulas ([`document`]), the exact discrete model ([`queue`]), closed forms where there are any
//! ([`closed`]), and why the numbers differ ([`notes`]). All instants are whole nanoseconds after the start.
//!
//! Thread: main, before anything runs (and [`measure`], which starts threads of its own). Allocates: yes.

// When items come, and how much work they are.
pub mod arrivals;

// The exact recursion.
pub mod queue;

// What a passage of items through a queue amounts to.
pub mod account;

// Where there are formulas.
pub mod closed;

// Windows: waits, utilisation, backlog, empty ones.
pub mod window;

// What the document says.
pub mod document;

// Why it differs.
pub mod notes;

// A number of the document beside the exact one.
pub mod figure;

// Everything that a comparison depends on.
pub mod setting;

// Batch against stream for any setting.
pub mod compare;

// The document's own examples.
pub mod examples;

// As text and as data.
pub mod show;

// As a drawing.
pub mod plot;

// With real threads, a real link and the real clock.
pub mod measure;

// Those threads.
mod threads;

// Whether theory and measurement agree.
pub mod agreement;

// A user's own pipeline.
pub mod way;

// `reflexarc estimate`.
pub mod command;
