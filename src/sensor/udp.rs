//! Readings from UDP.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use super::config::SensorConfig;
use super::datagram::{DatagramSensor, Socket};
use crate::error::{Fault, Kind, Result};

impl Socket for UdpSocket {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        self.recv(into)
    }
}

pub fn open(
    address: &str,
    config: &SensorConfig,
    source_index: u8,
) -> Result<DatagramSensor<UdpSocket>> {
    let at = address
        .to_socket_addrs()
        .and_then(|mut found| found.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|e| {
            Fault::new(
                Kind::Config,
                format!("`{address}` is not an address that readings can be received at"),
                e.to_string(),
                "write an IP address of this machine, or 0.0.0.0 for all, and a port: udp:0.0.0.0:9100",
            )
        })?;
    Ok(DatagramSensor::new(
        format!("udp {at}"),
        config,
        source_index,
        move || bind(at),
    ))
}

fn bind(at: SocketAddr) -> Result<UdpSocket> {
    let open = || {
        let socket = UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|e: io::Error| {
        let what = format!("cannot receive readings at udp:{at}");
        match e.kind() {
            io::ErrorKind::AddrInUse => Fault::new(
                Kind::Busy,
                what,
                "another program receives at this port",
                format!(
                    "end it (`ss -ulpn 'sport = :{}'` names it) or use another port",
                    at.port()
                ),
            ),
            io::ErrorKind::AddrNotAvailable => Fault::new(
                Kind::Config,
                what,
                "this machine does not have that address",
                "use one that `ip address` lists, or 0.0.0.0 for all",
            ),
            _ => Fault::from_io(
                what,
                &e,
                Kind::NoDevice,
                "use a port from 1024 on, and an address that `ip address` lists",
            ),
        }
    })
}
