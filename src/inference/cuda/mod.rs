//! Networks on an NVIDIA GPU at batch 1: the same description as everywhere, compiled at load into a fixed list of launches of
//! kernels of our own on buffers that do not move, captured once in a graph, and replayed for each frame.
//!
//! Chosen: the driver alone, opened when it is asked for, and kernels of our own in the binary (`kernels/`, 2.4 MB
//! for all architectures together). One binary then starts on every machine, says clearly what is missing where
//! there is no GPU, and needs nothing of NVIDIA's beside the driver. Rejected: cuBLAS and cuDNN (0.5 GB beside a binary of 10 MB, memory
//! and kernels of their own choosing inside a graph; at batch 1 the products are small, and what is won is fewer launches), and
//! candle's CUDA (links libcuda, libcublas, libcurand and libcudart: it does not start without a driver, so it cannot say
//! so; hundreds of launches and allocations a forward; no graph). candle stays what the results are checked against.
//!
//! All of it is compiled and tested in every build; the feature `cuda` puts the kernels into the binary, which needs nvcc.

// Where things are, and what is launched.
pub mod program;

// From a description to launches: what is joined,
pub mod compile;

// weights as they are read,
mod weights;

// and who has which memory when.
mod launches;

// A camera's frame as input: what its pixels are made of,
pub mod tables;

// and its launches.
mod camera;

// Numbers of 16 bits.
pub mod half;

// The kernels in this binary.
pub mod kernels;

// What is said to NVIDIA's driver.
mod driver;

// What a user says about the GPU.
pub mod config;

// A program on a device, frame after frame.
pub mod runner;

pub use program::Program;
