//! The kernel's `<linux/videodev2.h>` as Rust declarations, generated once and kept.
//!
//! The `v4l` crate gets these from `v4l2-sys-mit`, which runs bindgen at every build and so needs
//! libclang on the user's machine. The header is kernel ABI: it only grows, and its layout is the same
//! on every 64-bit Linux. So the output is kept here and put in that crate's place by
//! `[patch.crates-io]`. It holds declarations only.
//!
//! Made by bindgen 0.65.1 from Linux 6.1's header:
//! `.allowlist_type("v4l2_.*|time_t").allowlist_var("(V4L2|VIDIOC)_.*|v4l2_.*").layout_tests(false)`

#![allow(warnings, clippy::all, clippy::pedantic, clippy::restriction)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("videodev2.rs was generated for 64-bit Linux (struct v4l2_buffer holds a timeval)");

include!("videodev2.rs");
