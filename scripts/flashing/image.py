"""The image: its format, its checksum, and its bytes cut into segments.

`survey` reads the whole image once before anything is written. A damaged image is found while the target is still
as it was, the size is known also of a compressed one, and each segment gets the checksum that later decides whether
the target holds it and whether the image changed meanwhile.
"""

import hashlib
import lzma
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self, cast

from . import bmap
from .refusal import Code, Refusal

# The part that is written last. It holds the partition table, and on the boards here the first loader too: without
# it nothing boots.
HEAD = 1 << 20
# BOUND: large enough for a card's full speed, small enough that a stop by a signal takes effect at once.
SEGMENT = 4 << 20

_MAGIC = {b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2"}


@dataclass(frozen=True)
class Segment:
    """A stretch of the target. `length` is whole sectors; beyond the image's end they are zeros."""

    offset: int
    length: int
    sha256: str

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


@dataclass(frozen=True)
class Survey:
    """What reading the image once has told."""

    raw_size: int
    head: bytes
    """The first `HEAD` bytes as the target shall have them; zeros where the block map has nothing."""
    segments: tuple[Segment, ...]
    """All the rest, in order."""

    @property
    def identity(self) -> str:
        """Two images with the same identity put the same bytes into the same places."""
        digest = hashlib.sha256(self.head)
        for segment in self.segments:
            digest.update(f"{segment.offset} {segment.length} {segment.sha256}\n".encode())
        return digest.hexdigest()

    @property
    def written(self) -> int:
        """Bytes that go to the target after the head."""
        return sum(segment.length for segment in self.segments)


class _Readable(Protocol):
    def readinto(self, view: memoryview, /) -> int | None: ...


class Source(AbstractContextManager["Source"]):
    """The uncompressed image, read from front to back."""

    def __init__(self, path: Path, kind: str, hasher: Callable[[memoryview], None] | None = None) -> None:
        self._path = path
        self._hasher = hasher
        self._at = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._stream: _Readable
        self._seekable = False
        if kind == "zst":
            command = ["zstd", "--decompress", "--stdout", "--quiet", "--", str(path)]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
            assert self._process.stdout is not None
            self._stream = cast(_Readable, self._process.stdout)
        elif kind == "xz":
            self._file = lzma.open(path)
            self._stream = self._file
        else:
            self._file = path.open("rb", buffering=0)
            self._stream = self._file
            # Holes and what no one asked for need not be read, unless all is to be hashed.
            self._seekable = hasher is None
        self._scratch = memoryview(bytearray(SEGMENT))

    def fill(self, view: memoryview) -> int:
        """Reads until `view` is full or the image ends; the number of bytes."""
        done = 0
        try:
            while done < len(view):
                count = self._stream.readinto(view[done:])
                if not count:
                    self._refuse_if_cut_short()
                    break
                done += count
        except (lzma.LZMAError, EOFError, OSError) as error:
            raise self._damaged(str(error)) from error
        if self._hasher is not None:
            self._hasher(view[:done])
        self._at += done
        return done

    def skip_to(self, offset: int) -> None:
        """Leaves out what is before `offset`."""
        if self._seekable and self._file is not None:
            self._file.seek(offset)
            self._at = offset
        while self._at < offset:
            if self.fill(self._scratch[: min(offset - self._at, SEGMENT)]) == 0:
                return

    def drain(self) -> int:
        """Reads to the end; the image's size."""
        if self._seekable and self._file is not None:
            return self._file.seek(0, 2)
        while self.fill(self._scratch) > 0:
            pass
        return self._at

    def _refuse_if_cut_short(self) -> None:
        if self._process is None:
            return
        assert self._process.stderr is not None
        words = self._process.stderr.read().decode("utf-8", "replace").strip()
        if self._process.wait() != 0:
            raise self._damaged(words or f"zstd ended with {self._process.returncode}")

    def _damaged(self, how: str) -> Refusal:
        return Refusal(
            Code.IMAGE_CHECKSUM,
            f"{self._path} is damaged at {self._at} bytes of its content: {how}",
            "a part of the system would be missing",
            "fetch the image again; where it came from there is its checksum",
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
            # With its pipe gone it ends by itself, unless it just waits for the disk.
            self._process.kill()
            self._process.wait()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self


class Image:
    """An image file and what lies beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = _kind(path)
        self.stem = path.name.removesuffix(f".{self.kind}")
        self.bmap_path = self._beside(".bmap")
        self.sum_path = self._beside(".sha256")

    def _beside(self, suffix: str) -> Path | None:
        """`x.img.zst.bmap`, `x.img.bmap` or `x.bmap`."""
        names = (self.path.name, self.stem, self.stem.removesuffix(".img"))
        found = (self.path.with_name(name + suffix) for name in names)
        return next((path for path in found if path.is_file()), None)

    def open(self, hasher: Callable[[memoryview], None] | None = None) -> Source:
        """The content, from its first byte."""
        return Source(self.path, self.kind, hasher)

    def _sums(self) -> tuple[str, str]:
        """What the `.sha256` says of this file and of its content; empty where it says nothing."""
        if self.sum_path is None:
            return "", ""
        own = content = ""
        for line in self.sum_path.read_text(encoding="utf-8", errors="replace").splitlines():
            found = re.fullmatch(r"([0-9a-fA-F]{64})(?:\s+\*?(.*\S))?\s*", line)
            name = Path(found[2] or self.path.name).name if found else ""
            if found and name == self.path.name:
                own = found[1].lower()
            elif found and name == self.stem:
                content = found[1].lower()
        if not own and not content:
            raise Refusal(
                Code.IMAGE_CHECKSUM,
                f"{self.sum_path} has no checksum of {self.path.name}",
                "it is there for the image to be checked by",
                f"make it with: sha256sum {self.path.name} > {self.path.name}.sha256",
            )
        return own, content

    def check_sum(self) -> str:
        """Compares the file with its `.sha256`; the checksum that its content must have, if one is given."""
        own, content = self._sums()
        if own:
            with self.path.open("rb") as file:
                self._compare(hashlib.file_digest(file, "sha256").hexdigest(), own)
        return content

    def _compare(self, found: str, wanted: str) -> None:
        if found != wanted:
            raise Refusal(
                Code.IMAGE_CHECKSUM,
                f"{self.path} has the sha256 {found[:16]}…, {self.sum_path} says {wanted[:16]}…",
                "the image is damaged or another one; it would not boot, or boot something else",
                "fetch the image and its .sha256 again, from the same place",
            )

    def survey(
        self, sector: int, progress: Callable[[int], None] = lambda done: None, segment: int = SEGMENT
    ) -> Survey:
        """Reads all of the image; `sector` is that of the target. Checksums are compared on the way."""
        wanted = self.check_sum()
        chart = bmap.read(self.bmap_path) if self.bmap_path else None
        whole = hashlib.sha256()
        head, segments = bytearray(HEAD), []
        buffer = memoryview(bytearray(segment))
        with self.open(whole.update if wanted else None) as source:
            ranges = chart.ranges if chart else (bmap.Range(0, 1 << 62, ""),)
            for piece in ranges:
                digest = hashlib.sha256()
                for begin, end in _cuts(piece.begin, piece.end, segment):
                    source.skip_to(begin)
                    count = source.fill(buffer[: end - begin])
                    digest.update(buffer[:count])
                    length = -(-count // sector) * sector
                    buffer[count:length] = bytes(length - count)
                    if begin < HEAD:
                        head[begin : begin + count] = buffer[:count]
                    elif count > 0:
                        segments.append(Segment(begin, length, hashlib.sha256(buffer[:length]).hexdigest()))
                    if count:
                        progress(begin + count)
                    if count < end - begin:
                        break
                if piece.sha256 and digest.hexdigest() != piece.sha256:
                    raise self._other_bmap(f"its range at {piece.begin} has another checksum")
            raw_size = source.drain()
        if wanted:
            self._compare(whole.hexdigest(), wanted)
        if chart and chart.image_size != raw_size:
            raise self._other_bmap(f"it is for an image of {chart.image_size} bytes, this one has {raw_size}")
        if raw_size <= HEAD:
            raise _refused_format(self.path, f"it holds only {raw_size} bytes")
        return Survey(raw_size, bytes(head), tuple(segments))

    def _other_bmap(self, what: str) -> Refusal:
        return Refusal(
            Code.BMAP,
            f"{self.bmap_path} does not fit {self.path.name}: {what}",
            "the image is damaged, or the map was made for another one",
            "fetch both again, from the same place",
        )

    def replay(self, segments: tuple[Segment, ...], buffer: memoryview) -> Iterator[tuple[Segment, memoryview]]:
        """The segments once more, in `buffer`, each checked against the survey."""
        with self.open() as source:
            for segment in segments:
                source.skip_to(segment.offset)
                view = buffer[: segment.length]
                count = source.fill(view)
                view[count:] = bytes(segment.length - count)
                if hashlib.sha256(view).hexdigest() != segment.sha256:
                    raise Refusal(
                        Code.IMAGE_CHANGED,
                        f"{self.path} gives other data at {segment.offset} than when it was first read",
                        "somebody writes the image, or this machine's disk or memory makes errors; "
                        "the target is not at fault",
                        "let the image be finished first; check its checksum twice; test the machine's memory",
                    )
                yield segment, view


def _cuts(begin: int, end: int, segment: int) -> Iterator[tuple[int, int]]:
    """Cuts a range at the end of the head and at multiples of the segment."""
    while begin < end:
        stop = HEAD if begin < HEAD else (begin // segment + 1) * segment
        yield begin, min(stop, end, begin + segment)
        begin = min(stop, end, begin + segment)


def _kind(path: Path) -> str:
    """By the first bytes: names lie."""
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise Refusal(
            Code.IMAGE_MISSING,
            f"cannot read the image {path}: {error.strerror}",
            "there is nothing to write",
            "name an image with --image FILE; `scripts/image BOARD` makes one",
        ) from error
    kind = next((name for magic, name in _MAGIC.items() if begin.startswith(magic)), "raw")
    if kind in ("gzip", "zip", "bzip2"):
        raise _refused_format(path, f"it is compressed with {kind}")
    if kind == "zst" and shutil.which("zstd") is None:
        raise Refusal(
            Code.TOOL_MISSING,
            "zstd is not installed",
            f"{path.name} is compressed with it",
            "apt-get install zstd",
        )
    return kind


def _refused_format(path: Path, what: str) -> Refusal:
    return Refusal(
        Code.IMAGE_FORMAT,
        f"{path} cannot be written: {what}",
        "an image is a whole disk, plain (.img) or compressed with zstd (.img.zst) or xz (.img.xz)",
        "unpack it first, and name the .img in it",
    )
