//! The door to a camera's driver: one open `/dev/videoN` and the typed system calls that go through it.
//!
//! Thread: the one that holds the node. Allocates: in `open`. Blocks: only in `wait`. Locks: no.
//! Syscalls: `ioctl`, `ppoll`, `mmap`.
//!
//! The `v4l` crate gives the request codes, the `ioctl` call and the kernel's structs. Its `Device` is not
//! used: the conversions behind it panic on what drivers may lawfully return (a name that is not UTF-8, a
//! control type or colour space newer than the crate), its format drops the YCbCr encoding, and its stream
//! keeps one buffer out, hides how many bytes are valid and panics on drop.

use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::capture::story::Cause;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::units::MonoTime;

/// The only kind of stream used here: frames in one plane of memory each, from the camera to us.
pub(super) const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const MMAP: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;
/// The device number that Linux keeps for video nodes (Documentation/admin-guide/devices.txt).
const VIDEO_MAJOR: u32 = 81;

/// A struct that may be handed to the kernel as it is.
///
/// # Safety
/// All-zero bytes are a value of it, and the kernel follows no pointer in it.
pub(super) unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: the implementer promises that zero bytes are a value.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($name:ident)*) => { $(
        // SAFETY: integers and arrays of integers only, see videodev2.h.
        unsafe impl Plain for sys::$name {}
    )* };
}
plain!(
    v4l2_capability v4l2_fmtdesc v4l2_frmsizeenum v4l2_frmivalenum v4l2_streamparm
    v4l2_query_ext_ctrl v4l2_querymenu v4l2_control v4l2_pix_format v4l2_event_subscription
);

/// An `ioctl` together with the struct that the kernel reads and writes for it.
pub(super) struct Request<T> {
    code: vidioc::_IOC_TYPE,
    argument: PhantomData<fn(&mut T)>,
}

macro_rules! requests {
    ($($name:ident($argument:ident) = $code:ident;)*) => { $(
        pub(super) const $name: Request<sys::$argument> = Request {
            code: vidioc::$code,
            argument: PhantomData,
        };
    )* };
}
requests! {
    QUERY_CAPABILITY(v4l2_capability) = VIDIOC_QUERYCAP;
    LIST_FORMAT(v4l2_fmtdesc) = VIDIOC_ENUM_FMT;
    LIST_SIZE(v4l2_frmsizeenum) = VIDIOC_ENUM_FRAMESIZES;
    LIST_RATE(v4l2_frmivalenum) = VIDIOC_ENUM_FRAMEINTERVALS;
    GET_PARAMETERS(v4l2_streamparm) = VIDIOC_G_PARM;
    SET_PARAMETERS(v4l2_streamparm) = VIDIOC_S_PARM;
    QUERY_CONTROL(v4l2_query_ext_ctrl) = VIDIOC_QUERY_EXT_CTRL;
    QUERY_MENU(v4l2_querymenu) = VIDIOC_QUERYMENU;
    GET_CONTROL(v4l2_control) = VIDIOC_G_CTRL;
    SET_CONTROL(v4l2_control) = VIDIOC_S_CTRL;
}

/// VIDIOC_SUBSCRIBE_EVENT is `_IOW('V', 90, struct v4l2_event_subscription)` in videodev2.h; the crate leaves it out.
const SUBSCRIBE_EVENT: Request<sys::v4l2_event_subscription> = Request {
    code: {
        // Direction "write" in the two high bits, then 14 bits of size, 8 of type, 8 of number (asm-generic/ioctl.h).
        let size = size_of::<sys::v4l2_event_subscription>() as vidioc::_IOC_TYPE;
        (1 << 30) | (size << 16) | ((b'V' as vidioc::_IOC_TYPE) << 8) | 90
    },
    argument: PhantomData,
};

/// An open camera node, non-blocking.
#[derive(Debug)]
pub(super) struct Node {
    file: File,
    path: PathBuf,
}

/// What [`Node::wait`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Frame,
    TimedOut,
    /// The driver reports that there will be no more frames.
    Trouble(Cause),
}

impl Node {
    /// Opens `path`, which must be a video node. Nothing else is ever opened: to open a watchdog or a
    /// serial port by mistake would already have an effect.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let meta = std::fs::metadata(path).map_err(|e| {
            let fix = "plug the camera in, or see `reflexarc cameras` for what is there";
            Fault::from_io(
                format!("cannot open the camera {shown}"),
                &e,
                Kind::NoDevice,
                fix,
            )
        })?;
        let is_video =
            meta.file_type().is_char_device() && libc::major(meta.st_rdev()) == VIDEO_MAJOR;
        if !is_video {
            return Err(Fault::new(
                Kind::NoDevice,
                format!("{shown} is not a camera"),
                "it exists, but it is no V4L2 video node",
                "give a node such as /dev/video0; `reflexarc cameras` lists them. \
                 A video file is given as `file:PATH`",
            ));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|e| {
                let fix = match e.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "add yourself to the group that owns the node, `sudo usermod -aG video $USER`, \
                         and log in again"
                    }
                    _ => "unplug the camera and plug it in again; `dmesg` says what its driver did",
                };
                Fault::from_io(format!("cannot open the camera {shown}"), &e, Kind::NoDevice, fix)
            })?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the kernel tells more about this node, whatever it is called now.
    pub(super) fn about(&self) -> PathBuf {
        let number = self.file.metadata().map_or(0, |m| m.st_rdev());
        let (major, minor) = (libc::major(number), libc::minor(number));
        PathBuf::from(format!("/sys/dev/char/{major}:{minor}"))
    }

    /// Asks to be told, by [`Event::Trouble`], when what the camera is connected to changes its format.
    pub(super) fn tell_of_source_changes(&self) -> io::Result<()> {
        let mut wanted = sys::v4l2_event_subscription::zeroed();
        wanted.type_ = sys::V4L2_EVENT_SOURCE_CHANGE;
        self.ask(SUBSCRIBE_EVENT, &mut wanted)
    }

    /// Asks the driver; `argument` is what the kernel reads and overwrites.
    pub(super) fn ask<T: Plain>(&self, request: Request<T>, argument: &mut T) -> io::Result<()> {
        // SAFETY: a `Request<T>` pairs its code with the struct of videodev2.h that the kernel expects, and
        // `Plain` says that nothing outside it is touched.
        unsafe { self.ioctl(request.code, argument) }
    }

    /// # Safety
    /// `argument` is of the type that the kernel expects for `code`, and pointers in it that the kernel
    /// follows are valid.
    unsafe fn ioctl<T>(&self, code: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        let argument = std::ptr::from_mut(argument).cast();
        // BOUND: one turn for each signal handled by this thread while the driver was asked.
        loop {
            // SAFETY: the caller's promise; the descriptor is open as long as `self`.
            let done = unsafe { v4l::v4l2::ioctl(self.file.as_raw_fd(), code, argument) };
            match done {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// The format that the driver uses now.
    pub(super) fn format(&self) -> io::Result<sys::v4l2_pix_format> {
        self.exchange_format(vidioc::VIDIOC_G_FMT, Plain::zeroed())
    }

    /// Asks for a format; the answer is what the driver granted, which may be another.
    pub(super) fn set_format(&self, pix: sys::v4l2_pix_format) -> io::Result<sys::v4l2_pix_format> {
        self.exchange_format(vidioc::VIDIOC_S_FMT, pix)
    }

    fn exchange_format(
        &self,
        code: vidioc::_IOC_TYPE,
        pix: sys::v4l2_pix_format,
    ) -> io::Result<sys::v4l2_pix_format> {
        let fmt = sys::v4l2_format__bindgen_ty_1 { pix };
        let mut format = sys::v4l2_format {
            type_: CAPTURE,
            fmt,
        };
        // SAFETY: both codes take a v4l2_format, and for this type the kernel follows no pointer in it.
        unsafe { self.ioctl(code, &mut format) }?;
        // SAFETY: for this type the driver fills `pix`, a struct of integers.
        Ok(unsafe { format.fmt.pix })
    }

    /// Sets a 64-bit control, for which the simple call has no room.
    pub(super) fn set_wide_control(&self, id: u32, value: i64) -> io::Result<()> {
        // SAFETY: integers, a union of them and null pointers: zero bytes are a value.
        let mut control: sys::v4l2_ext_control = unsafe { std::mem::zeroed() };
        control.id = id;
        control.__bindgen_anon_1.value64 = value;
        // SAFETY: as above.
        let mut controls: sys::v4l2_ext_controls = unsafe { std::mem::zeroed() };
        controls.count = 1;
        controls.controls = &raw mut control;
        // SAFETY: the struct of this code; `controls` points to one control that outlives the call, and its
        // size is 0, so the kernel takes the value from the struct itself.
        unsafe { self.ioctl(vidioc::VIDIOC_S_EXT_CTRLS, &mut controls) }
    }

    /// Asks for `count` buffers; the answer is how many there are. 0 frees them.
    pub(super) fn request_buffers(&self, count: u32) -> io::Result<u32> {
        // SAFETY: integers only: zero bytes are a value.
        let mut request: sys::v4l2_requestbuffers = unsafe { std::mem::zeroed() };
        request.count = count;
        request.type_ = CAPTURE;
        request.memory = MMAP;
        // SAFETY: the struct of this code, without pointers.
        unsafe { self.ioctl(vidioc::VIDIOC_REQBUFS, &mut request) }?;
        Ok(request.count)
    }

    fn exchange_buffer(&self, code: vidioc::_IOC_TYPE, index: u32) -> io::Result<sys::v4l2_buffer> {
        // SAFETY: integers, a union and a timeval: zero bytes are a value.
        let mut buffer: sys::v4l2_buffer = unsafe { std::mem::zeroed() };
        buffer.index = index;
        buffer.type_ = CAPTURE;
        buffer.memory = MMAP;
        // SAFETY: all codes passed here take a v4l2_buffer; the kernel follows its only pointer, `planes`,
        // for multi-planar types alone.
        unsafe { self.ioctl(code, &mut buffer) }?;
        Ok(buffer)
    }

    /// Where and how long the buffer is.
    pub(super) fn query_buffer(&self, index: u32) -> io::Result<sys::v4l2_buffer> {
        self.exchange_buffer(vidioc::VIDIOC_QUERYBUF, index)
    }

    /// Gives the driver the buffer to fill.
    ///
    /// # Safety
    /// From now on the driver writes to the buffer's memory, so no reference to its mapping may exist or be
    /// made until `dequeue` returns this index or `stream(false)` has returned.
    pub(super) unsafe fn queue(&self, index: u32) -> io::Result<()> {
        self.exchange_buffer(vidioc::VIDIOC_QBUF, index).map(drop)
    }

    /// Takes the oldest filled buffer; `None` if there is none yet.
    pub(super) fn dequeue(&self) -> io::Result<Option<sys::v4l2_buffer>> {
        match self.exchange_buffer(vidioc::VIDIOC_DQBUF, 0) {
            Ok(buffer) => Ok(Some(buffer)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Begins or ends streaming. Ending takes all buffers back from the driver.
    pub(super) fn stream(&self, on: bool) -> io::Result<()> {
        let code = match on {
            true => vidioc::VIDIOC_STREAMON,
            false => vidioc::VIDIOC_STREAMOFF,
        };
        let mut kind: std::ffi::c_int = CAPTURE.cast_signed();
        // SAFETY: both codes take an int.
        unsafe { self.ioctl(code, &mut kind) }
    }

    /// Maps a driver's buffer into this process: a fresh mapping that the caller owns.
    pub(super) fn map(&self, len: usize, offset: u32) -> io::Result<NonNull<u8>> {
        // SAFETY: a fresh shared mapping at an address that the kernel chooses touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                self.file.as_raw_fd(),
                libc::off_t::from(offset),
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
    }

    /// Waits for a filled buffer, at most until `deadline`.
    pub(super) fn wait(&self, deadline: MonoTime) -> Event {
        let mut poll = libc::pollfd {
            fd: self.file.as_raw_fd(),
            events: libc::POLLIN | libc::POLLPRI,
            revents: 0,
        };
        // BOUND: ends at the deadline; each turn but the last was ended by a signal.
        loop {
            let left = clock::timespec(MonoTime((deadline - clock::now()).0));
            // SAFETY: one pollfd and a timespec that live through the call; a null mask changes no mask.
            let ready = unsafe { libc::ppoll(&raw mut poll, 1, &raw const left, std::ptr::null()) };
            match ready {
                0 => return Event::TimedOut,
                // A full buffer is worth having even if the device has just gone.
                1 if poll.revents & libc::POLLIN != 0 => return Event::Frame,
                1 => return Event::Trouble(cause(poll.revents)),
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => return Event::Trouble(Cause::DeviceError),
            }
        }
    }
}

/// What `poll` says of a stream that has no frame and never will. A device that has gone reports an event and an error too.
fn cause(revents: libc::c_short) -> Cause {
    if revents & (libc::POLLHUP | libc::POLLNVAL) != 0 {
        Cause::Unplugged
    } else if revents & libc::POLLERR != 0 {
        Cause::DeviceError
    } else {
        Cause::FormatChanged
    }
}

/// The text in one of the kernel's fixed fields, up to its end mark; what is not UTF-8 is replaced.
pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim().to_owned()
}
