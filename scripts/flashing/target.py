"""Which disk is this, and may it be written?

`look` gathers the facts, `refuse_unless_safe` judges them. Each judgement has its own refusal, from the most telling
to the least: who names the system's disk hears that, not that it is not removable. What lsblk calls `hotplug` and
`serial` is not used: for a USB disk they say no and nothing although it is one and has one.
"""

from dataclasses import dataclass
from pathlib import Path

from .events import size
from .refusal import Code, Refusal
from .system import System, partitions, printable, read_text

# BOUND: more than cards and sticks for boards have; a backup disk in the next slot is often larger.
LARGE_BYTES = 256 * 10**9


@dataclass(frozen=True)
class Policy:
    """What the tests' own driver may change, and no option, no variable of the environment and no file."""

    virtual_disks: bool = False
    """Loop devices and device mappers count as removable disks."""


STRICT = Policy()


@dataclass(frozen=True)
class Disk:
    """A disk as the kernel describes it."""

    path: Path
    """As it was named."""
    number: str
    block: Path
    """Its folder in sysfs."""
    size: int
    sector: int
    """Bytes of a logical sector."""
    serial: str
    model: str
    transport: str
    """`usb`, `sd`, `emmc`, `nvme`, `virtual` or `other`."""
    removable: bool
    sequence: str
    """Counts on with each disk that appears: another card in the same slot has another."""

    @property
    def described(self) -> str:
        """A line for people."""
        serial = f", serial {self.serial}" if self.serial else ", no serial number"
        return f"{self.path} ({self.model or 'no model name'}, {self.transport}{serial}, {size(self.size)})"


def look(system: System, path: Path, policy: Policy) -> Disk:
    """The whole disk that `path` names."""
    node = system.node(path)
    if node.kind == "missing":
        raise Refusal(
            Code.NO_DEVICE,
            f"there is no {path}",
            "it would be created as a file, and fill memory or the system's disk instead of the card",
            "`lsblk` shows the disks; is the card in the reader?",
        )
    block = system.block(node.number) if node.kind == "block" else None
    if block is None:
        raise Refusal(
            Code.NOT_BLOCK,
            f"{path} is {'a file' if node.kind == 'file' else 'no block device'}",
            "a board boots from a disk",
            "name the disk, such as /dev/sdX or /dev/mmcblkN; a file is copied with cp",
        )
    if (block / "partition").exists():
        raise Refusal(
            Code.PARTITION,
            f"{path} is partition {read_text(block / 'partition')} of {block.parent.name}",
            "the image has a partition table of its own and needs the whole disk",
            f"name the disk, /dev/{block.parent.name}, if it is the right one",
        )
    transport, owner = _transport(block)
    if transport == "virtual" and not policy.virtual_disks:
        raise Refusal(
            Code.VIRTUAL,
            f"{path} is {block.name}, which this machine makes by itself",
            "no board boots from it, and what lies under it may be the system",
            "name a disk that can be pulled out",
        )
    return Disk(
        path=path,
        number=node.number,
        block=block,
        size=int(read_text(block / "size") or 0) * 512,
        sector=int(read_text(block / "queue" / "logical_block_size") or 512),
        serial=_serial(block, owner),
        model=_model(block, owner),
        transport=transport,
        removable=transport == "sd" or read_text(block / "removable") == "1" or policy.virtual_disks,
        sequence=read_text(block / "diskseq"),
    )


def refuse_unless_safe(system: System, disk: Disk, image: Path | None, serial: str) -> None:
    """Raises the refusal that fits best if the disk must not be written."""
    mounts = system.mounts()
    here = [mount for mount in mounts if disk.block in system.disks_below(mount.number)]
    for mount in here:
        if mount.is_of_the_system:
            raise Refusal(
                Code.SYSTEM_DISK,
                f"{disk.path} carries this system's {mount.point} ({mount.source})",
                "writing it would destroy this machine's system",
                "name the card's or the stick's device; `lsblk` shows which is which",
            )
    if image is not None and disk.block in system.disks_below(system.file_number(image, mounts)):
        raise Refusal(
            Code.IMAGE_ON_TARGET,
            f"{image} lies on {disk.path}",
            "it would be overwritten while it is read",
            "copy the image to another disk",
        )
    for mount in here:
        raise Refusal(
            Code.MOUNTED,
            f"{mount.source} of {disk.path} is mounted on {mount.point}",
            "who has it mounted would read and write a file system that is being replaced",
            f"umount {mount.point}, if it is the right disk",
        )
    for number, name in system.swaps():
        if disk.block in system.disks_below(number):
            raise Refusal(
                Code.SWAP,
                f"this machine swaps to {name} on {disk.path}",
                "the memory of running programs would be overwritten",
                f"swapoff {name}, if it is the right disk",
            )
    holders = [holder.name for part in [disk.block, *partitions(disk.block)] for holder in (part / "holders").glob("*")]
    if holders:
        raise Refusal(
            Code.HOLDERS,
            f"{', '.join(sorted(holders))} (LVM, LUKS, RAID or the like) uses {disk.path}",
            "what is built on the disk would be destroyed",
            "take it down first (vgchange -an, cryptsetup close, mdadm --stop), if it is the right disk",
        )
    _refuse_by_its_nature(disk, serial)


def _refuse_by_its_nature(disk: Disk, serial: str) -> None:
    if not disk.removable and disk.transport == "usb" and not serial:
        raise Refusal(
            Code.NOT_REMOVABLE,
            f"{disk.path} is a disk in a USB case ({disk.model}), not a card or a stick",
            "it may be somebody's backup",
            f"if it is to go into the board, add --serial {disk.serial or 'S'}",
        )
    if not disk.removable and disk.transport != "usb":
        raise Refusal(
            Code.NOT_REMOVABLE,
            f"{disk.path} is a built-in disk ({disk.transport})",
            "only what can be pulled out is written: cards, sticks, and with --serial disks in a USB case",
            "put the board's card or disk into a USB reader or case",
        )
    if disk.size == 0:
        raise Refusal(
            Code.NO_MEDIUM,
            f"{disk.path} has no medium",
            "the reader is there, the card is not, or it is not seen",
            "push the card in; try another slot or reader",
        )
    if read_text(disk.block / "ro") == "1":
        raise Refusal(
            Code.READ_ONLY,
            f"{disk.path} is read-only",
            "the kernel will not write to it",
            "move the card's lock slider; a worn-out card locks itself for good and has to be replaced",
        )
    if serial and serial != disk.serial:
        raise Refusal(
            Code.WRONG_SERIAL,
            f"{disk.path} has the serial number `{disk.serial or 'none'}`, not `{serial}`",
            "it is another disk than the one that was meant",
            "`scripts/flash BOARD --device DISK --dry-run` prints a disk's serial number",
        )
    if disk.size > LARGE_BYTES and not serial:
        raise Refusal(
            Code.LARGE_DISK,
            f"{disk.path} has {size(disk.size)}",
            f"above {size(LARGE_BYTES)} it is more likely somebody's backup than a board's disk",
            f"if it is right, add --serial {disk.serial or 'S'}",
        )


def refuse_too_small(disk: Disk, needed: int) -> None:
    """Raises if `needed` bytes do not fit."""
    if needed > disk.size:
        raise Refusal(
            Code.TOO_SMALL,
            f"the image needs {needed} bytes, {disk.path} has {disk.size}",
            "the end of the image would be missing",
            "take a larger card, or an image for a smaller one",
        )


def _transport(block: Path) -> tuple[str, Path | None]:
    """How the disk is connected, and the folder of the device that says its serial number."""
    if "/devices/virtual/" in str(block):
        return "virtual", None
    for folder in block.parents:
        if (folder / "idVendor").exists():
            return "usb", folder
    card = block / "device"
    kind = read_text(card / "type")
    if kind in ("SD", "MMC"):
        return ("sd" if kind == "SD" else "emmc"), card
    return ("nvme" if block.name.startswith("nvme") else "other"), card


def _serial(block: Path, owner: Path | None) -> str:
    places = [folder / "serial" for folder in (owner, block, block / "device") if folder is not None]
    return next((found for found in (printable(read_text(place)) for place in places) if found), "")


def _model(block: Path, owner: Path | None) -> str:
    device = block / "device"
    words = [read_text(device / "vendor"), read_text(device / "model") or read_text(device / "name")]
    if not any(words) and owner is not None:
        words = [read_text(owner / "manufacturer"), read_text(owner / "product")]
    return printable(" ".join(words))
