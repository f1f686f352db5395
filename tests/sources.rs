//! What the frame sources promise: synthetic cameras and files.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod sources {
    mod damage;
    mod file;
    mod footage;
    mod spec;
    mod synthetic;
}
