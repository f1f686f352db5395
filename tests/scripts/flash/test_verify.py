"""Targets that lie: they take the data and do not have it.

A disk that drops writes is made in two ways. Everywhere: the file behind a loop device is changed between writing and
verifying, which O_DIRECT sees and the page cache does not. Where the kernel has device mapper's `flakey` target: a real
block device that drops all writes.
"""

import mmap
import os
import subprocess
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixture import MIB, SEGMENT, Code, FlashTest, skip
from flashing.device import buffer
from flashing.image import Image
from flashing.writer import Writer


def at(stage: str, action: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """An observer that acts when a stage begins."""

    def observe(event: dict[str, Any]) -> None:
        if (event["stage"], event["event"]) == (stage, "enter"):
            action()

    return observe


def damage(path: Path, offset: int, data: bytes) -> None:
    """Changes a file in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


class Lies(FlashTest):
    def test_a_lost_write_is_found_and_its_first_byte_named(self) -> None:
        device, backing = self.loop(12 * MIB)
        image = self.image(8 * MIB)
        offset = 5 * MIB + 4096 + 3
        lose = at("verify", lambda: damage(backing, offset, bytes(5000)))
        refusal = self.refused(Code.VERIFY_CARD, lambda: self.write(image, device, observer=lose))
        # The byte itself may be zero by chance; the image's own bytes say which is the first that differs.
        content = image.read_bytes()
        first = next(n for n in range(offset, offset + 100) if content[n])
        self.assertIn(f"wrong from byte {first} on (sector {first // 512})", str(refusal))
        self.assertIn("image was read again and is not at fault", str(refusal))
        self.assertEqual(self.recipe.target, "incomplete")
        self.assertEqual(backing.read_bytes()[:MIB], bytes(MIB), "it must not boot")

    def test_a_lost_head_is_found_too_and_taken_back(self) -> None:
        device, backing = self.loop(12 * MIB)
        image = self.image(8 * MIB)
        original = Writer.finish

        def finish(writer: Writer) -> None:
            sync = writer.device.sync

            def lossy() -> None:
                sync()
                damage(backing, 600, b"not what was written")

            writer.device.sync = lossy  # type: ignore[method-assign]
            original(writer)

        Writer.finish = finish  # type: ignore[method-assign, assignment]
        self.addCleanup(setattr, Writer, "finish", original)
        self.assertIn("byte 600", str(self.refused(Code.VERIFY_CARD, lambda: self.write(image, device))))
        self.assertEqual(backing.read_bytes()[:512], bytes(512))

    def test_an_image_that_changed_before_the_check_is_blamed_instead_of_the_card(self) -> None:
        device, _ = self.loop(12 * MIB)
        image = self.image(8 * MIB)
        change = at("write", lambda: damage(image, 5 * MIB, b"changed meanwhile"))
        refusal = self.refused(Code.IMAGE_CHANGED, lambda: self.write(image, device, observer=change))
        self.assertIn("the target is not at fault", str(refusal))

    def test_data_that_changes_from_reading_to_reading_is_the_readers_fault(self) -> None:
        image = Image(self.image(4 * MIB))
        survey = image.survey(512, segment=SEGMENT)
        content = image.path.read_bytes()

        class Flickering:
            """What no real device does at a test's wish: one bit is wrong, and another at each reading."""

            class disk:
                path, sector = Path("/dev/flicker"), 512

            readings = 0

            def read(self, offset: int, view: memoryview) -> None:
                self.readings += 1
                view[:] = content[offset : offset + len(view)]
                view[self.readings] ^= 1

            def sync(self) -> None:
                pass

        writer = Writer(Flickering(), image, survey, self.folder / "journal", lambda *about: None)  # type: ignore[arg-type]
        self.refused(Code.VERIFY_READER, writer.verify)

    def test_reading_back_through_the_page_cache_proves_nothing(self) -> None:
        """The reason for O_DIRECT: the naive check passes on a device whose medium holds something else."""
        device, backing = self.loop(4 * MIB)
        data = os.urandom(MIB)
        cached = os.open(device, os.O_RDWR)
        self.addCleanup(os.close, cached)
        os.pwrite(cached, data, 0)
        os.fsync(cached)
        damage(backing, 0, bytes(MIB))
        self.assertEqual(os.pread(cached, MIB, 0), data, "the naive check is content")
        direct = os.open(device, os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, direct)
        view = buffer(MIB)
        os.preadv(direct, [view], 0)
        self.assertEqual(bytes(view), bytes(MIB), "the medium has lost it")

    def test_a_disk_that_drops_all_writes_is_found(self) -> None:
        liar = self._flakey(12 * MIB)
        self.refused(Code.VERIFY_CARD, lambda: self.write(self.image(8 * MIB), liar))

    def test_the_naive_check_is_content_with_a_disk_that_drops_all_writes(self) -> None:
        liar = self._flakey(4 * MIB)
        data = os.urandom(MIB)
        naive = os.open(liar, os.O_RDWR)
        self.addCleanup(os.close, naive)
        os.pwrite(naive, data, 0)
        os.fsync(naive)
        self.assertEqual(os.pread(naive, MIB, 0), data)
        direct = os.open(liar, os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, direct)
        view = memoryview(mmap.mmap(-1, MIB))
        os.preadv(direct, [view], 0)
        self.assertNotEqual(bytes(view), data)

    def _flakey(self, size: int) -> Path:
        device, _ = self.loop(size)
        name = f"flash-test-{os.getpid()}"
        table = f"0 {size // 512} flakey {device} 0 0 1 1 drop_writes"
        try:
            done = subprocess.run(
                ["dmsetup", "create", name, "--table", table], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            skip("dmsetup is not installed: no disk that drops writes")
        if done.returncode != 0:
            skip(
                f"this kernel has no dm-flakey: no disk that drops all writes ({done.stderr.strip().splitlines()[:1]})"
            )
        self.stack.callback(subprocess.run, ["dmsetup", "remove", "--retry", name], check=False)
        subprocess.run(["dmsetup", "mknodes"], check=False)
        return Path("/dev/mapper") / name


if __name__ == "__main__":
    unittest.main()
