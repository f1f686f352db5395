"""A block map: which ranges of an image hold data, each with its checksum.

The format is that of bmap-tools, version 2 (and 1.4, whose attribute for a range's checksum is the same). What the map
leaves out holds nothing that matters, and is not written.
"""

import hashlib
import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

from .refusal import Code, Refusal


@dataclass(frozen=True)
class Range:
    """Bytes of the image, and their checksum (empty if the map has none)."""

    begin: int
    end: int
    sha256: str


@dataclass(frozen=True)
class Bmap:
    """A block map whose own checksum held."""

    image_size: int
    ranges: tuple[Range, ...]


def read(path: Path) -> Bmap:
    """Reads and checks a `.bmap`."""
    try:
        text = path.read_bytes()
        root = xml.fromstring(text)
        return _checked(path, text, root)
    except (OSError, xml.ParseError, ValueError, AttributeError) as error:
        raise _refused(path, f"it cannot be read: {error}") from error


def _checked(path: Path, text: bytes, root: xml.Element) -> Bmap:
    kind = _word(root, "ChecksumType") if root.find("ChecksumType") is not None else "sha1"
    if root.tag != "bmap" or kind != "sha256":
        raise _refused(path, f"it is no block map with sha256 checksums (<{root.tag}>, {kind})")
    own = _word(root, "BmapFileChecksum")
    # The map's checksum is taken with the checksum's own place filled with zeros.
    if hashlib.sha256(text.replace(own.encode(), b"0" * len(own))).hexdigest() != own:
        raise _refused(path, "its own checksum does not hold")
    image_size, block = int(_word(root, "ImageSize")), int(_word(root, "BlockSize"))
    if block <= 0 or block % 4096:
        raise _refused(path, f"its blocks have {block} bytes, which is no multiple of 4096")
    ranges: list[Range] = []
    for element in root.iter("Range"):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", (element.text or "").strip())
        if not found:
            raise _refused(path, f"`{element.text}` is not a range of blocks")
        first, last = int(found[1]), int(found[2] or found[1])
        begin, end = first * block, min((last + 1) * block, image_size)
        if begin >= end or (ranges and begin < ranges[-1].end):
            raise _refused(path, f"the range {element.text} is empty, out of order or beyond the image")
        ranges.append(Range(begin, end, element.get("chksum") or ""))
    return Bmap(image_size, tuple(ranges))


def _word(root: xml.Element, name: str) -> str:
    element = root.find(name)
    if element is None or element.text is None:
        raise ValueError(f"<{name}> is missing")
    return element.text.strip()


def _refused(path: Path, what: str) -> Refusal:
    return Refusal(
        Code.BMAP,
        f"{path}: {what}",
        "it says what of the image is written: with a wrong one parts would be missing",
        "fetch or make it again; without a .bmap beside the image, all of the image is written",
    )
