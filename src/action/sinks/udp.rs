//! Actions as UDP datagrams.
//!
//! Thread: action. Allocates: in `open`. Blocks: no (non-blocking socket). Locks: no. Syscalls: `sendto`, at
//! most two an action.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use super::{Form, Pen, refusal};
use crate::action::{Action, Sink};
use crate::error::{Fault, Kind, Result, StepError};

#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    to: SocketAddr,
    pen: Pen,
}

impl Udp {
    pub fn open(address: &str, form: Form) -> Result<Self> {
        let to = address
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|e| {
                Fault::new(
                    Kind::Config,
                    format!("`{address}` is not an address that actions can be sent to"),
                    e.to_string(),
                    "write an IP address or a host name that resolves, and a port: udp:127.0.0.1:9000",
                )
            })?;
        let any = match to {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any)
            .and_then(|socket| {
                socket.connect(to)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            })
            .map_err(|e| {
                Fault::from_io(
                    format!("no UDP socket towards {to}"),
                    &e,
                    Kind::NoDevice,
                    "check the network with `ip route get`, or send to an address of this machine",
                )
            })?;
        Ok(Self {
            socket,
            to,
            pen: Pen::new(form),
        })
    }
}

impl Sink for Udp {
    fn describe(&self) -> String {
        format!("udp{} {}", self.pen.form.suffix(), self.to)
    }

    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        let datagram = self.pen.write(action);
        match self.socket.send(datagram) {
            // This is the answer to an earlier datagram (nobody listened then); the kernel has not sent
            // the present one yet, so it is sent once more.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(datagram),
            result => result,
        }
        .map(drop)
        .map_err(|e| refusal(&e))
    }
}
