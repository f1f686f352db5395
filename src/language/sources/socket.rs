//! A Unix stream socket: each line that a client sends is an instruction, and each gets one line back.
//!
//! Only this user may connect (mode 0600). A socket file that a killed process left is replaced; one that
//! somebody listens on is not. A client that does not read its answers is dropped, so none can hold up another.
//!
//! Thread: language. Blocks: no. Memory: bounded by clients times line length.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::lines::{Line, Lines, READ_BYTES_MAX};
use crate::clock;
use crate::error::{Fault, Kind, Result};

/// Clients at a time. A person or two and some scripts; more is a client that forgets to close.
pub const CLIENTS_MAX: usize = 16;

/// A listening socket and its clients.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Of the socket file, so that only our own is removed.
    inode: u64,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    lines: Lines,
    /// It will send no more; it goes when its last line is answered.
    ended: bool,
    /// It did not take an answer, or its connection broke.
    lost: bool,
}

impl Socket {
    /// Makes the socket file and listens.
    ///
    /// # Errors
    /// [`Kind::Busy`] if another process listens there, [`Kind::Permission`], or [`Kind::Config`] if the path
    /// cannot be a socket's.
    pub fn open(path: &Path) -> Result<Self> {
        check_free(path)?;
        let make = || -> io::Result<(UnixListener, u64)> {
            // Binding checks only the short name; nobody could connect to a long one.
            SocketAddr::from_pathname(path)?;
            let unnamed = beside(path);
            let listener = UnixListener::bind(&unnamed)?;
            // Renamed only when the permissions are right, so that nobody finds it before. Renaming also
            // replaces a stale file in one step.
            let named = fs::set_permissions(&unnamed, fs::Permissions::from_mode(0o600))
                .and_then(|()| listener.set_nonblocking(true))
                .and_then(|()| fs::rename(&unnamed, path))
                .and_then(|()| fs::symlink_metadata(path));
            if named.is_err() {
                let _ = fs::remove_file(&unnamed);
            }
            Ok((listener, named?.ino()))
        };
        let (listener, inode) = make().map_err(|e| {
            Fault::from_io(
                format!("the instruction socket {} cannot be made", path.display()),
                &e,
                Kind::Config,
                "let `language.socket` name a file in a directory that exists and can be written, in \
                 fewer than 108 bytes, such as \"/run/user/1000/reflexarc.sock\"",
            )
        })?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
            clients: Vec::new(),
        })
    }

    /// What to wait for: a new client first, then each client that may send more.
    pub fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let clients = self.clients.iter().filter(|client| client.is_read());
        std::iter::once(self.listener.as_fd()).chain(clients.map(|client| client.stream.as_fd()))
    }

    /// Takes new clients and what the clients sent. `ready` is in the order of [`waits_for`](Self::waits_for).
    pub fn read(&mut self, ready: &[bool]) {
        let waited = self.clients.iter_mut().filter(|client| client.is_read());
        for (client, _) in waited
            .zip(ready.iter().skip(1))
            .filter(|(_, ready)| **ready)
        {
            client.read();
        }
        if ready.first() == Some(&true) {
            self.accept();
        }
    }

    fn accept(&mut self) {
        // BOUND: one client a turn; the next turn comes at once while more wait.
        let Ok((mut stream, _)) = self.listener.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() == CLIENTS_MAX {
            // What it sent already is taken first: closing a socket with unread bytes would turn the answer
            // into "connection reset". Nothing more can be done for it, whether it reads this or not.
            let _ = stream.read(&mut [0; READ_BYTES_MAX]);
            let _ = writeln!(stream, "error: {CLIENTS_MAX} clients are connected already");
            return;
        }
        self.clients.push(Client {
            stream,
            lines: Lines::default(),
            ended: false,
            lost: false,
        });
    }

    /// Has `answer` answer one line of each client that has one; true if any had. One each, so that a client
    /// with many lines does not keep the others waiting.
    pub fn serve(&mut self, mut answer: impl FnMut(Line) -> String) -> bool {
        let mut any = false;
        for client in &mut self.clients {
            match client.pop() {
                Some(line) => {
                    client.send(&answer(line));
                    any = true;
                }
                None => client.lost |= client.ended,
            }
        }
        self.clients.retain(|client| !client.lost);
        any
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Client {
    /// It may send more, and there is room for it.
    fn is_read(&self) -> bool {
        !self.ended && self.lines.has_room()
    }

    fn read(&mut self) {
        let mut bytes = [0; READ_BYTES_MAX];
        match self.stream.read(&mut bytes) {
            Ok(count @ 1..) => self.lines.push(&bytes[..count], clock::now()),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            _ => self.ended = true,
        }
    }

    fn pop(&mut self) -> Option<Line> {
        let next = self.lines.pop();
        match self.ended {
            true => next.or_else(|| self.lines.finish()),
            false => next,
        }
    }

    /// Sends a whole line at once or loses the client: half a line would be worse than none.
    fn send(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.lost |= self.stream.write(line.as_bytes()).ok() != Some(line.len());
    }
}

/// Refuses a path where something else is: another process's socket, or a file that is no socket.
fn check_free(path: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let (kind, why) = if !found.file_type().is_socket() {
        (
            Kind::Config,
            "there is a file of that name, and it is not a socket",
        )
    } else if UnixStream::connect(path).is_ok() {
        (Kind::Busy, "another process listens on it")
    } else {
        return Ok(());
    };
    Err(Fault::new(
        kind,
        format!("the instruction socket {} cannot be made", path.display()),
        why,
        "let `language.socket` name another file",
    ))
}

/// A short name in the same directory that no other socket of any process has.
fn beside(path: &Path) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    // ORDERING: Relaxed, alone. Only the number matters.
    let serial = MADE.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{}-{serial}", std::process::id()))
}
