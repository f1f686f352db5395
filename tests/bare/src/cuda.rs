//! Of the GPU only what the preprocessing makes for it.

#[path = "../../../src/inference/cuda/tables.rs"]
pub mod tables;
