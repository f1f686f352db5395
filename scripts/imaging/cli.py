"""From the command line to the exit code."""

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from . import artefacts, disk, grub, host, jetson, options, raspberry, rootfs
from . import board as boards
from .board import Board
from .options import Options
from .reason import Code, Refusal

REPOSITORY = Path(__file__).resolve().parents[2]


def main(words: list[str]) -> int:
    """Makes an image; the exit code is the refusal's."""
    asked = options.parse(words)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        make(asked)
        return 0
    except Refusal as refusal:
        _say(f"\nimage: {refusal}")
        return refusal.code.exit_code
    except KeyboardInterrupt:
        _say("\nimage: E_INTERRUPTED: stopped by a signal; no image was left half-made")
        return Code.INTERRUPTED.exit_code
    except Exception as error:
        traceback.print_exc()
        unforeseen = Refusal(
            Code.UNFORESEEN,
            f"{type(error).__name__}: {error}",
            "it is a mistake of this program, or this machine does something that it does not know",
            "please report it, with the lines above",
        )
        _say(f"\nimage: {unforeseen}")
        return Code.UNFORESEEN.exit_code


def make(asked: Options) -> None:
    """Makes what was asked for."""
    board = boards.load(asked.board)
    epoch = _epoch(asked)
    jetson_board = board.recipe == "l4t-initrd"
    if not jetson_board and board.boot not in ("grub", "qemu-append", "rpi-cmdline"):
        raise Refusal(
            Code.RECIPE,
            f"no image is made for {board.title}",
            f"its boot file is that of `{board.boot}`, whose vendor's system has the drivers for it",
            f"take the vendor's or Armbian's image, write it with `scripts/flash {board.name}`, and bring reflexarc with "
            f"`scripts/deploy {board.name} HOST`",
        )
    if not asked.ssh_key and not jetson_board:
        _say("  warning: no --ssh-key: nobody can log in until firstboot.conf on the first partition brings one")
    host.check(board)
    package = asked.package or _package(board)
    if not package.is_file():
        raise Refusal(
            Code.PACKAGE,
            f"there is no {package}",
            "it brings reflexarc and its service",
            f"make it with scripts/package {board.name}",
        )
    if jetson_board:
        jetson.prepare(board, asked, package, epoch, _say)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    # In the folder of the result: a file system's files with their owners do not fit into every /tmp.
    work = Path(tempfile.mkdtemp(prefix=f".{board.name}.", dir=asked.out.resolve()))
    try:
        _build(board, asked, package, epoch, work)
    finally:
        host.remove(work)


def _build(board: Board, asked: Options, package: Path, epoch: int, work: Path) -> None:
    known = disk.identity(board.name, epoch)
    arguments = jetson.isolation(board, asked)
    raspberry_board = board.boot == "rpi-cmdline"
    kernel = (
        raspberry.packages(board, asked) if raspberry_board else (*board.kernels[rootfs.SUITE], *grub.packages(board))
    )

    _say(f"installing Debian {rootfs.SUITE} for {board.architecture} with {kernel[0]}")
    root = rootfs.bootstrap(board, asked, kernel, work / "root", epoch)
    _say("setting it up")
    rootfs.settle(root, asked)
    if "vivid" in board.cameras:
        root.lay("vivid")
    _say(f"installing {package.name}")
    rootfs.install_reflexarc(root, package)
    _say("making the initramfs")
    rootfs.make_initramfs(root, () if raspberry_board else grub.initramfs_modules(board))
    boot = work / "boot"
    boot.mkdir()
    if raspberry_board:
        raspberry.prepare(root, boot, known, arguments)
        layout = raspberry.layout()
    else:
        grub.prepare(board, root, boot, known, arguments)
        layout = grub.layout(board)
    (boot / "firstboot.conf").write_text(_FIRSTBOOT, encoding="utf-8")
    about = _about(board, asked, root, package, epoch, arguments)
    rootfs.forget_traces(root)
    for path in (boot, *boot.rglob("*")):
        os.utime(path, (epoch, epoch))

    _say("making the disk")
    image = work / f"reflexarc-{board.name}.img"
    disk.make(image, layout, known, boot, root.path, asked.size, epoch)
    host.remove(root.path)
    _say("compressing")
    for path in [*artefacts.publish(image, about), image]:
        final = asked.out / path.name
        path.replace(final)
        _say(f"  {final}  {final.stat().st_size / 1e6:.1f} MB")
    _say(f"Next: scripts/flash {board.name} --image {asked.out / image.name}.zst --device /dev/sdX --dry-run")


_FIRSTBOOT = """\
# Read once, at the first boot; lines without # count. Write this file on any computer after flashing.
#hostname = robot-7
#ssh_key = ssh-ed25519 AAAA... you@laptop
#timezone = Europe/Berlin
# Without these three the network is asked (DHCP).
#address = 192.168.1.7/24
#gateway = 192.168.1.1
#dns = 192.168.1.1
# Of the user who logs in, as `openssl passwd -6` prints it; for the keyboard only, ssh takes keys alone.
#password_hash = $6$...
# Cores for the runtime alone; the board then restarts once more.
#isolate = 2-3
"""


def _about(
    board: Board, asked: Options, root: rootfs.Root, package: Path, epoch: int, arguments: list[str]
) -> dict[str, Any]:
    """What is in the image. No mirror's address: the same packages make the same image wherever they come from."""
    commit = host.run(["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"], quiet=True).stdout.decode().strip()
    about = {
        "schema": 1,
        "board": board.name,
        "commit": commit,
        "epoch": epoch,
        "suite": rootfs.SUITE,
        "kernel": root.kernel(),
        "arguments": arguments,
        "hostname": asked.hostname,
        "user": asked.user,
        "reflexarc": {"package": package.name, "sha256": artefacts.sha256(package)},
        "packages": root.packages(),
    }
    root.write(
        "usr/share/reflexarc/image.json",
        artefacts.as_json({key: value for key, value in about.items() if key != "packages"}),
    )
    return about


def _epoch(asked: Options) -> int:
    if asked.epoch is not None:
        return asked.epoch
    if text := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(text)
    done = host.run(["git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct"], quiet=True)
    # From an archive without git there is no better one than a constant.
    return int(done.stdout or 0) or 1_760_000_000


def _package(board: Board) -> Path:
    """Has the package made."""
    _say("making reflexarc's package")
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts/package"), board.name], stdout=subprocess.PIPE, check=False
    )
    lines = done.stdout.decode().split()
    if done.returncode != 0 or not lines:
        raise Refusal(
            Code.PACKAGE,
            f"scripts/package {board.name} failed ({done.returncode})",
            "the image carries the package",
            "see above",
        )
    return Path(lines[-1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
