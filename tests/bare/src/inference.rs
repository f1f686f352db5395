//! The kernels of inference, without the plans that use them.

#[path = "../../../src/inference/kernels/mod.rs"]
pub mod kernels;
