//! Frame memory with one owner at a time.
//!
//! A [`Slot`] owns a mapping (a driver's buffer or anonymous memory) together with the description of the
//! frame in it. It is one pointer wide, moves by value, is never copied and has no reference count:
//! whoever holds the `Slot` may touch the bytes, and nobody else can. Its type says what it holds:
//! [`Slot<Empty>`] is ready to be filled, [`Slot<Filled>`] carries a frame. A slot that is dropped unmaps
//! its memory, in whatever order threads end.
//!
//! Thread: any. Allocates: in the constructors. Locks: no. Syscalls: `mmap`, `munmap` outside the way.

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use crate::units::MonoTime;

/// The smallest page of any machine that this runs on.
const PAGE: usize = 4096;
/// The large page of x86-64, and of aarch64 with small pages of 4 KiB. A 1080p YUYV frame is 2 of them instead of 1000 small
/// ones, so reading it leaves the translation cache to the rest of the way.
pub const LARGE_PAGE: usize = 2 << 20;

/// State of a slot that waits to be filled.
#[derive(Debug)]
pub enum Empty {}
/// State of a slot that holds a frame.
#[derive(Debug)]
pub enum Filled {}

/// A mapping of shared or private memory, unmapped on drop.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a Mapping is the only owner of its pages on our side (the constructors take or make a fresh
// mapping and it cannot be cloned), so moving it to another thread moves the only access.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a whole mapping that only this value owns.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[derive(Debug)]
struct Inner {
    memory: Mapping,
    index: u32,
    meta: FrameMeta,
}

/// One frame's memory and description. See the module.
#[derive(Debug)]
pub struct Slot<State> {
    inner: Box<Inner>,
    state: PhantomData<State>,
}

impl<State> Slot<State> {
    /// The number of this slot in its source: 0 .. slot count.
    pub fn index(&self) -> u32 {
        self.inner.index
    }

    /// Bytes that fit.
    pub fn capacity(&self) -> usize {
        self.inner.memory.len
    }

    fn into_state<Next>(self) -> Slot<Next> {
        Slot {
            inner: self.inner,
            state: PhantomData,
        }
    }

    fn all_bytes(&self) -> &[u8] {
        let memory = &self.inner.memory;
        // SAFETY: the mapping is `len` readable bytes that live as long as `self`. A driver writes to
        // its buffer only while the slot is queued, and a queued slot is owned by its source, which hands
        // out no reference.
        unsafe { std::slice::from_raw_parts(memory.start.as_ptr(), memory.len) }
    }
}

impl Slot<Empty> {
    /// Takes over a mapping made elsewhere (a driver's buffer).
    ///
    /// # Safety
    /// `start` and `len` describe a whole readable and writable `mmap` mapping that nothing else in this
    /// process uses or unmaps. The kernel may write to it only between the owner's queue and dequeue calls.
    pub unsafe fn from_mapping(index: u32, start: NonNull<u8>, len: usize) -> Self {
        let format = FrameFormat::packed(PixelFormat::Grey, 0, 0);
        let meta = FrameMeta {
            seq: 0,
            source_index: 0,
            format,
            bytes_used: 0,
            captured: MonoTime::ZERO,
            stamp: StampSource::Arrival,
            arrived: MonoTime::ZERO,
            marks: FrameMarks::default(),
        };
        let inner = Inner {
            memory: Mapping { start, len },
            index,
            meta,
        };
        Self {
            inner: Box::new(inner),
            state: PhantomData,
        }
    }

    /// A slot of anonymous memory, already faulted in; from [`LARGE_PAGE`] on in large pages, if the kernel has them.
    pub fn anonymous(index: u32, bytes: usize) -> io::Result<Self> {
        let page = if bytes < LARGE_PAGE { PAGE } else { LARGE_PAGE };
        let len = bytes.max(1).next_multiple_of(page);
        let start = map_aligned(len, page)?;
        #[cfg(not(miri))]
        if page == LARGE_PAGE {
            // SAFETY: advice about a mapping made just now. A kernel without large pages refuses it, and then the frame is read
            // through more entries of the translation cache, no more.
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the mapping was made just now, has this length, and is handed over whole.
        let mut slot = unsafe { Self::from_mapping(index, start, len) };
        // Every page must exist before the first frame.
        for page in slot.bytes_mut().chunks_mut(PAGE) {
            page[0] = 0;
        }
        Ok(slot)
    }

    /// `count` anonymous slots for frames of this format.
    pub fn pool(count: u32, format: &FrameFormat) -> io::Result<Vec<Self>> {
        (0..count)
            .map(|index| Self::anonymous(index, format.frame_bytes()))
            .collect()
    }

    /// All bytes, for writing a frame into.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let memory = &mut self.inner.memory;
        // SAFETY: as in `all_bytes`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(memory.start.as_ptr(), memory.len) }
    }

    /// The slot now holds the frame that `meta` describes.
    ///
    /// # Panics
    /// If `meta.bytes_used` is more than the capacity.
    pub fn fill(mut self, meta: FrameMeta) -> Slot<Filled> {
        assert!(
            meta.bytes_used as usize <= self.capacity(),
            "a frame larger than its slot"
        );
        self.inner.meta = meta;
        self.into_state()
    }
}

impl Slot<Filled> {
    pub fn meta(&self) -> &FrameMeta {
        &self.inner.meta
    }

    pub fn meta_mut(&mut self) -> &mut FrameMeta {
        &mut self.inner.meta
    }

    /// The frame's valid bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.all_bytes()[..self.inner.meta.bytes_used as usize]
    }

    /// Gives the frame up; the memory can be filled again.
    pub fn empty(self) -> Slot<Empty> {
        self.into_state()
    }
}

/// Fresh anonymous memory of `len` bytes that begins at a multiple of `align`; both are multiples of [`PAGE`].
fn map_aligned(len: usize, align: usize) -> io::Result<NonNull<u8>> {
    // Older kernels place a mapping at any page: map more, and give back what is before and after.
    let room = len + align - PAGE;
    // SAFETY: a fresh anonymous mapping at an address the kernel chooses touches no existing memory.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            room,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mapped = mapped.cast::<u8>();
    let before = mapped.align_offset(align);
    let after = room - before - len;
    // SAFETY: the pages before the first multiple of `align` belong to the mapping made just now; nobody uses them.
    if before > 0 && unsafe { libc::munmap(mapped.cast(), before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `before <= align - PAGE`, so `before + len <= room`.
    let start = unsafe { mapped.add(before) };
    // SAFETY: `start + len` is the first byte after what is kept, and still inside the mapping.
    let end = unsafe { start.add(len) };
    // SAFETY: the pages after what is kept belong to the mapping made just now; nobody uses them.
    if after > 0 && unsafe { libc::munmap(end.cast(), after) } != 0 {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start).ok_or_else(io::Error::last_os_error)
}
