"""What the tests of scripts/flash are made with: trees that stand for machines, images, loop devices.

Trees are used to judge disks only; whatever is written is a real block device.
"""

import dataclasses
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from flashing import board as boards  # noqa: E402
from flashing import flow  # noqa: E402
from flashing.block_recipe import BlockRecipe  # noqa: E402
from flashing.events import Log  # noqa: E402
from flashing.flow import Recipe  # noqa: E402
from flashing.options import Options, parse  # noqa: E402
from flashing.refusal import Code, Refusal  # noqa: E402
from flashing.system import Node, System  # noqa: E402
from flashing.target import Policy  # noqa: E402

__all__ = ["Code", "Log", "Node", "Options", "Policy", "Recipe", "Refusal", "System", "boards", "flow"]

MIB = 1 << 20
# Smaller than in use, so that small images have many segments.
SEGMENT = MIB
LOOPS = Policy(virtual_disks=True)


def skip(reason: str) -> None:
    """Skips a test and says so also where the runner is not asked for words."""
    print(f"skipped: {reason}", file=sys.stderr)
    raise unittest.SkipTest(reason)


class Quiet:
    """A terminal that keeps what is said."""

    def __init__(self) -> None:
        self.words = ""

    def write(self, text: str) -> int:
        self.words += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


class FlashTest(unittest.TestCase):
    """A test with a folder of its own, and the way that a person goes: a dry run, then the token."""

    def setUp(self) -> None:
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="flash-test-")))
        self.state = self.folder / "state"
        self.events: list[dict[str, Any]] = []
        self.terminal = Quiet()

    def options(self, *words: str) -> Options:
        return parse([*words, "--state", str(self.state)])

    def log(self, *observers: Callable[[dict[str, Any]], None]) -> Log:
        log = Log(self.terminal)  # type: ignore[arg-type]
        self.events = []
        log.observers += [self.events.append, *observers]
        return log

    def event(self, name: str) -> dict[str, Any]:
        """The last event of that name."""
        return next(event for event in reversed(self.events) if event["event"] == name)

    def flash(
        self,
        make: Callable[[Options, Log], Recipe],
        options: Options,
        *observers: Callable[[dict[str, Any]], None],
    ) -> Recipe:
        """A dry run for the token, and then the flash."""
        dry = dataclasses.replace(options, dry_run=True)
        log = self.log()
        flow.run(make(dry, log), dry, log)
        wet = dataclasses.replace(options, token=self.event("plan")["token"])
        log = self.log(*observers)
        self.recipe = make(wet, log)
        flow.run(self.recipe, wet, log)
        return self.recipe

    def write(
        self, image: Path, device: Path, *words: str, observer: Callable[[dict[str, Any]], None] = lambda e: None
    ) -> Recipe:
        """Writes an image to a loop device as the board x86-64."""
        board = boards.load("x86-64")

        def make(options: Options, log: Log) -> Recipe:
            return BlockRecipe(board, options, log, policy=LOOPS, segment=SEGMENT)

        options = self.options("x86-64", "--image", str(image), "--device", str(device), *words)
        return self.flash(make, options, observer)

    def refused(self, code: Code, action: Callable[[], Any]) -> Refusal:
        """The refusal of an action, which must be this one."""
        with self.assertRaises(Refusal) as caught:
            action()
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return caught.exception

    def image(self, size: int, *, name: str = "system.img", seed: int = 1, summed: bool = True) -> Path:
        """An image of random bytes, with the mark of a boot sector and its checksum beside it."""
        content = bytearray(random.Random(seed).randbytes(size))
        content[510:512] = b"\x55\xaa"
        path = self.folder / name
        path.write_bytes(content)
        if summed:
            sum_beside(path)
        return path

    def loop(self, size: int, *words: str, backing: Path | None = None) -> tuple[Path, Path]:
        """A loop device with something on it, and the file behind it."""
        if os.geteuid() != 0:
            skip("loop devices need root")
        if backing is None:
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".disk")
            backing = Path(name)
            # Not zeros: what was there before must be seen to go.
            os.pwrite(handle, b"\xee" * (2 * MIB), 0)
            os.pwrite(handle, b"\xee" * MIB, size - MIB)
            os.ftruncate(handle, size)
            os.close(handle)
        command = ["losetup", "--find", "--show", *words, str(backing)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            skip("losetup is not installed")
        if done.returncode != 0:
            skip(f"this machine gives no loop device: {done.stderr.strip()}")
        device = Path(done.stdout.strip())
        self.stack.callback(subprocess.run, ["losetup", "--detach", str(device)], check=False)
        return device, backing

    def tools(self, **scripts: str) -> Path:
        """A folder with shell scripts that stand for programs, first on PATH."""
        folder = self.folder / "tools"
        folder.mkdir(exist_ok=True)
        for name, text in scripts.items():
            script(folder / name.replace("_", "-"), text)
        before = os.environ["PATH"]
        self.stack.callback(os.environ.__setitem__, "PATH", before)
        os.environ["PATH"] = f"{folder}:{before}"
        return folder


def script(path: Path, text: str) -> None:
    """A shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n", encoding="utf-8")
    path.chmod(0o755)


def sum_beside(path: Path) -> None:
    """Writes the `.sha256` of a file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")


class Tree(System):
    """A machine made of files. Names in /dev are kept in a table: a tree has no real devices."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._nodes: dict[str, Node] = {}
        self._mounts: list[str] = []
        self._swaps = "Filename Type Size Used Priority\n"
        self.write("proc/self/mountinfo", "")
        self.write("proc/swaps", self._swaps)

    def machine(self) -> str:
        return "x86_64"

    def node(self, path: Path) -> Node:
        return self._nodes.get(str(path)) or super().node(path)

    def write(self, path: str, text: str) -> None:
        """A file of the tree."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def _block(self, folder: str, number: str, size: int) -> Path:
        block = self.root / "sys/devices" / folder
        for name in ("holders", "slaves"):
            (block / name).mkdir(parents=True)
        self.write(f"sys/devices/{folder}/size", f"{size // 512}\n")
        link = self.root / "sys/dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(block)
        self._nodes[f"/dev/{block.name}"] = Node("block", number)
        return block

    def disk(
        self, name: str, number: str, at: str = "pci0/ata1", *, size: int = 32 * 10**9, removable: int = 0, ro: int = 0
    ) -> Path:
        """A whole disk behind the device `at`."""
        folder = f"{at}/block/{name}"
        block = self._block(folder, number, size)
        self.write(f"sys/devices/{folder}/removable", f"{removable}\n")
        self.write(f"sys/devices/{folder}/ro", f"{ro}\n")
        self.write(f"sys/devices/{folder}/queue/logical_block_size", "512\n")
        self.write(f"sys/devices/{folder}/diskseq", "7\n")
        return block

    def stick(self, name: str, number: str, serial: str = "REFLEXARC0001", size: int = 32 * 10**9) -> Path:
        """A USB stick."""
        self.usb("1-2", "18d1:4e40", "TestVendor", "FakeSD", serial=serial)
        return self.disk(name, number, "pci0/usb1/1-2/1-2:1.0/host0/target0/0:0:0:0", size=size, removable=1)

    def partition(self, disk: Path, name: str, number: str) -> Path:
        """A partition of a disk."""
        folder = str(disk.relative_to(self.root / "sys/devices") / name)
        block = self._block(folder, number, 10**9)
        self.write(f"sys/devices/{folder}/partition", "1\n")
        return block

    def mapper(self, name: str, number: str, *slaves: Path) -> Path:
        """A device mapper (LVM, LUKS, RAID) over others."""
        block = self._block(f"virtual/block/{name}", number, 10**9)
        for slave in slaves:
            (block / "slaves" / slave.name).symlink_to(slave)
            (slave / "holders" / name).symlink_to(block)
        return block

    def mount(self, number: str, point: str, source: str, kind: str = "ext4") -> None:
        """A mounted file system."""
        self._mounts.append(f"{20 + len(self._mounts)} 1 {number} / {point} rw,relatime - {kind} {source} rw\n")
        self.write("proc/self/mountinfo", "".join(self._mounts))

    def swap(self, name: str) -> None:
        """Swaps to a device."""
        self._swaps += f"{name} partition 1000 0 -2\n"
        self.write("proc/swaps", self._swaps)

    def usb(
        self, instance: str, identifier: str, maker: str, product: str, *, serial: str = "", speed: str = "480"
    ) -> None:
        """A device on the USB bus."""
        folder = f"sys/devices/pci0/usb{instance[0]}/{instance}"
        vendor, number = identifier.split(":")
        about = {"idVendor": vendor, "idProduct": number, "manufacturer": maker, "product": product, "speed": speed}
        for name, text in (about | ({"serial": serial} if serial else {})).items():
            self.write(f"{folder}/{name}", text + "\n")
        link = self.root / "sys/bus/usb/devices" / instance
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(self.root / folder)

    def unplug(self, instance: str) -> None:
        """Takes a device off the bus."""
        (self.root / "sys/bus/usb/devices" / instance).unlink()
