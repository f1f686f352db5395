//! Starting threads.

use std::io;
use std::thread::JoinHandle;

/// Starts a thread of the housekeeping side: normal scheduling class, on the housekeeping cores. It may
/// allocate, lock and block; it can never slow the way of a frame.
pub fn housekeeping<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}
