#![doc = include_str!("schema.md")]

// Every field of `report.json`.
pub mod data;

// The part of it that configured streams have said.
pub mod streams;

// The part of it that the player and the sensors count.
pub mod counts;

// From measurements and facts to a report.
pub mod assemble;

// The folder, whole or not at all.
pub mod folder;

// The page.
pub mod html;

// The page's tables.
pub(crate) mod tables;

// The page's plots.
pub(crate) mod plot;

// Axes of plots.
pub(crate) mod axis;

// Logs for the HdrHistogram tools.
pub mod hlog;

// In the terminal, and read back.
pub mod text;

// Wall-clock times.
pub mod utc;

pub use assemble::Facts;
pub use counts::{PlayerReport, SensorReport};
pub use data::{LinkReport, Report, RunInfo, SourceReport, ThreadReport, Verdict};
pub use folder::{Place, ReportFolder};
pub use text::render;
