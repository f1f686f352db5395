//! Actions as datagrams to a Unix socket on this machine.
//!
//! Thread: action. Allocates: in `open`. Blocks: no (non-blocking socket). Locks: no. Syscalls: one `sendto` an
//! action.
//!
//! The socket is not connected: each datagram goes to the path, so a receiver that was restarted gets the next
//! action without anyone noticing.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use super::{Form, Pen, refusal};
use crate::action::{Action, Sink};
use crate::error::{Fault, Kind, Result, StepError};

#[derive(Debug)]
pub struct UnixSocket {
    socket: UnixDatagram,
    to: SocketAddr,
    path: PathBuf,
    pen: Pen,
}

impl UnixSocket {
    pub fn open(path: &Path, form: Form) -> Result<Self> {
        let to = SocketAddr::from_pathname(path).map_err(|e| {
            Fault::new(
                Kind::Config,
                format!("`{}` cannot be the path of a socket", path.display()),
                e.to_string(),
                "use a path of at most 107 bytes, such as /run/robot/actions.sock",
            )
        })?;
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            // Asks whether somebody receives there, without sending anything.
            UnixDatagram::unbound()?.connect_addr(&to)?;
            Ok(socket)
        };
        let socket = open().map_err(|e: std::io::Error| {
            Fault::from_io(
                format!("nobody receives at the socket {}", path.display()),
                &e,
                Kind::NoDevice,
                "start the program that receives the actions first; it binds a Unix datagram socket there",
            )
        })?;
        Ok(Self {
            socket,
            to,
            path: path.to_owned(),
            pen: Pen::new(form),
        })
    }
}

impl Sink for UnixSocket {
    fn describe(&self) -> String {
        format!("unix{} {}", self.pen.form.suffix(), self.path.display())
    }

    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        let datagram = self.pen.write(action);
        self.socket
            .send_to_addr(datagram, &self.to)
            .map(drop)
            .map_err(|e| refusal(&e))
    }
}
