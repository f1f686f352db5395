//! Microphones through ALSA's own kernel interface: `/dev/snd/pcmC0D0c` and the requests of `<sound/asound.h>`.
//!
//! Rejected: the `alsa` crate, which binds libasound, a C library that would have to be there for each processor that the
//! binary is built for, with plugins and configuration files behind every name; and PipeWire, which is a daemon between
//! the microphone and this process with a clock and buffers of its own. What libasound would add here is conversion and
//! sharing: the first is done in [`samples`], and a microphone that the robot listens with is not shared.
//!
//! A sound server that holds the microphone has to let go of it: the error says who it is.

// The kernel's structs.
pub mod uapi;

// One open device and the requests that go through it.
pub mod pcm;

// What a device can do, and what is chosen of it.
pub mod negotiate;

// From the device's bytes to samples.
pub mod samples;

// When a sample was true.
pub mod stamps;

// Cards: who they are, where their nodes are.
pub mod card;

// A microphone that may be unplugged and come back.
pub mod device;

// What `reflexarc microphones` prints.
pub mod list;
