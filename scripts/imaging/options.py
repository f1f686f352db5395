"""The command line."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from . import board
from .reason import table

USAGE = """\
Makes a system that boots on a board and runs reflexarc: Debian, its real-time kernel, isolated cores, ssh.

  scripts/image qemu-virt-aarch64 --ssh-key ~/.ssh/id_ed25519.pub
  scripts/image x86-64 --isolate 2-3 --ssh-key ~/.ssh/id_ed25519.pub
  scripts/image jetson-orin-nano --bsp Linux_for_Tegra --ssh-key ~/.ssh/id_ed25519.pub    prepares NVIDIA's BSP

Then `scripts/flash BOARD --image FILE` writes it. docs/images.md says what is in it.
"""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    board: str
    out: Path
    package: Path | None
    ssh_key: Path | None
    user: str
    hostname: str
    isolate: str
    mirror: str
    archive: str
    size: int
    epoch: int | None
    bsp: Path | None
    accept_license: bool
    repository_key: Path | None


def parse(words: list[str]) -> Options:
    """Reads the command line; ends the program with 2 where it cannot be understood, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="scripts/image",
        description=USAGE,
        epilog="boards: " + ", ".join(board.names()) + "\n\nexit codes:\n" + table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("board", metavar="BOARD", help="a folder below boards/, see the end")
    add(
        "--ssh-key",
        type=Path,
        metavar="FILE",
        help="the public key that may log in; without one, firstboot.conf must bring it",
    )
    add(
        "--user", default="robot", type=_user, metavar="NAME", help="who logs in and may become root (now: %(default)s)"
    )
    add("--hostname", type=_hostname, metavar="NAME", help="the machine's name [default: the board's]")
    add(
        "--isolate",
        type=_cores,
        metavar="CORES",
        help="such as 2-3, in place of the board file's isolated cores; `none` for none",
    )
    add("--package", type=Path, metavar="DEB", help="reflexarc's Debian package [default: made by scripts/package]")
    add(
        "--out", type=Path, default=Path("target/images"), metavar="DIR", help="where the image goes (now: %(default)s)"
    )
    add(
        "--size",
        type=_size,
        metavar="SIZE",
        help="of the whole image, such as 2G [default: what is in it, and 256 MiB]",
    )
    add(
        "--mirror",
        default="",
        metavar="URL",
        help="where Debian's packages are fetched [default: where this machine's apt does]",
    )
    add("--archive", default="http://deb.debian.org/debian", metavar="URL",
        help="what apt on the board will use (now: %(default)s)")  # fmt: skip
    add("--repository-key", type=Path, metavar="FILE",
        help="Raspberry Pi: the key of archive.raspberrypi.com; without it Debian's own kernel is used")  # fmt: skip
    add(
        "--epoch",
        type=int,
        metavar="SECONDS",
        help="the time of all files [default: SOURCE_DATE_EPOCH, else that of the commit]",
    )
    add(
        "--bsp",
        type=Path,
        metavar="DIR",
        help="Jetson: NVIDIA's Linux_for_Tegra, with the sample root file system in rootfs/",
    )
    add("--accept-license", action="store_true", help="Jetson: you have read and accept NVIDIA's licence")
    read = parser.parse_args(words)
    return Options(
        board=read.board,
        out=read.out,
        package=read.package,
        ssh_key=read.ssh_key,
        user=read.user,
        hostname=read.hostname or read.board,
        isolate=read.isolate or "",
        mirror=read.mirror,
        archive=read.archive,
        size=read.size or 0,
        epoch=read.epoch,
        bsp=read.bsp,
        accept_license=read.accept_license,
        repository_key=read.repository_key,
    )


def _user(text: str) -> str:
    # What Debian's adduser takes.
    if not re.fullmatch(r"[a-z][-a-z0-9_]{0,30}", text) or text in ("root", "reflexarc"):
        raise argparse.ArgumentTypeError(
            f"`{text}` is no name of a user: small letters, digits, - and _, not root or reflexarc"
        )
    return text


def _hostname(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no host name: small letters, digits and -, up to 63")
    return text


def _cores(text: str) -> str:
    if text != "none" and not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"`{text}` are no cores: such as 3, 2-3 or 1,3, or none")
    if "0" in re.split(r"[-,]", text):
        raise argparse.ArgumentTypeError("core 0 cannot be isolated: the kernel itself needs it")
    return text


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([MG])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"`{text}` is no size: such as 900M or 2G")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]]
