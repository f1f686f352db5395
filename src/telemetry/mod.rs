//! What is measured: samples from the way, histograms, the live table, the report.

/// The instants of one frame's way.
pub mod trace;
