"""An emulated USB stick, and the command that writes it, as a person calls it."""

import contextlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

from fixture import MIB, REPOSITORY, Code, sum_beside
from gadget import Stick, wait_until

SERIAL = "REFLEXARC0001"
DISK = 32 * MIB
# Three segments and the head.
IMAGE = 12 * MIB
# linux/fs.h: the kernel looks for partitions again.
_BLKRRPART = 0x125F


class OnUsb(unittest.TestCase):
    """A test with a stick in port 0."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="flash-guest-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.medium = self.folder / "medium"
        with self.medium.open("wb") as file:
            # Not zeros: what was there before must be seen to go.
            file.write(b"\xee" * (2 * MIB))
            file.truncate(DISK)
        self.stick = Stick(0, SERIAL)
        self.addCleanup(self.stick.remove)
        self.stick.insert(self.medium)

    @property
    def disk(self) -> Path:
        """The stick's node."""
        path = self.stick.path
        assert path is not None
        return path

    def image(self, size: int = IMAGE, *, seed: int = 1) -> Path:
        """An image of random bytes, with the mark of a boot sector and its checksum beside it."""
        path = self.folder / f"system{size}-{seed}.img"
        if path.exists():
            return path
        content = bytearray(random.Random(seed).randbytes(size))
        # No partitions: the kernel would show them, and each plan names what is on the disk.
        content[446:512] = bytes(64) + b"\x55\xaa"
        path.write_bytes(content)
        sum_beside(path)
        return path

    def command(self, *words: object, image: Path | None = None) -> list[str]:
        """scripts/flash for this stick."""
        image = image or self.image()
        given = [str(word) for word in words]
        device = [] if "--device" in given else ["--device", str(self.disk)]
        command = [sys.executable, "-B", "scripts/flash", "x86-64", "--image", str(image), *device]
        return [*command, "--state", str(self.folder / "state"), "--events", str(self.folder / "events"), *given]

    def flash(self, *words: object, image: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        (self.folder / "events").unlink(missing_ok=True)
        return subprocess.run(
            self.command(*words, image=image),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )

    def events(self) -> list[dict[str, Any]]:
        """What the last command wrote into its event log."""
        text = (self.folder / "events").read_text(encoding="utf-8")
        # A killed command may leave half a line.
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def token(self, *words: object, image: Path | None = None) -> str:
        """What confirms the plan."""
        done = self.flash("--dry-run", *words, image=image)
        self.assertEqual(done.returncode, 0, done.stderr)
        return str(next(event["token"] for event in self.events() if event["event"] == "plan"))

    def refused(self, code: Code, *words: object, image: Path | None = None) -> str:
        """Its words when it refuses for this reason, and has changed nothing."""
        before = self.fingerprint()
        # With a token, so that nothing but the refusal keeps it from writing.
        done = self.flash(*words, "--yes", "0000-0000", image=image or self.image(2 * MIB))
        self.assertEqual(done.returncode, code.exit_code, done.stderr)
        for part in (f"{code.title}: ", "why: ", "fix: "):
            self.assertIn(part, done.stderr)
        self.assertEqual(self.fingerprint(), before, "a refusal changes nothing")
        return done.stderr

    def fingerprint(self) -> int:
        """Of the medium. Quick rather than strong: it is compared with itself."""
        return zlib.crc32(self.medium.read_bytes())

    def partition(self) -> Path:
        """Makes one partition, and gives its node."""
        entry = struct.pack("<8BII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, DISK // 512 - 2048)
        with self.disk.open("r+b") as disk:
            disk.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")
            disk.flush()
            os.fsync(disk.fileno())
            ioctl(disk.fileno(), _BLKRRPART)
        node = Path(f"{self.disk}1")
        wait_until("the partition", node.exists)
        return node

    def file_system(self) -> Path:
        """A partition with a file system on it."""
        node = self.partition()
        subprocess.run(["mkfs.ext4", "-q", "-F", str(node)], check=True)
        return node

    @contextlib.contextmanager
    def mounted(self, node: Path, point: Path, mode: str = "ro") -> Iterator[Path]:
        """Mounts a partition for a while. A file system that is mounted to be written changes the disk by itself."""
        point.mkdir(exist_ok=True, parents=True)
        subprocess.run(["mount", "-t", "ext4", "-o", mode, str(node), str(point)], check=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", str(point)], check=True)

    @contextlib.contextmanager
    def mapped(self, name: str, table: str) -> Iterator[Path]:
        """A device mapper for a while."""
        subprocess.run(["dmsetup", "create", name, "--table", table], check=True, capture_output=True)
        # Without udev nobody else makes the node.
        subprocess.run(["dmsetup", "mknodes"], check=False, capture_output=True)
        try:
            yield Path("/dev/mapper") / name
        finally:
            subprocess.run(["dmsetup", "remove", "--retry", name], check=True, capture_output=True)
