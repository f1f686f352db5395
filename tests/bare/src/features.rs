//! The preprocessing.

pub use crate::frame::FrameView;

#[path = "../../../src/features/preprocess/mod.rs"]
pub mod preprocess;
