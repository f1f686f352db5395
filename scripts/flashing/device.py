"""A disk opened for writing: exclusively, and past the page cache.

Reading back through the page cache proves nothing: of a disk that drops all writes the cache still gives what was
written, also after fsync, and also to who opens the disk anew. So both ways are O_DIRECT, and reading has a
descriptor of its own.
"""

import errno
import fcntl
import mmap
import os
import struct

from .refusal import Code, Refusal
from .target import Disk

# linux/fs.h; the same on all architectures that have a 64-bit kernel.
_BLKFLSBUF = 0x1261
_BLKGETSIZE64 = 0x80081272
_BLKGETDISKSEQ = 0x80081280


def buffer(length: int) -> memoryview:
    """Memory that begins on a page, as O_DIRECT asks for."""
    return memoryview(mmap.mmap(-1, length))


class Device:
    """A disk that nobody else has. Offsets and lengths are multiples of the sector."""

    def __init__(self, disk: Disk, *, writable: bool = True) -> None:
        self.disk = disk
        mode = os.O_RDWR if writable else os.O_RDONLY
        self._write = _open(disk, mode | os.O_EXCL)
        self._read = -1
        try:
            self._refuse_another(disk)
            self._read = _open(disk, os.O_RDONLY)
        except BaseException:
            os.close(self._write)
            raise

    def _refuse_another(self, disk: Disk) -> None:
        """The name may lead to another disk by now: somebody changed cards while the plan was read."""
        number = os.fstat(self._write).st_rdev
        size = struct.unpack("Q", fcntl.ioctl(self._write, _BLKGETSIZE64, bytes(8)))[0]
        same = f"{os.major(number)}:{os.minor(number)}" == disk.number and size == disk.size
        try:
            sequence = struct.unpack("Q", fcntl.ioctl(self._write, _BLKGETDISKSEQ, bytes(8)))[0]
            same = same and disk.sequence in ("", str(sequence))
        except OSError:
            pass  # Kernels before 5.15 do not count; number and size have to do.
        if not same:
            raise Refusal(
                Code.CHANGED,
                f"{disk.path} is another disk than when the plan was made",
                "a card was pulled out and one pushed in meanwhile",
                "make the plan anew, with --dry-run",
            )

    def write(self, offset: int, view: memoryview) -> None:
        """Writes all of `view`. It has arrived only after `sync`, and is proven only by `read`."""
        done = 0
        while done < len(view):
            try:
                count = os.pwrite(self._write, view[done:], offset + done)
            except OSError as error:
                raise self._failed(Code.WRITE_FAILED, "take", offset + done, error) from error
            done += count

    def zero(self, offset: int, end: int) -> None:
        """Writes zeros."""
        blank = buffer(1 << 20)
        while offset < end:
            count = min(end - offset, len(blank))
            self.write(offset, blank[:count])
            offset += count

    def read(self, offset: int, view: memoryview) -> None:
        """Fills `view` from the medium, not from memory."""
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self._read, [view[done:]], offset + done)
            except OSError as error:
                raise self._failed(Code.READ_FAILED, "give", offset + done, error) from error
            if count == 0:
                raise self._failed(Code.READ_FAILED, "give", offset + done, OSError(errno.EIO, "the disk ends"))
            done += count

    def sync(self) -> None:
        """Everything written is on the medium, as far as the medium says so, and nothing is cached."""
        try:
            os.fdatasync(self._write)
            fcntl.ioctl(self._write, _BLKFLSBUF)
        except OSError as error:
            raise self._failed(Code.WRITE_FAILED, "take", 0, error) from error

    def _failed(self, code: Code, verb: str, offset: int, error: OSError) -> Refusal:
        gone = error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM)
        return Refusal(
            code,
            f"{self.disk.path} did not {verb} the data at {offset} bytes: {error.strerror}",
            "it was pulled out, or its cable or hub lost it" if gone else "the card, the reader or the cable fails",
            "try another USB port without a hub, then another reader, then another card",
        )

    def close(self) -> None:
        """Lets go of the disk; the kernel then looks for its new partitions."""
        os.close(self._read)
        os.close(self._write)


def _open(disk: Disk, mode: int) -> int:
    try:
        return os.open(disk.path, mode | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise Refusal(
                Code.IN_USE,
                f"{disk.path} is in use",
                "the kernel refuses to give it exclusively: a file system, a container or another program has it",
                f"`lsof {disk.path}*` and `lsblk {disk.path}` show by whom; unmount it there",
            ) from error
        if error.errno == errno.EROFS:
            raise Refusal(
                Code.READ_ONLY,
                f"{disk.path} is read-only",
                "the kernel will not write to it",
                "move the card's lock slider",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Refusal(
                Code.NOT_ROOT, f"{disk.path} may not be opened", "writing a disk needs root", "run it with sudo"
            ) from error
        raise Refusal(
            Code.NO_DEVICE,
            f"{disk.path} cannot be opened past the cache: {error.strerror}",
            "what is read back through the cache proves nothing",
            "is the card still in the reader? `dmesg` says what happened",
        ) from error
