"""What is handed out: the compressed image, its block map, its checksums, and a manifest of what is in it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from . import host
from .reason import Code, Refusal


def publish(image: Path, manifest: dict[str, Any]) -> list[Path]:
    """Writes `.img.zst`, `.img.bmap`, `.img.zst.sha256` and `.manifest.json` beside the image, which stays."""
    # What is zero is a hole, wherever the file system that made it put its holes: the block map must not tell of that.
    host.must(Code.OUTPUT, ["fallocate", "--dig-holes", str(image)])
    compressed = image.with_name(image.name + ".zst")
    bmap = image.with_name(image.name + ".bmap")
    sums = image.with_name(image.name + ".zst.sha256")
    listed = image.with_suffix(".manifest.json")
    host.must(Code.OUTPUT, ["bmaptool", "create", "-o", str(bmap), str(image)])
    # The result of several threads is the same for any number of them, and not that of one alone.
    host.must(Code.OUTPUT, ["zstd", "--quiet", "--force", "-T2", "-9", str(image), "-o", str(compressed)])
    whole, packed = sha256(image), sha256(compressed)
    try:
        sums.write_text(f"{packed}  {compressed.name}\n{whole}  {image.name}\n", encoding="utf-8")
        manifest = manifest | {
            "image": {"name": image.name, "bytes": image.stat().st_size, "sha256": whole, "compressed_sha256": packed}
        }
        listed.write_text(as_json(manifest), encoding="utf-8")
    except OSError as error:
        raise Refusal(
            Code.OUTPUT,
            f"{error.filename} cannot be written: {error.strerror}",
            "an image without its checksum is not flashed",
            "make room, or name another folder with --out",
        ) from error
    return [compressed, bmap, sums, listed]


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_json(value: dict[str, Any]) -> str:
    """The same value gives the same text."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
