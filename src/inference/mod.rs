//! Inference on the processor at batch 1: a network is described once and runs on kernels of our own, on the calling
//! thread, without allocation; the same description runs on candle, as the reference.
//!
//! Chosen: a description of operations ([`network`]) that is compiled for one processor ([`plan`]), because the whole
//! of it is known before the first frame: scales can go into weights, weights can be packed once, activations and residuals
//! can be done where a sum is still near, and memory can be laid out. Rejected: candle alone (3 to 20 times slower at batch
//! 1, allocates and hops threads; see the README's numbers), and an engine behind a C interface (another allocator and
//! another thread pool, out of sight).

// A network, said once.
pub mod network;

// The description, compiled for this processor.
pub mod plan;

// The description on candle's tensors.
pub mod reference;

// The description, compiled for a GPU.
pub mod cuda;

// A network with what runs it, as a user chooses.
pub mod engine;

// Named tensors of a file, checked.
pub mod tensors;

// Weights of no training.
pub mod made_up;

// The inner loops, for each instruction set.
pub mod kernels;
