//! `reflexarc doctor`: is this machine fit for bounded latencies, and if not, why, and what to do about it.
//!
//! Each check compares what was asked for with what is in effect, shows the files that it read, and says why it matters,
//! how to mend it and whether that needs a reboot. What could not be found out is *unknown*, and that is never a pass.
//! A check is a small function from files to an outcome; so it does the same on a captured tree of another
//! machine, which is how it is tested. `docs/doctor.md` is for people.
//!
//! Thread: main; not while a pipeline runs. Allocates: yes. Blocks: on the disk, and while it measures.

// Sets of cores in the kernel's forms.
pub mod cpus;

// The kernel's command line.
pub mod cmdline;

// Boot files: read, and what to write there.
pub mod boot_file;

// Threads of the machine.
pub mod process;

// What a check is.
pub mod check;

// What it may look at.
pub mod view;

// What can be tried.
pub mod live;

// One of those that takes some lines.
mod inversion;

// The table.
pub mod checks;

// All of them at once.
pub mod examination;

// The threads that measure.
pub(crate) mod probe;

// Gaps that the firmware makes.
mod hwlat;

// Frames of a camera.
mod frames;

// What they find.
pub mod measured;

// What a setting is written to.
pub mod place;

// Settings, made and taken back.
pub mod fix;

// What was changed.
pub mod undo;

// A machine's files for others to look at.
pub mod capture;

// What is private.
mod privacy;

// The form of a capture.
mod tar;

// For a terminal.
mod show;

// As data.
pub mod json;

// For the report of a run.
pub mod summary;

// The command.
pub mod command;
