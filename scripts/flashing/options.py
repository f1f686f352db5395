"""The command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from . import board, jetson_host
from .refusal import table

USAGE = """\
Writes a system onto a board, in the stages plan, host, detect, identify, confirm, write, verify, finalise, report.

  scripts/flash raspberry-pi-5 --image system.img.zst --device /dev/sdX --dry-run    shows the plan, changes nothing
  scripts/flash raspberry-pi-5 --image system.img.zst --device /dev/sdX              asks for the plan's token
  scripts/flash jetson-orin-nano --bsp Linux_for_Tegra                               a board in recovery mode on USB
"""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    board: str
    image: Path | None
    device: Path | None
    serial: str
    usb_instance: str
    bsp: Path | None
    loader: Path | None
    accept: frozenset[str]
    dry_run: bool
    check_host: bool
    token: str
    resume: bool
    events: Path | None
    state: Path


def parse(words: list[str]) -> Options:
    """Reads the command line; ends the program with 2 where it cannot be understood, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="scripts/flash",
        description=USAGE,
        epilog="boards: "
        + ", ".join(board.names())
        + "\n\nexit codes:\n"
        + table()
        + "\n\ndocs/flashing.md explains them, and the event log.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("board", metavar="BOARD", help="a folder below boards/, see the end")
    add("--image", type=Path, metavar="FILE", help="what is written: .img, .img.zst or .img.xz")
    add("--device", type=Path, metavar="DISK", help="the card, stick or disk that is written, such as /dev/sdX")
    add("--serial", default="", metavar="S", help="refuse a disk with another serial number")
    add("--usb-instance", default="", metavar="B-P", help="the board on this USB port, such as 1-4.2")
    add("--bsp", type=Path, metavar="DIR", help="NVIDIA's Linux_for_Tegra, unpacked and prepared")
    add("--loader", type=Path, metavar="FILE", help="Rockchip's loader, for a board in Maskrom mode")
    acceptable = ", ".join(sorted(jetson_host.ACCEPTABLE))
    add("--accept", action="append", default=[], metavar="CHECK", choices=sorted(jetson_host.ACCEPTABLE),
        help=f"go on although this check of the host failed: {acceptable}")  # fmt: skip
    add("--dry-run", action="store_true", help="show the plan and its token, and change nothing")
    add("--check-host", action="store_true", help="only check whether this machine can flash the board")
    add("--yes", default="", metavar="TOKEN", help="the token that the plan printed, instead of typing it")
    add("--resume", action="store_true", help="go on with an interrupted write of the same image to the same disk")
    add("--events", type=Path, metavar="FILE", help="where the event log goes (JSON lines)")
    add("--state", type=Path, default=_state_folder(), metavar="DIR",
        help="where logs, backups and journals are kept (now: %(default)s)")  # fmt: skip
    read = parser.parse_args(words)
    return Options(
        board=read.board,
        image=read.image,
        device=read.device,
        serial=read.serial,
        usb_instance=read.usb_instance,
        bsp=read.bsp,
        loader=read.loader,
        accept=frozenset(read.accept),
        dry_run=read.dry_run,
        check_host=read.check_host,
        token=read.yes,
        resume=read.resume,
        events=read.events,
        state=read.state,
    )


def _state_folder() -> Path:
    """Not in the checkout: flashing runs as root, whose files would be in the way of its user."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "reflexarc" / "flash"
