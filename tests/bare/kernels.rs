//! The tests of the kernels and of plans with partners: those of tests/encoder that need no tensor library.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]

#[path = "../encoder/bytes.rs"]
mod bytes;

#[path = "../encoder/halves.rs"]
mod halves;

#[path = "../encoder/kernels.rs"]
mod kernels;

#[path = "../encoder/layers.rs"]
mod layers;

#[path = "../encoder/made_up.rs"]
mod made_up;

#[path = "../encoder/partners.rs"]
mod partners;

#[path = "../encoder/rounded.rs"]
mod rounded;

#[path = "../encoder/seeded.rs"]
mod seeded;

#[path = "../encoder/winograd.rs"]
mod winograd;
