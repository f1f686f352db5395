"""Boards whose firmware is UEFI: Debian's signed GRUB on the first partition, the kernel on the root file system."""

import shutil
from pathlib import Path

from .board import Board
from .disk import ESP_TYPE, MIB, ROOT_TYPES, Identity, Layout
from .reason import Code, Refusal
from .rootfs import Root

# Removable media: what UEFI starts where nothing else is set up.
_LOADERS = {
    "arm64": ("grub-efi-arm64-signed", "arm64-efi-signed/grubaa64.efi.signed", "BOOTAA64.EFI"),
    "amd64": ("grub-efi-amd64-signed", "x86_64-efi-signed/grubx64.efi.signed", "BOOTX64.EFI"),
}

# What the emulated board boots from and with; other machines get all drivers.
_EMULATED = ("usb-storage", "uas", "xhci-pci", "xhci-hcd", "sd_mod", "virtio_pci", "virtio_blk", "virtio_scsi", "ext4")

__all__ = ["ESP_TYPE", "layout", "packages", "prepare"]


def packages(board: Board) -> tuple[str, ...]:
    """Beside the kernel."""
    return (_LOADERS[board.architecture][0], "grub2-common")


def initramfs_modules(board: Board) -> tuple[str, ...]:
    """Empty for all drivers."""
    return _EMULATED if "vivid" in board.cameras else ()


def layout(board: Board) -> Layout:
    """A small EFI system partition, and the rest."""
    return Layout("gpt", 64 * MIB, "BOOT", ROOT_TYPES[board.architecture])


def prepare(board: Board, root: Root, boot: Path, known: Identity, arguments: list[str]) -> None:
    """Fills the EFI system partition's folder, and writes the configurations on the root file system."""
    root.lay("grub")
    consoles = ["console=tty0", "console=ttyS0,115200"] if board.architecture == "amd64" else []
    common = [*consoles, "quiet", "loglevel=3", "fsck.repair=yes"]
    root.write(
        "etc/fstab",
        f"UUID={known.root} / ext4 errors=remount-ro,x-systemd.growfs 0 1\n"
        f"PARTUUID={known.boot_partition} /boot/efi vfat umask=0077,nofail 0 2\n",
    )
    (root.path / "boot/efi").mkdir(exist_ok=True)
    root.write(
        "etc/default/grub",
        "# update-grub reads this file, then those in grub.d/.\n"
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=2\nGRUB_DISTRIBUTOR=reflexarc\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="{" ".join(common)}"\n',
    )
    if arguments:
        root.write(
            "etc/default/grub.d/reflexarc.cfg", f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(arguments)}"\n'
        )
    version = root.kernel()
    root.write("boot/grub/grub.cfg", _menu(version, known, common, arguments))

    _, loader, name = _LOADERS[board.architecture]
    signed = root.path / "usr/lib/grub" / loader
    if not signed.is_file():
        raise Refusal(
            Code.KERNEL,
            f"the system has no /usr/lib/grub/{loader}",
            "the firmware starts it",
            "is the package of that name in the archive given by --mirror?",
        )
    place = boot / "EFI/BOOT"
    place.mkdir(parents=True)
    shutil.copyfile(signed, place / name)
    # The signed GRUB looks here and nowhere else.
    (boot / "EFI/debian").mkdir()
    (boot / "EFI/debian/grub.cfg").write_text(
        f"search.fs_uuid {known.root} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
        encoding="utf-8",
    )


def _menu(version: str, known: Identity, common: list[str], arguments: list[str]) -> str:
    """The first menu. `update-grub` on the board writes Debian's own in its place."""

    def entry(title: str, words: list[str]) -> str:
        line = " ".join([f"root=UUID={known.root}", "ro", *words])
        return (
            f'menuentry "{title}" {{\n  linux /boot/vmlinuz-{version} {line}\n  initrd /boot/initrd.img-{version}\n}}\n'
        )

    head = f"set default=0\nset timeout=2\nsearch --no-floppy --fs-uuid --set=root {known.root}\n"
    if not arguments:
        return head + entry("reflexarc", common)
    return head + entry("reflexarc", [*common, *arguments]) + entry("reflexarc, no core isolated", common)
