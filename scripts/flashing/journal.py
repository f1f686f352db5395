"""What an interrupted write has done, kept on the host for `--resume`.

A journal is a claim, not a proof: what it says was written is read back from the target before it is believed. There
is one journal per target; it is removed when the flash is complete.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .refusal import Code, Refusal
from .target import Disk

SCHEMA = 1


@dataclass(frozen=True)
class Journal:
    """The state of a write."""

    board: str
    image: str
    """The survey's identity."""
    size: int
    """Of the target."""
    prepared: bool
    """Both ends of the target are zeroed."""
    sealed: int
    """So many segments were written and synced."""
    backup: str
    """Where the old partition table is."""
    schema: int = SCHEMA


def path_of(state: Path, disk: Disk) -> Path:
    """Where the journal of a target is: by what tells it from other disks, not by the name that changes."""
    about = f"{disk.transport} {disk.model} {disk.serial or disk.number} {disk.size}"
    return state / "journals" / (hashlib.sha256(about.encode()).hexdigest()[:16] + ".json")


def save(path: Path, journal: Journal) -> None:
    """Replaces the journal in one step: after a power cut it is the old one or the new one."""
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(asdict(journal), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Refusal(
            Code.STATE,
            f"cannot write the journal {path}: {error.strerror}",
            "without it an interrupted write could not be resumed",
            "name a folder that may be written and has space, with --state DIR",
        ) from error


def load(path: Path, disk: Disk) -> Journal:
    """The journal of this target."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        journal = Journal(**read)
    except (OSError, ValueError, TypeError) as error:
        raise Refusal(
            Code.NOTHING_TO_RESUME,
            f"no interrupted write of {disk.described} is known in {path.parent}",
            "there is nothing to go on with: it was never begun, or it is complete, or another --state was used",
            "leave out --resume; all of the image is then written",
        ) from error
    if journal.schema != SCHEMA:
        raise other_job(f"its journal {path} has the schema {journal.schema}, this program writes {SCHEMA}")
    return journal


def other_job(what: str) -> Refusal:
    """The interrupted write was not this one."""
    return Refusal(
        Code.OTHER_JOB,
        what,
        "half of one image and half of another would be on the target",
        "name the same image and board, or leave out --resume; all of the image is then written",
    )
