"""The disk image: the same twice, whole to outside tools, and what scripts/flash takes."""

import hashlib
import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

import fixture  # noqa: F401
from flashing import bmap
from flashing.image import Image
from imaging import artefacts, disk, host
from imaging.reason import Code, Refusal

EPOCH = 1_760_000_000
LACKING = sorted({package for tool, package in host.TOOLS.items() if tool != "mmdebstrap" and host.which(tool) is None})


@unittest.skipIf(LACKING, f"not installed: {' '.join(LACKING)}")
class DiskTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def trees(self, name: str, order: int) -> tuple[Path, Path]:
        """The same files, made in another order and at another time."""
        boot, root = self.folder / name / "boot", self.folder / name / "root"
        files = {
            "etc/hostname": b"robot\n",
            "usr/bin/tool": b"x" * 70_000,
            "var/empty": b"",
            "home/robot/notes": b"n" * 5000,
        }
        for path in sorted(files, reverse=bool(order)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(files[path])
        (root / "bin").symlink_to("usr/bin")
        (boot / "EFI/BOOT").mkdir(parents=True)
        (boot / "EFI/BOOT/BOOTAA64.EFI").write_bytes(b"MZ" + b"\0" * 4000)
        for path in (boot, *boot.rglob("*"), root, *root.rglob("*")):
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        return boot, root

    def make(self, name: str, order: int = 0, label: str = "gpt", size: int = 0) -> Path:
        boot, root = self.trees(name, order)
        path = self.folder / name / "x.img"
        layout = disk.Layout(label, 64 * disk.MIB, "BOOT", disk.ROOT_TYPES["arm64"])
        disk.make(path, layout, disk.identity("a-board", EPOCH), boot, root, size, EPOCH)
        return path

    def test_the_same_files_make_the_same_image_to_the_byte(self) -> None:
        first, second = self.make("one"), self.make("two", order=1)
        self.assertEqual(artefacts.sha256(first), artefacts.sha256(second))
        published = [artefacts.publish(path, {"board": "a-board"}) for path in (first, second)]
        for one, two in zip(*published, strict=True):
            self.assertEqual(one.read_bytes(), two.read_bytes(), one.name)

    def test_outside_tools_find_the_partitions_and_sound_file_systems(self) -> None:
        for label in ("gpt", "dos"):
            path = self.make(label, label=label)
            table = json.loads(
                subprocess.run(
                    [host.which("sfdisk") or "sfdisk", "--json", str(path)], capture_output=True, check=True
                ).stdout
            )
            found = table["partitiontable"]["partitions"]
            self.assertEqual([part["start"] for part in found], [2048, 2048 + 64 * 2048])
            parts = []
            for number, part in enumerate(found):
                piece = path.with_suffix(f".{number}")
                with path.open("rb") as read, piece.open("wb") as write:
                    read.seek(part["start"] * 512)
                    write.write(read.read(part["size"] * 512))
                parts.append(piece)
            self.assertEqual(
                subprocess.run(
                    [host.which("fsck.vfat") or "fsck.vfat", "-n", str(parts[0])], capture_output=True, check=False
                ).returncode,
                0,
            )
            self.assertEqual(
                subprocess.run(
                    [host.which("e2fsck") or "e2fsck", "-fn", str(parts[1])], capture_output=True, check=False
                ).returncode,
                0,
            )
            said = subprocess.run(
                [host.which("debugfs") or "debugfs", "-R", "cat /etc/hostname", str(parts[1])],
                capture_output=True,
                check=True,
            )
            self.assertEqual(said.stdout, b"robot\n")

    def test_scripts_flash_takes_what_is_published(self) -> None:
        path = self.make("one")
        artefacts.publish(path, {"board": "a-board"})
        compressed = path.with_name("x.img.zst")
        path.unlink()
        chart = bmap.read(path.with_name("x.img.bmap"))
        self.assertLess(sum(piece.end - piece.begin for piece in chart.ranges), chart.image_size // 2)
        image = Image(compressed)
        self.assertEqual(image.bmap_path, compressed.with_name("x.img.bmap"))
        sums = compressed.with_name("x.img.zst.sha256").read_text().split()
        self.assertEqual(sums[0], hashlib.sha256(compressed.read_bytes()).hexdigest())

    def test_a_size_that_does_not_hold_the_system_is_refused(self) -> None:
        with self.assertRaises(Refusal) as refused:
            self.make("one", size=65 * disk.MIB)
        self.assertIs(refused.exception.code, Code.TOO_SMALL)

    def test_nothing_but_the_image_is_left(self) -> None:
        path = self.make("one")
        self.assertEqual(sorted(item.name for item in path.parent.iterdir()), ["boot", "root", "x.img"])
        shutil.rmtree(path.parent)


if __name__ == "__main__":
    unittest.main()
