"""What the kernel says about this machine's disks: sysfs, mounts and swap.

Everything is read below a root, so that trees of files stand for machines in tests. Only `/` is a machine: nothing
is ever written through any other root.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What a running system cannot lose. A disk that carries one of them, through any stack of LVM, LUKS or RAID, is
# never written, even if an option could be found that says so.
SYSTEM_POINTS = ("/", "/boot", "/usr", "/var", "/home", "/etc", "/opt", "/root", "/nix")


@dataclass(frozen=True)
class Node:
    """What a path is: `block`, `file`, `other` or `missing`; and of a block device its number, as `8:0`."""

    kind: str
    number: str = ""


@dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    number: str
    """Of its device; of no device (`0:…`) for network, memory and btrfs."""
    point: str
    source: str

    @property
    def is_of_the_system(self) -> bool:
        """Whether the machine breaks without it."""
        return self.point in SYSTEM_POINTS or self.point.startswith(("/boot/", "/usr/", "/var/"))


class System:
    """This machine, or a tree that stands for one."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_real(self) -> bool:
        """Whether there are devices behind the files."""
        return self.root == Path("/")

    def machine(self) -> str:
        """The architecture."""
        return os.uname().machine

    def path(self, absolute: str) -> Path:
        """Where `absolute` is below the root."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str:
        """A file's text without the spaces around it; empty if there is none."""
        return read_text(self.path(absolute))

    def node(self, path: Path) -> Node:
        """What a path leads to, symbolic links followed."""
        try:
            found = os.stat(path)
        except OSError:
            return Node("missing")
        if stat.S_ISBLK(found.st_mode):
            return Node("block", f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}")
        return Node("file" if stat.S_ISREG(found.st_mode) else "other")

    def block(self, number: str) -> Path | None:
        """The sysfs folder of a block device."""
        path = self.path(f"/sys/dev/block/{number}")
        return path.resolve() if path.exists() else None

    def mounts(self) -> list[Mount]:
        """What is mounted where. Of this process's view only: opening exclusively finds the rest."""
        found = []
        for line in self.text("/proc/self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            words, about = before.split(), after.split()
            if len(words) < 5 or len(about) < 2:
                continue
            number, source = words[2], _unescaped(about[1])
            if number.startswith("0:") and source.startswith("/dev/"):
                # btrfs gives its mounts a number of their own; its source is the device.
                number = self.node(Path(source)).number or number
            found.append(Mount(number, _unescaped(words[4]), source))
        return found

    def swaps(self) -> list[tuple[str, str]]:
        """Device numbers that this machine swaps to, and what is written about each."""
        found = []
        for line in self.text("/proc/swaps").splitlines()[1:]:
            name = _unescaped(line.split()[0])
            number = self.node(Path(name)).number or self.file_number(Path(name), self.mounts())
            found.append((number, name))
        return found

    def file_number(self, path: Path, mounts: list[Mount]) -> str:
        """The device that a file lies on, by the mount that its path is below."""
        real = str(path.resolve())
        # The last of equal length wins: it is mounted over the others.
        best = Mount("", "", "")
        for mount in mounts:
            below = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
            if below and len(mount.point) >= len(best.point):
                best = mount
        return best.number

    def disks_below(self, number: str) -> set[Path]:
        """The physical disks under a device, through partitions, LVM, LUKS, RAID and loops of them."""
        block = self.block(number)
        return set() if block is None else set(_physical(block))


def _physical(block: Path) -> Iterator[Path]:
    """A stack of device mappers is never a circle: the kernel refuses to load one."""
    slaves = sorted((block / "slaves").glob("*"))
    if slaves:
        for slave in slaves:
            yield from _physical(slave.resolve())
    elif (block / "partition").exists():
        yield from _physical(block.parent)
    else:
        yield block


def partitions(disk: Path) -> list[Path]:
    """The sysfs folders of a disk's partitions."""
    return sorted(path.parent for path in disk.glob("*/partition"))


def read_text(path: Path) -> str:
    """A small file's text; empty if it is not there or does not let itself be read, as some of sysfs do not."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\n")
    except OSError:
        return ""


def printable(text: str) -> str:
    """A device's own words without control characters: a stick's name could otherwise rewrite the terminal."""
    return re.sub(r"\s+", " ", "".join(c for c in text if c.isprintable())).strip()


def _unescaped(text: str) -> str:
    """The kernel writes a space in a path as `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
