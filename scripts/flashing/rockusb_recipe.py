"""RK3588 boards: the board waits on USB, and rkdeveloptool writes its eMMC.

The tool finds only the state that decides the first step: in Maskrom the chip knows nothing of its memory and needs a
loader first; in Loader it has one. The order of writing is that of cards: the first MiB, which holds the loader, last.
"""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from . import board as boards
from . import usb, vendor
from .board import Board
from .confirm import Resolution
from .events import Log, size
from .flow import TargetState
from .image import HEAD, SEGMENT, Image, Segment, Survey
from .options import Options
from .refusal import Code, Refusal
from .system import System
from .usb import UsbDevice
from .vendor import Transcript

_SECTOR = 512
# BOUND: 30 MB/s by USB 2 are common; ten times slower is still not stopped for an image of 8 GB.
_LIMIT_S = 3600.0
_SILENCE_S = 300.0
# BOUND: what is read back at a time, and lies in a temporary file meanwhile.
_READ_BYTES = 64 << 20


class RockusbRecipe:
    """See the module, and `flow.Recipe`."""

    return_limit_s = 15.0

    def __init__(self, board: Board, options: Options, log: Log, system: System | None = None) -> None:
        self.target: TargetState = "unchanged"
        self._board = board
        self._options = options
        self._log = log
        self._system = system or System()
        self._image: Image
        self._survey: Survey
        self._device: UsbDevice
        self._mode = ""
        self._work = tempfile.TemporaryDirectory(prefix="flash-")

    def plan(self) -> None:
        if self._options.image is None:
            raise Refusal(
                Code.USAGE,
                "--image FILE is missing",
                f"it is what is written to {self._board.title}",
                "scripts/flash rock-5b --image system.img.zst --loader rk3588_spl_loader.bin --dry-run",
            )
        if self._options.resume:
            raise Refusal(
                Code.RECIPE,
                "a write by rkdeveloptool cannot be resumed",
                "the tool does not say how far it came",
                "leave out --resume",
            )
        self._image = Image(self._options.image)
        if self._image.sum_path is None:
            self._log.warn("no_checksum", "the image has no .sha256 beside it: that it is undamaged cannot be known")
        loader = self._options.loader
        if loader is not None and not loader.is_file():
            raise Refusal(
                Code.IMAGE_MISSING,
                f"there is no loader {loader}",
                "a board in Maskrom mode needs it",
                "fetch rk3588_spl_loader_*.bin from the board's vendor",
            )

    def host(self) -> None:
        if shutil.which("rkdeveloptool") is None:
            raise Refusal(
                Code.TOOL_MISSING,
                "rkdeveloptool is not installed",
                "it does the writing",
                "apt-get install rkdeveloptool, or build github.com/rockchip-linux/rkdeveloptool",
            )
        if os.geteuid() != 0 and self._system.is_real:
            self._log.warn("not_root", "without root a udev rule must allow 2207:350b; the tool's own stop at 350a")

    def detect(self) -> None:
        found = [device for device in usb.devices(self._system) if device.identifier in self._board.recovery]
        if len(found) > 1:
            raise Refusal(
                Code.SEVERAL_BOARDS,
                f"{len(found)} boards wait: {'; '.join(device.described for device in found)}",
                "rkdeveloptool cannot be told which to write",
                "unplug all but one",
            )
        self._device = usb.waiting(self._system, self._board, boards.all_boards(), self._options.usb_instance)
        self._mode = self._find_mode()
        self._log.event("usb", instance=self._device.instance, id=self._device.identifier, mode=self._mode)
        self._log.say(f"  {self._device.described}, in {self._mode} mode")

    def _find_mode(self) -> str:
        transcript = self._tool("ld", show=False)
        modes = re.findall(r"Vid=0x([0-9a-f]{4}),Pid=0x([0-9a-f]{4}),.*?\b(Maskrom|Loader)\b", transcript.text)
        mine = [mode for vendor_id, product, mode in modes if f"{vendor_id}:{product}" in self._board.recovery]
        if len(mine) != 1:
            raise Refusal(
                Code.NO_BOARD if not mine else Code.SEVERAL_BOARDS,
                f"rkdeveloptool ld says: {transcript.text.strip() or 'nothing'}",
                "exactly one board in Maskrom or Loader mode is needed",
                "run it as root; hold the maskrom button while the power comes on",
            )
        return str(mine[0])

    def identify(self) -> None:
        if self._mode == "Maskrom" and self._options.loader is None:
            raise Refusal(
                Code.USAGE,
                "the board is in Maskrom mode, and --loader FILE is missing",
                "in that mode the chip does not know its memory before a loader has started it",
                "add --loader rk3588_spl_loader_*.bin of the board's vendor",
            )
        self._survey = self._image.survey(_SECTOR)
        needed = self._survey.raw_size + 2 * _READ_BYTES
        free = shutil.disk_usage(self._work.name).free
        if free < needed:
            raise Refusal(
                Code.STATE,
                f"{Path(self._work.name).parent} has {size(free)} free, {size(needed)} are needed",
                "rkdeveloptool takes plain files only, so the image is unpacked there",
                "free some, or name another folder in TMPDIR",
            )

    def resolution(self) -> Resolution:
        return [
            ("board", f"{self._board.name} ({self._board.title})"),
            ("on USB", f"{self._device.described}, in {self._mode} mode"),
            ("image", f"{self._image.path}, {size(self._survey.raw_size)}"),
            ("content", self._survey.identity[:16]),
            ("loader", str(self._options.loader) if self._mode == "Maskrom" else "the one that runs"),
            ("erased", "what is on the board's eMMC, as far as the image reaches"),
        ]

    def steps(self) -> list[str]:
        start = [f"rkdeveloptool db {self._options.loader}"] if self._mode == "Maskrom" else []
        return [
            *start,
            "rkdeveloptool wl 0x0 ZEROS: from here on nothing boots from the eMMC",
            f"rkdeveloptool wl {HEAD // _SECTOR:#x} REST: all of the image but its first MiB",
            "rkdeveloptool rl: read all of it back, and compare",
            "rkdeveloptool wl 0x0 HEAD: from here on it boots",
            "rkdeveloptool rd: the board starts",
        ]

    def write(self) -> None:
        rest = self._unpack()
        if self._mode == "Maskrom":
            self._log.event("loader", path=str(self._options.loader))
            self._tool("db", str(self._options.loader))
            if usb.await_device(self._system, "", self._board.recovery, self.return_limit_s) is None:
                raise Refusal(
                    Code.USB_LOST,
                    f"the board did not come back within {self.return_limit_s:.0f} s after its loader was sent",
                    "the loader did not start: it is for another chip or memory, or the cable lost it",
                    "take its power away, and try the loader that the board's vendor names",
                )
        self.target = "incomplete"
        self._log.event("target_incomplete")
        self._tool("wl", "0x0", str(self._file("zeros", bytes(HEAD))))
        self._tool("wl", f"{HEAD // _SECTOR:#x}", str(rest))

    def _unpack(self) -> Path:
        """The tool takes files, so the image is unpacked; its first MiB stays out. Holes stay holes."""
        path = Path(self._work.name) / "rest"
        view = memoryview(bytearray(SEGMENT))
        with path.open("wb") as file:
            for segment, data in self._image.replay(self._survey.segments, view):
                file.seek(segment.offset - HEAD)
                file.write(data)
        return path

    def verify(self) -> None:
        done = 0
        for stretch in stretches(self._survey.segments):
            begin = stretch[0].offset
            back = self._read(begin, stretch[-1].end)
            for segment in stretch:
                data = back[segment.offset - begin : segment.end - begin]
                self._refuse_wrong(data, segment.sha256, segment.offset)
                done += segment.length
            self._log.progress("reading back", done, self._survey.written)

    def _read(self, begin: int, end: int) -> bytes:
        path = Path(self._work.name) / "back"
        path.unlink(missing_ok=True)
        self._tool("rl", f"{begin // _SECTOR:#x}", f"{(end - begin) // _SECTOR:#x}", str(path), show=False)
        return path.read_bytes() if path.exists() else b""

    def _refuse_wrong(self, data: bytes, sha256: str, offset: int) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Refusal(
                Code.VERIFY_CARD,
                f"the board's eMMC gives other data than was written, at {offset} bytes",
                "the memory or the cable is at fault; the image was checked while it was written",
                "try another cable without a hub; if the same place is named again, the eMMC is worn out",
            )

    def finalise(self) -> None:
        self._tool("wl", "0x0", str(self._file("head", self._survey.head)))
        self._refuse_wrong(self._read(0, HEAD), hashlib.sha256(self._survey.head).hexdigest(), 0)
        self.target = "complete"
        self._log.event("target_complete")
        self._tool("rd")

    def _file(self, name: str, content: bytes) -> Path:
        path = Path(self._work.name) / name
        path.write_bytes(content)
        return path

    def _tool(self, *words: str, show: bool = True) -> Transcript:
        command = ["rkdeveloptool", *words]
        transcript = vendor.run(command, self._log, limit_s=_LIMIT_S, silence_s=_SILENCE_S, show=show)
        # It says that it failed more reliably than its exit code does.
        if transcript.returncode != 0 or re.search(r"\bfail(ed)?\b", transcript.text, re.IGNORECASE):
            raise Refusal(
                Code.VENDOR_FAILED,
                f"rkdeveloptool {words[0]} failed: {transcript.tail() or f'exit code {transcript.returncode}'}",
                "the board's eMMC is not completely written"
                if self.target == "incomplete"
                else "nothing was written by this step",
                "take the board's power away, hold the maskrom button while it comes back, use another cable",
            )
        return transcript

    def report(self) -> list[str]:
        return [f"{self._board.title} is written, read back and started."]

    def close(self) -> None:
        self._work.cleanup()


def stretches(segments: tuple[Segment, ...]) -> list[list[Segment]]:
    """Segments that touch each other, in portions of at most `_READ_BYTES`: the tool reads one stretch at a time."""
    found: list[list[Segment]] = []
    for segment in segments:
        touches = found and found[-1][-1].end == segment.offset
        if touches and segment.end - found[-1][0].offset <= _READ_BYTES:
            found[-1].append(segment)
        else:
            found.append([segment])
    return found
