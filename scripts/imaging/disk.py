"""One file that is a disk: a partition table, a FAT partition that the firmware reads, and the root file system."""

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import host
from .reason import Code, Refusal

MIB = 1 << 20
SECTOR = 512
FIRST = 1 * MIB

# Of the discoverable partitions specification: what systemd-repart knows the root file system by.
ROOT_TYPES = {"arm64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "amd64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"}
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

# Any constant does: identifiers follow from it and from names, so that the same image has the same ones.
_NAMES = uuid.UUID("6f6a1c1e-6c0b-4a0e-9a7e-2f3f0d1b7c55")


@dataclass(frozen=True)
class Identity:
    """What the disk and its file systems are called. The same for the same board and time."""

    disk: str
    root: str
    root_partition: str
    boot_partition: str


def identity(board: str, epoch: int) -> Identity:
    """The identifiers of a board's image."""

    def named(part: str) -> str:
        return str(uuid.uuid5(_NAMES, f"{board}/{epoch}/{part}"))

    return Identity(named("disk"), named("root"), named("root-partition"), named("boot-partition"))


@dataclass(frozen=True)
class Layout:
    """What the firmware wants of the disk."""

    label: str
    """`gpt` or `dos`."""
    boot_size: int
    boot_name: str
    root_type: str


def make(path: Path, layout: Layout, known: Identity, boot: Path, root: Path, size: int, epoch: int) -> None:
    """Makes the disk image `path` out of two folders. `size` is of the whole, 0 for what is needed."""
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)}
    boot_image, root_image = path.with_suffix(".boot"), path.with_suffix(".root")
    end = MIB  # The second copy of a GPT.
    content = _content(root)
    # An inode and its share of tables for each file, and room to live; the first boot grows it to the disk's end.
    wanted = content + content // 16 + 256 * MIB
    root_size = (size - FIRST - layout.boot_size - end if size else wanted) // MIB * MIB
    if root_size < content + content // 16:
        raise Refusal(
            Code.TOO_SMALL,
            f"{size // MIB} MiB do not hold a system of {content // MIB} MiB and its boot partition",
            "the file system would be full",
            f"give --size {(content + content // 8 + layout.boot_size) // MIB + 64}M or more, or none",
        )
    try:
        _fat(boot_image, layout, boot, environment)
        _ext4(root_image, known, root, root_size, environment)
        _set_times(root_image, epoch)
        _assemble(path, layout, known, boot_image, root_image, end)
    finally:
        boot_image.unlink(missing_ok=True)
        root_image.unlink(missing_ok=True)


def _content(root: Path) -> int:
    """What the files take in blocks of 4 KiB."""
    return sum(
        -(-found.lstat().st_size // 4096) * 4096 + 256
        for found in root.rglob("*")
        if not found.is_dir() or found.is_symlink()
    )


def _fat(path: Path, layout: Layout, folder: Path, environment: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(layout.boot_size)
    host.must(
        Code.FILE_SYSTEM, ["mkfs.vfat", "-F", "32", "-n", layout.boot_name, "--invariant", str(path)], env=environment
    )
    for item in sorted(folder.iterdir()):
        # -m: the files' own times, which are the image's.
        host.must(
            Code.FILE_SYSTEM, ["mcopy", "-i", str(path), "-s", "-m", "-p", "-Q", str(item), "::/"], env=environment
        )


def _ext4(path: Path, known: Identity, folder: Path, size: int, environment: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    host.must(
        Code.FILE_SYSTEM,
        [
            "mke2fs", "-q", "-t", "ext4", "-L", "reflexarc-root", "-U", known.root, "-m", "1", "-d", str(folder),
            # Without the two newest features, which older GRUBs cannot read.
            "-O", "^metadata_csum_seed,^orphan_file",
            "-E", f"hash_seed={known.root},lazy_itable_init=0,lazy_journal_init=0",
            str(path), f"{size // 1024}k",
        ],
        env=environment,
    )  # fmt: skip


def _set_times(path: Path, epoch: int) -> None:
    """mke2fs takes the times of change and of access from the folder's files, where they tell of this run."""
    listed = host.must(Code.FILE_SYSTEM, ["dumpe2fs", str(path)]).decode()
    count = int(listed.partition("Inode count:")[2].split()[0])
    free: set[int] = set()
    for found in re.finditer(r"^  Free inodes: (.*)$", listed, re.MULTILINE):
        for words in found[1].split(", "):
            first, _, last = words.partition("-")
            if first:
                free.update(range(int(first), int(last or first) + 1))
    used = (number for number in range(1, count + 1) if number not in free)
    script = "".join(
        f"sif <{number}> {time} @{epoch}\nsif <{number}> {time}_extra 0\n"
        for number in used
        for time in ("ctime", "atime")
    )
    host.must(Code.FILE_SYSTEM, ["debugfs", "-w", "-f", "-", str(path)], feed=script.encode())


def _assemble(path: Path, layout: Layout, known: Identity, boot: Path, root: Path, end: int) -> None:
    boot_size, root_size = boot.stat().st_size, root.stat().st_size
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(FIRST + boot_size + root_size + end)
    boot_at, root_at = FIRST // SECTOR, (FIRST + boot_size) // SECTOR
    if layout.label == "gpt":
        table = (
            f"label: gpt\nlabel-id: {known.disk}\nfirst-lba: 34\nunit: sectors\n"
            f"start={boot_at}, size={boot_size // SECTOR}, type={ESP_TYPE}, uuid={known.boot_partition}, name=boot\n"
            f"start={root_at}, size={root_size // SECTOR}, type={layout.root_type}, uuid={known.root_partition}, "
            "name=root\n"
        )
    else:
        table = (
            f"label: dos\nlabel-id: 0x{known.disk[:8]}\nunit: sectors\n"
            f"start={boot_at}, size={boot_size // SECTOR}, type=c, bootable\n"
            f"start={root_at}, size={root_size // SECTOR}, type=83\n"
        )
    host.must(Code.FILE_SYSTEM, ["sfdisk", "--quiet", str(path)], feed=table.encode())
    _copy(boot, path, FIRST)
    _copy(root, path, FIRST + boot_size)


def _copy(source: Path, target: Path, offset: int) -> None:
    """Copies the data of a sparse file into a larger one."""
    with source.open("rb") as read, target.open("r+b") as write:
        size = source.stat().st_size
        position = 0
        while position < size:
            try:
                begin = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:
                return  # Nothing but holes to the end.
            stop = os.lseek(read.fileno(), begin, os.SEEK_HOLE)
            read.seek(begin)
            write.seek(offset + begin)
            left = stop - begin
            while left:
                piece = read.read(min(left, MIB))
                write.write(piece)
                left -= len(piece)
            position = stop
