"""Writes an image to a disk so that it boots whole or not at all.

The order is the guarantee. First the head (the first MiB) and the last MiB are zeroed, so that nothing boots. Then
everything but the head is written, then read back from the medium and compared. Only then the head is written. Who
pulls the card or the plug at any moment has a disk that does not boot.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import backup, journal
from .device import Device, buffer
from .image import HEAD, SEGMENT, Image, Segment, Survey
from .journal import Journal
from .refusal import Code, Refusal

# BOUND: 64 MiB between two syncs. A card is then at its full speed, and a resumed write repeats no more than that.
SYNC_EVERY = 16

Progress = Callable[[str, int, int], None]


@dataclass
class Writer:
    """One write of one image to one disk."""

    device: Device
    image: Image
    survey: Survey
    journal_path: Path
    progress: Progress

    def __post_init__(self) -> None:
        self._buffer = buffer(SEGMENT)

    def prepare(self, state: Journal) -> Journal:
        """Makes the target unbootable. The journal says so before the first byte changes."""
        journal.save(self.journal_path, state)
        self.device.zero(0, HEAD)
        # A copy of the old partition table at the end would let the old system's remains boot.
        self.device.zero(max(HEAD, backup.last(self.device)), self.device.disk.size)
        self.device.sync()
        return self._saved(replace(state, prepared=True, sealed=0))

    def trusted(self, claimed: int) -> int:
        """How many of the segments that a journal claims are really there."""
        total = sum(segment.length for segment in self.survey.segments[:claimed])
        done = 0
        for number, segment in enumerate(self.survey.segments[:claimed]):
            if self._digest(segment) != segment.sha256:
                return number
            done += segment.length
            self.progress("reading back what was written before", done, total)
        return claimed

    def write(self, state: Journal) -> Journal:
        """Writes all segments from `state.sealed` on; the head stays zeroed."""
        segments = self.survey.segments
        done = sum(segment.length for segment in segments[: state.sealed])
        rest = segments[state.sealed :]
        for number, (segment, view) in enumerate(self.image.replay(rest, self._buffer), start=state.sealed + 1):
            self.device.write(segment.offset, view)
            done += segment.length
            if number % SYNC_EVERY == 0 or number == len(segments):
                self.device.sync()
                state = self._saved(replace(state, sealed=number))
            self.progress("writing", done, self.survey.written)
        return state

    def verify(self) -> None:
        """Reads all segments from the medium; names the first byte that is wrong, and whose fault it is."""
        self.device.sync()
        done = 0
        for segment in self.survey.segments:
            if self._digest(segment) != segment.sha256:
                self._refuse_wrong(segment)
            done += segment.length
            self.progress("reading back", done, self.survey.written)

    def finish(self) -> None:
        """Writes the head, the last thing that a bootable disk lacks, and reads it back."""
        view = self._buffer[:HEAD]
        view[:] = self.survey.head
        # Of the head its first sector comes last: without it no partition table counts, and a disk writes a sector
        # whole or not at all. So there is no moment at which half of the head could be taken for all of it.
        sector = self.device.disk.sector
        self.device.write(sector, view[sector:])
        self.device.sync()
        self.device.write(0, view[:sector])
        self.device.sync()
        self.device.read(0, view)
        if view != self.survey.head:
            wrong = first_difference(view, memoryview(self.survey.head))
            # What is there may boot into anything: better nothing.
            self.device.zero(0, HEAD)
            self.device.sync()
            raise _wrong(self.device, Code.VERIFY_CARD, wrong, view, memoryview(self.survey.head))
        self.journal_path.unlink(missing_ok=True)

    def _digest(self, segment: Segment) -> str:
        view = self._buffer[: segment.length]
        self.device.read(segment.offset, view)
        return hashlib.sha256(view).hexdigest()

    def _refuse_wrong(self, segment: Segment) -> None:
        """Finds out who is at fault: the image (it changed), the reader (it says this and that) or the card."""
        first = bytes(self._buffer[: segment.length])
        # Raises that the image changed, if it did.
        _, wanted = next(self.image.replay((segment,), self._buffer))
        expected = bytes(wanted)
        self.device.sync()
        again = self._buffer[: segment.length]
        self.device.read(segment.offset, again)
        code = Code.VERIFY_CARD if again == first else Code.VERIFY_READER
        offset = first_difference(memoryview(first), memoryview(expected))
        raise _wrong(
            self.device, code, segment.offset + offset, memoryview(first)[offset:], memoryview(expected)[offset:]
        )

    def _saved(self, state: Journal) -> Journal:
        journal.save(self.journal_path, state)
        return state


def first_difference(a: memoryview, b: memoryview) -> int:
    """Where two stretches of the same length first differ; their length if they do not."""
    # Halving costs a few comparisons in C instead of a loop over millions of bytes.
    low, high = 0, len(a)
    while low < high:
        middle = (low + high) // 2
        if a[low : middle + 1] == b[low : middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def _wrong(device: Device, code: Code, offset: int, found: memoryview, wanted: memoryview) -> Refusal:
    path = device.disk.path
    why = {
        Code.VERIFY_CARD: "it said that it had taken the data and gives other data, the same twice: a worn-out card, "
        "or one with less memory than it claims. The image was read again and is not at fault",
        Code.VERIFY_READER: "it gives other data each time that it is read: the reader, the cable or the hub makes "
        "errors. The image was read again and is not at fault",
    }[code]
    return Refusal(
        code,
        f"{path} is wrong from byte {offset} on (sector {offset // device.disk.sector}): "
        f"found {found[:8].hex(' ')}, wrote {wanted[:8].hex(' ')}",
        why,
        "try another USB port and reader; if the same offset is named again, replace the card",
    )
