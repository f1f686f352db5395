//! The tests of the kernels alone: those of tests/encoder that need no tensor library.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]

#[path = "../encoder/kernels.rs"]
mod kernels;

#[path = "../encoder/layers.rs"]
mod layers;

#[path = "../encoder/seeded.rs"]
mod seeded;
