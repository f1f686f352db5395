//! Readings from a Unix datagram socket on this machine.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::config::SensorConfig;
use super::datagram::{DatagramSensor, Socket};
use crate::error::{Fault, Kind, Result};

/// A bound socket; its file goes with it.
pub struct BoundSocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // If somebody has removed it already, all is well.
        let _ = fs::remove_file(&self.path);
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket for BoundSocket {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(into)
    }
}

pub fn open(path: &Path, config: &SensorConfig, source_index: u8) -> DatagramSensor<BoundSocket> {
    let path = path.to_owned();
    let name = format!("unix {}", path.display());
    DatagramSensor::new(name, config, source_index, move || bind(&path))
}

fn bind(path: &Path) -> Result<BoundSocket> {
    make_room(path)?;
    let open = || {
        let socket = UnixDatagram::bind(path)?;
        let bound = BoundSocket {
            socket,
            path: path.to_owned(),
        };
        bound.socket.set_nonblocking(true)?;
        Ok(bound)
    };
    open().map_err(|e| {
        let fix = "use a path of at most 107 bytes in a folder that exists and may be written to";
        let what = format!("cannot make the socket {}", path.display());
        Fault::from_io(what, &e, Kind::Config, fix)
    })
}

/// Removes a socket that a dead process left behind; anything else that stands there stays.
fn make_room(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let name = path.display();
    if !metadata.file_type().is_socket() {
        return Err(Fault::new(
            Kind::Config,
            format!("cannot make the socket {name}"),
            "a file that is not a socket stands there",
            "use another path, or remove the file if nobody needs it",
        ));
    }
    let probe = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    match probe {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            // Binding reports what is wrong if this does not help.
            let _ = fs::remove_file(path);
            Ok(())
        }
        Ok(()) => Err(Fault::new(
            Kind::Busy,
            format!("cannot make the socket {name}"),
            "another program receives there",
            format!("end it (`ss -xlp src {name}` names it) or use another path"),
        )),
        Err(_) => Ok(()),
    }
}
