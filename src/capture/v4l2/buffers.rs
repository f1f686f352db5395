//! The driver's buffers as slots, and which of them the driver has.
//!
//! A driver's buffer, mapped once, is the slot: no frame is ever copied. A slot is either *queued* (the driver
//! fills it; nobody else may look), *home* (ours, waiting to be queued), or *out* (with whoever reads the
//! frame). It leaves by `dequeue` and comes back by `bring_home`. Each call asks the driver for everything
//! that is still to be asked for, so a refused buffer is tried again and never lost.
//!
//! Thread: capture. Allocates: in `take_from`. Blocks: no. Locks: no. Syscalls: `ioctl`; `mmap` in `take_from`.

use std::io;
use std::ptr::NonNull;

use v4l::v4l_sys as sys;

use super::arrival::stamp_source;
use super::negotiate::device_fault;
use super::node::Node;
use crate::error::{Fault, Kind, Result};
use crate::frame::StampSource;
use crate::slot::{Empty, Slot};

/// BOUND: 32 is the kernel's VIDEO_MAX_FRAME; a driver cannot grant more to one REQBUFS.
const COUNT_MAX: u32 = 32;
/// One for the driver to fill and one for it to go on with while the newest is out.
const COUNT_MIN: u32 = 2;

#[derive(Debug)]
struct Buffer {
    /// None while the slot is out.
    slot: Option<Slot<Empty>>,
    queued: bool,
    /// Where its mapping lies: tells our own slots from those of a camera that was opened before.
    start: NonNull<u8>,
}

// SAFETY: `start` is only compared, never read through; the memory is owned by the slot, which is Send.
unsafe impl Send for Buffer {}

#[derive(Debug)]
pub(super) struct Buffers {
    all: Vec<Buffer>,
    stamps: StampSource,
}

impl Buffers {
    /// Takes `count` buffers (or what the driver grants) of at least `bytes` bytes from the driver.
    pub(super) fn take_from(node: &Node, count: u32, bytes: usize) -> Result<Self> {
        let granted = node
            .request_buffers(count)
            .map_err(|e| device_fault(node, "give buffers", &e))?;
        if !(COUNT_MIN..=COUNT_MAX).contains(&granted) {
            return Err(Fault::new(
                Kind::Unsupported,
                format!(
                    "the camera {} gave {granted} buffers",
                    node.path().display()
                ),
                format!("{COUNT_MIN} to {COUNT_MAX} are needed, {count} were asked for"),
                "set `buffers` to another number, or free memory",
            ));
        }
        let mut stamps = StampSource::Arrival;
        let mut all = Vec::with_capacity(granted as usize);
        for index in 0..granted {
            let (buffer, flags) = map(node, index)
                .map_err(|e| device_fault(node, "let its buffers be mapped", &e))?;
            stamps = stamp_source(flags);
            let held = buffer.slot.as_ref().map_or(0, Slot::capacity);
            if held < bytes {
                return Err(Fault::new(
                    Kind::Unsupported,
                    format!(
                        "the camera {} gave buffers too small",
                        node.path().display()
                    ),
                    format!("a frame has {bytes} bytes, a buffer {held}"),
                    "this is a fault of its driver; try another pixel format or size",
                ));
            }
            all.push(buffer);
        }
        Ok(Self { all, stamps })
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Buffers that the driver has now.
    pub(super) fn queued(&self) -> usize {
        self.all.iter().filter(|b| b.queued).count()
    }

    /// What the driver's stamps will mean, as far as it says so before the first frame.
    pub(super) fn stamps(&self) -> StampSource {
        self.stamps
    }

    /// Gives the driver every slot that is home. What it refuses stays home; the error is the last.
    pub(super) fn queue_home(&mut self, node: &Node) -> io::Result<()> {
        let mut result = Ok(());
        for (index, buffer) in (0_u32..).zip(&mut self.all) {
            if buffer.queued || buffer.slot.is_none() {
                continue;
            }
            // SAFETY: the slot is home, so nobody else holds it, and while `queued` is set it is kept here,
            // untouched, until `dequeue` or `all_home` has taken it back from the driver.
            match unsafe { node.queue(index) } {
                Ok(()) => buffer.queued = true,
                Err(e) => result = Err(e),
            }
        }
        result
    }

    /// Takes a filled slot from the driver, with the driver's note on it; `None` if there is none.
    pub(super) fn dequeue(
        &mut self,
        node: &Node,
    ) -> io::Result<Option<(Slot<Empty>, sys::v4l2_buffer)>> {
        let Some(note) = node.dequeue()? else {
            return Ok(None);
        };
        let buffer = self.all.get_mut(note.index as usize);
        let slot = buffer.filter(|b| b.queued).and_then(|b| {
            b.queued = false;
            b.slot.take()
        });
        match slot {
            Some(slot) => Ok(Some((slot, note))),
            // The driver names a buffer that it does not have: nothing it says can be believed any more.
            None => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }

    /// A slot comes back. One of another camera (this one, before it was opened anew) is given back to the caller.
    pub(super) fn bring_home(&mut self, mut slot: Slot<Empty>) -> Option<Slot<Empty>> {
        let start = slot.bytes_mut().as_mut_ptr();
        match self.all.get_mut(slot.index() as usize) {
            Some(buffer) if buffer.start.as_ptr() == start => {
                buffer.slot = Some(slot);
                None
            }
            _ => Some(slot),
        }
    }

    /// The driver has given everything back (streaming has ended): all but the slots that are out are home.
    pub(super) fn all_home(&mut self) {
        for buffer in &mut self.all {
            buffer.queued = false;
        }
    }
}

/// Maps one buffer; also the flags that the driver gave it.
fn map(node: &Node, index: u32) -> io::Result<(Buffer, u32)> {
    let note = node.query_buffer(index)?;
    let len = note.length as usize;
    // SAFETY: for mapped buffers the driver fills `offset`; all bits are a u32.
    let start = node.map(len, unsafe { note.m.offset })?;
    // SAFETY: the mapping was made just now, is this long, and is handed over whole. The kernel writes to it
    // only while the buffer is queued.
    let slot = unsafe { Slot::from_mapping(index, start, len) };
    let buffer = Buffer {
        slot: Some(slot),
        queued: false,
        start,
    };
    Ok((buffer, note.flags))
}
