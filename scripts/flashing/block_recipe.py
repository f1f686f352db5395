"""Boards that boot from a card, a stick or a disk: the host writes the whole image to it."""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from . import backup, journal
from .board import Board
from .confirm import Resolution
from .device import Device
from .events import Log, size
from .flow import TargetState
from .image import SEGMENT, Image, Survey
from .journal import Journal
from .options import Options
from .refusal import Code, Refusal
from .system import System
from .target import STRICT, Disk, Policy, look, refuse_too_small, refuse_unless_safe
from .writer import Writer


class BlockRecipe:
    """See the module, and `flow.Recipe`."""

    def __init__(
        self,
        board: Board,
        options: Options,
        log: Log,
        system: System | None = None,
        policy: Policy = STRICT,
        segment: int = SEGMENT,
    ) -> None:
        self.target: TargetState = "unchanged"
        self._board = board
        self._options = options
        self._log = log
        self._system = system or System()
        self._policy = policy
        self._segment = segment
        self._image: Image
        self._disk: Disk
        self._survey: Survey
        self._writer: Writer
        self._state: Journal | None = None
        self._table: Path | None = None
        self._device: Device | None = None

    def plan(self) -> None:
        image, device = self._options.image, self._options.device
        if image is None or device is None:
            missing = "--image FILE" if image is None else "--device DISK"
            raise Refusal(
                Code.USAGE,
                f"{missing} is missing",
                f"{self._board.title} boots from a disk that this machine writes: it must know what and where",
                "scripts/flash BOARD --image system.img.zst --device /dev/sdX --dry-run",
            )
        self._image = Image(image)
        for found, name in ((self._image.sum_path, ".sha256"), (self._image.bmap_path, ".bmap")):
            self._log.say(f"  {name}: {found or 'none beside the image'}")
        if self._image.sum_path is None:
            self._log.warn("no_checksum", f"{image} has no .sha256 beside it: that it is undamaged cannot be known")

    def host(self) -> None:
        if os.geteuid() != 0 and not self._options.dry_run and self._system.is_real:
            raise Refusal(
                Code.NOT_ROOT,
                "this is not run by root",
                "a disk may be written by root only",
                "run it with sudo",
            )

    def detect(self) -> None:
        assert self._options.device is not None
        # By its real name from here on: a link in /dev/disk could be turned to another disk meanwhile.
        path = self._options.device.resolve() if self._system.is_real else self._options.device
        self._disk = look(self._system, path, self._policy)
        self._log.event("disk", **_as_fields(self._disk))
        self._log.say(f"  {self._disk.described}")

    def identify(self) -> None:
        refuse_unless_safe(self._system, self._disk, self._image.path.resolve(), self._options.serial)
        # Asked early, so that one need not wait for the image to be read to hear of it.
        if os.geteuid() == 0 and self._system.is_real:
            Device(self._disk, writable=False).close()
        elif self._system.is_real:
            self._log.warn("not_root", "without root it is not known whether the kernel gives the disk exclusively")
        total = self._image.path.stat().st_size if self._image.kind == "raw" else 0
        report = partial(self._log.progress, "reading the image", total=total) if total else lambda done: None
        self._survey = self._image.survey(self._disk.sector, report, self._segment)
        end = max([len(self._survey.head), *(segment.end for segment in self._survey.segments)])
        refuse_too_small(self._disk, max(end, self._survey.raw_size))
        if self._survey.head[510:512] != b"\x55\xaa":
            self._log.warn("no_boot_signature", "the image's first sector does not end in 55 aa: is it a whole disk?")
        if self._disk.sector != 512:
            self._log.warn("sector", f"the disk's sectors have {self._disk.sector} bytes; most images are for 512")
        if self._options.resume:
            self._state = self._resumed()

    def _resumed(self) -> Journal:
        found = journal.load(self._journal_path, self._disk)
        if (found.image, found.board, found.size) != (self._survey.identity, self._board.name, self._disk.size):
            raise journal.other_job(
                f"the interrupted write was of the image {found.image[:16]} for {found.board}, "
                f"this one is {self._survey.identity[:16]} for {self._board.name}"
            )
        return found

    @property
    def _journal_path(self) -> Path:
        return journal.path_of(self._options.state, self._disk)

    def resolution(self) -> Resolution:
        disk, survey = self._disk, self._survey
        labels = [part.name for part in sorted(disk.block.glob(f"{disk.block.name}*"))]
        return [
            ("board", f"{self._board.name} ({self._board.title})"),
            (
                "image",
                f"{self._image.path}, {size(survey.raw_size)}, {size(survey.written + len(survey.head))} of it used",
            ),
            ("content", survey.identity[:16]),
            ("checked by", str(self._image.sum_path or "nothing: there is no .sha256")),
            ("target", disk.described),
            ("device number", f"{disk.number}, appearance {disk.sequence or 'not counted'}"),
            ("now on it", ", ".join(labels) or "no partitions"),
            ("mode", f"resume after {self._state.sealed} segments" if self._state else "write all"),
        ]

    def steps(self) -> list[str]:
        path = self._disk.path
        begin = (
            ["read back what was written before, and believe only that"]
            if self._state and self._state.prepared
            else [f"save the first and the last MiB of {path} below {self._options.state / 'backups'}"]
        )
        return [
            f"open {path} exclusively and past the page cache (O_EXCL, O_DIRECT)",
            *begin,
            f"zero the first MiB of {path}: from here on nothing boots from it"
            + ("" if self._state else "; zero the last MiB too"),
            f"write {len(self._survey.segments)} segments, {size(self._survey.written)}, all but the first MiB",
            "sync, drop what is cached, and read all of it back from the medium",
            "write the first MiB, sync, and read it back: from here on it boots",
        ]

    def write(self) -> None:
        self._device = device = Device(self._disk)
        self._writer = Writer(device, self._image, self._survey, self._journal_path, self._log.progress)
        state = self._state
        if state is None:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            name = f"{self._board.name}-{''.join(c for c in self._disk.serial if c.isalnum()) or 'disk'}-{stamp}"
            self._table = backup.save(device, self._options.state / "backups", name)
            self._log.event("backup", path=str(self._table))
            self._log.say(f"  the old partition table is in {self._table}")
            identity = self._survey.identity
            state = Journal(self._board.name, identity, self._disk.size, False, 0, str(self._table))
        else:
            self._table = Path(state.backup)
        self.target = "incomplete"
        self._log.event("target_incomplete")
        if state.prepared:
            trusted = self._writer.trusted(state.sealed)
            self._log.event("resumed", claimed=state.sealed, trusted=trusted)
            device.zero(0, len(self._survey.head))
            state = Journal(state.board, state.image, state.size, True, trusted, state.backup)
        else:
            state = self._writer.prepare(state)
        self._state = self._writer.write(state)

    def verify(self) -> None:
        self._writer.verify()
        self._log.event("verified", bytes=self._survey.written)

    def finalise(self) -> None:
        self._writer.finish()
        self.close()
        self.target = "complete"
        self._log.event("target_complete")

    def close(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None

    def report(self) -> list[str]:
        return [
            f"{self._disk.path} holds {self._image.path.name} for {self._board.title}; all of it was read back.",
            f"Pull it out, put it into the board, and start the board. The old partition table is in {self._table}.",
        ]


def _as_fields(disk: Disk) -> dict[str, str | int | bool]:
    return {
        "path": str(disk.path),
        "number": disk.number,
        "size": disk.size,
        "serial": disk.serial,
        "model": disk.model,
        "transport": disk.transport,
        "removable": disk.removable,
    }
