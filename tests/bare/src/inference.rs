//! Inference, without what needs candle.

#[path = "../../../src/inference/kernels/mod.rs"]
pub mod kernels;
#[path = "../../../src/inference/network/mod.rs"]
pub mod network;
#[path = "../../../src/inference/plan/mod.rs"]
pub mod plan;

#[path = "cuda.rs"]
pub mod cuda;
