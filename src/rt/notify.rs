//! Tells the service manager how the run is: that it works, that it is alive, that it ends. The protocol is that of sd_notify(3);
//! whoever sets `NOTIFY_SOCKET` speaks it, systemd with `Type=notify` and `WatchdogSec=`.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: no, a datagram that cannot be sent at once is left out. Syscalls: `sendmsg`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::error::{Fault, Kind, Result};
use crate::units::{MonoTime, Nanos};

/// The line to the service manager; silent where there is none.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// Between two signs of life: half of what the watchdog allows, as sd_watchdog_enabled(3) advises.
    alive_every: Option<Nanos>,
    alive_next: MonoTime,
    ready: bool,
}

impl Notify {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    ///
    /// # Errors
    /// There is a socket's name and nothing can be sent there: then the manager would wait for a word in vain and kill the run.
    pub fn from_environment() -> Result<Self> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = connect(&name).map_err(|e| {
            Fault::from_io(
                format!("NOTIFY_SOCKET={} cannot be reached", name.display()),
                &e,
                Kind::Usage,
                "unset NOTIFY_SOCKET, or let the service manager set it (Type=notify)",
            )
        })?;
        let text = |name| std::env::var(name).ok();
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let allowed = text("WATCHDOG_USEC").and_then(|us| us.parse::<i64>().ok());
        let allowed = allowed.filter(|us| ours && *us > 0);
        Ok(Self {
            socket: Some(socket),
            alive_every: allowed.map(|us| Nanos(us.saturating_mul(500))),
            ..Self::default()
        })
    }

    /// Called by the supervisor as long as every thread comes around. `works` once a frame has gone the whole way.
    pub fn alive(&mut self, now: MonoTime, works: bool) {
        if works && !self.ready {
            self.ready = true;
            self.say("READY=1\nSTATUS=frames become actions");
        }
        if let Some(every) = self.alive_every
            && now >= self.alive_next
        {
            self.alive_next = now + every;
            self.say("WATCHDOG=1");
        }
    }

    /// The run ends by itself or was asked to.
    pub fn stopping(&self, why: &str) {
        self.say(&format!("STOPPING=1\nSTATUS=ended by {why}"));
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen finds out by its own time-outs.
            let _ = socket.send(text.as_bytes());
        }
    }
}

/// A path, or with `@` a name in the abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is neither a path nor a name with @",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
