"""The image: what is accepted, and that damage is found before anything is written."""

import hashlib
import lzma
import shutil
import subprocess
import unittest
from pathlib import Path

from fixture import MIB, SEGMENT, Code, FlashTest, skip, sum_beside
from flashing.device import buffer
from flashing.image import HEAD, Image, Survey


def survey(path: Path, sector: int = 512) -> Survey:
    return Image(path).survey(sector, segment=SEGMENT)


def bmap_beside(path: Path, size: int, *ranges: tuple[int, int], content: bytes, name: str = "") -> Path:
    """Writes a block map as bmap-tools does; `ranges` are first and last blocks of 4096 bytes."""
    lines = []
    for first, last in ranges:
        digest = hashlib.sha256(content[first * 4096 : (last + 1) * 4096]).hexdigest()
        lines.append(f'<Range chksum="{digest}"> {first}-{last} </Range>')
    text = (
        f'<?xml version="1.0" ?>\n<bmap version="2.0">\n<ImageSize> {size} </ImageSize>\n'
        f"<BlockSize> 4096 </BlockSize>\n"
        f"<ChecksumType> sha256 </ChecksumType>\n<BmapFileChecksum> {'0' * 64} </BmapFileChecksum>\n"
        f"<BlockMap>\n{''.join(lines)}\n</BlockMap>\n</bmap>\n"
    )
    text = text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest())
    target = path.with_name(name or path.name + ".bmap")
    target.write_text(text, encoding="utf-8")
    return target


class Images(FlashTest):
    def test_the_segments_and_the_head_are_the_image(self) -> None:
        path = self.image(5 * MIB + 700)
        found = survey(path)
        content = path.read_bytes() + bytes(512 * 2 - 700)
        self.assertEqual(found.raw_size, 5 * MIB + 700)
        self.assertEqual(found.head, content[:HEAD])
        self.assertEqual([segment.offset for segment in found.segments], [n * MIB for n in range(1, 6)])
        self.assertEqual(found.segments[-1].length, 1024)
        for segment in found.segments:
            part = content[segment.offset : segment.end]
            self.assertEqual(hashlib.sha256(part).hexdigest(), segment.sha256)

    def test_compressed_images_are_the_same_image(self) -> None:
        plain = self.image(5 * MIB + 700)
        packed = self.folder / "system.img.xz"
        packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
        sum_beside(packed)
        self.assertEqual(survey(packed), survey(plain))
        if shutil.which("zstd") is None:
            skip("zstd is not installed")
        subprocess.run(["zstd", "-q", str(plain)], check=True)
        self.assertEqual(survey(plain.with_name("system.img.zst")), survey(plain))

    def test_the_format_is_that_of_the_content_not_of_the_name(self) -> None:
        plain = self.image(3 * MIB)
        wrong = self.folder / "other.img"
        wrong.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
        self.assertEqual(survey(wrong), survey(plain))

    def test_another_checksum_is_refused(self) -> None:
        path = self.image(3 * MIB)
        with path.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"damage")
        self.refused(Code.IMAGE_CHECKSUM, lambda: survey(path))

    def test_the_checksum_of_the_content_of_a_compressed_image_counts(self) -> None:
        plain = self.image(3 * MIB)
        packed = self.folder / "system.img.xz"
        packed.write_bytes(lzma.compress(plain.read_bytes() + b"more", preset=0))
        self.refused(Code.IMAGE_CHECKSUM, lambda: survey(packed))
        packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
        survey(packed)

    def test_a_checksum_file_without_this_image_is_refused(self) -> None:
        path = self.image(3 * MIB, summed=False)
        path.with_name("system.img.sha256").write_text(f"{'0' * 64}  other.img\n", encoding="utf-8")
        self.refused(Code.IMAGE_CHECKSUM, lambda: survey(path))

    def test_a_cut_off_compressed_image_is_refused(self) -> None:
        plain = self.image(3 * MIB, summed=False)
        packed = self.folder / "short.img.xz"
        packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0)[:-1000])
        self.refused(Code.IMAGE_CHECKSUM, lambda: survey(packed))
        if shutil.which("zstd") is None:
            skip("zstd is not installed")
        done = subprocess.run(["zstd", "-q", "-c", str(plain)], check=True, capture_output=True)
        packed.write_bytes(done.stdout[:-1000])
        self.refused(Code.IMAGE_CHECKSUM, lambda: survey(packed))

    def test_what_cannot_be_written_is_refused(self) -> None:
        for name, content in (("a.img.gz", b"\x1f\x8b\x08" + bytes(100)), ("b.zip", b"PK\x03\x04" + bytes(100))):
            path = self.folder / name
            path.write_bytes(content)
            self.refused(Code.IMAGE_FORMAT, lambda path=path: Image(path))  # type: ignore[misc]
        tiny = self.folder / "tiny.img"
        tiny.write_bytes(bytes(1000))
        self.refused(Code.IMAGE_FORMAT, lambda: survey(tiny))
        self.refused(Code.IMAGE_MISSING, lambda: Image(self.folder / "none.img"))

    def test_only_mapped_ranges_are_segments(self) -> None:
        path = self.image(8 * MIB)
        content = path.read_bytes()
        bmap_beside(path, 8 * MIB, (0, 3), (300, 599), (1024, 1024), (2047, 2047), content=content)
        found = survey(path)
        self.assertEqual(found.head, content[: 4 * 4096] + bytes(HEAD - 4 * 4096))
        expected = [
            (300 * 4096, 512 * 4096),
            (512 * 4096, 600 * 4096),
            (1024 * 4096, 1025 * 4096),
            (2047 * 4096, 8 * MIB),
        ]
        self.assertEqual([(segment.offset, segment.end) for segment in found.segments], expected)

    def test_a_range_across_the_heads_end_is_cut_there(self) -> None:
        path = self.image(4 * MIB)
        bmap_beside(path, 4 * MIB, (250, 260), content=path.read_bytes(), name="system.bmap")
        found = survey(path)
        self.assertEqual([(segment.offset, segment.end) for segment in found.segments], [(MIB, 261 * 4096)])
        self.assertEqual(found.head[250 * 4096 :], path.read_bytes()[250 * 4096 : MIB])

    def test_a_damaged_or_foreign_block_map_is_refused(self) -> None:
        path = self.image(4 * MIB)
        beside = bmap_beside(path, 4 * MIB, (0, 9), (512, 600), content=path.read_bytes())
        good = beside.read_text(encoding="utf-8")
        cases = (
            ("its own checksum", good.replace("0-9 ", "0-8 ")),
            ("its own checksum", good.replace("BlockSize", "BlockSise")),
            ("cannot be read", good[:-20]),
            ("no block map", "<html></html>"),
        )
        for words, text in cases:
            beside.write_text(text, encoding="utf-8")
            self.assertIn(words, str(self.refused(Code.BMAP, lambda: survey(path))))
        bmap_beside(path, 4 * MIB, (0, 9), (512, 600), content=bytes(4 * MIB))
        self.assertIn("another checksum", str(self.refused(Code.BMAP, lambda: survey(path))))
        bmap_beside(path, 5 * MIB, (0, 9), content=path.read_bytes())
        self.assertIn("for an image of", str(self.refused(Code.BMAP, lambda: survey(path))))
        bmap_beside(path, 4 * MIB, (512, 600), (0, 9), content=path.read_bytes())
        self.assertIn("out of order", str(self.refused(Code.BMAP, lambda: survey(path))))

    def test_an_image_that_changes_while_it_is_written_is_named_as_the_culprit(self) -> None:
        path = self.image(4 * MIB)
        image = Image(path)
        found = image.survey(512, segment=SEGMENT)
        with path.open("r+b") as file:
            file.seek(3 * MIB + 5)
            file.write(b"new")
        self.refused(Code.IMAGE_CHANGED, lambda: list(image.replay(found.segments, buffer(SEGMENT))))


if __name__ == "__main__":
    unittest.main()
