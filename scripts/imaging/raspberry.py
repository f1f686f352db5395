"""Raspberry Pi: the firmware reads kernel, device tree and arguments from the FAT partition.

With the key of Raspberry Pi's own archive, the kernel is theirs (`linux-image-rpi-v8-rt`), which drives the board's USB
and network. Without it, the kernel is Debian's: its 6.12 starts a Pi 5 from the card and speaks on the serial port,
and cannot drive the chip behind USB, Ethernet and the camera connectors. Neither was run on a board by this project.
"""

import shutil
from pathlib import Path

from .board import Board
from .disk import MIB, Identity, Layout
from .options import Options
from .reason import Code, Refusal
from .rootfs import SUITE, Root

KERNEL = "kernel8_rt.img"
INITRAMFS = "initramfs8_rt"

_CONFIG = f"""\
# Read by the firmware. `kernel` chooses the real-time kernel; it is the general one with pages of 4 KB.
arm_64bit=1
kernel={KERNEL}
initramfs {INITRAMFS} followkernel
enable_uart=1
# No clocks that change under the robot's feet.
force_turbo=1
disable_splash=1
"""


def packages(board: Board, options: Options) -> tuple[str, ...]:
    """The kernel and the firmware's files."""
    if options.repository_key:
        return (*board.kernels[SUITE], "raspi-firmware", "fdisk")
    return ("linux-image-rt-arm64", "fdisk")


def layout() -> Layout:
    """As Raspberry Pi's own images are."""
    return Layout("dos", 256 * MIB, "bootfs", "")


def prepare(root: Root, boot: Path, known: Identity, arguments: list[str]) -> None:
    """Fills the FAT partition's folder, and writes what mounts it."""
    root.lay("raspberry")
    root.write(
        "etc/fstab",
        f"PARTUUID={known.disk[:8]}-02 / ext4 errors=remount-ro,x-systemd.growfs 0 1\n"
        f"PARTUUID={known.disk[:8]}-01 /boot/firmware vfat umask=0077,nofail 0 2\n",
    )
    mounted = root.path / "boot/firmware"
    mounted.mkdir(exist_ok=True)
    # What Raspberry Pi's packages put there while they were installed.
    for item in sorted(mounted.iterdir()):
        shutil.move(item, boot / item.name)
    version = root.kernel()
    if not (boot / KERNEL).exists():
        shutil.copyfile(root.path / f"boot/vmlinuz-{version}", boot / KERNEL)
    shutil.copyfile(root.path / f"boot/initrd.img-{version}", boot / INITRAMFS)
    _device_trees(root, boot, version)
    (boot / "config.txt").write_text(_CONFIG, encoding="utf-8")
    line = [
        "console=serial0,115200",
        "console=tty1",
        f"root=PARTUUID={known.disk[:8]}-02",
        "rootfstype=ext4",
        "rootwait",
        "fsck.repair=yes",
        "quiet",
        "loglevel=3",
        *arguments,
    ]
    (boot / "cmdline.txt").write_text(" ".join(line) + "\n", encoding="utf-8")


def _device_trees(root: Root, boot: Path, version: str) -> None:
    if list(boot.glob("bcm2712*.dtb")):
        return
    found = sorted((root.path / f"usr/lib/linux-image-{version}/broadcom").glob("bcm2712*.dtb"))
    if not found:
        raise Refusal(
            Code.KERNEL,
            f"the kernel {version} has no device tree of a Raspberry Pi 5",
            "the firmware would not start it",
            "give the key of Raspberry Pi's archive with --repository-key, or a mirror with a newer kernel",
        )
    for path in found:
        shutil.copyfile(path, boot / path.name)
