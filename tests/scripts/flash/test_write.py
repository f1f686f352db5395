"""Writing to real block devices (loop devices): whole or not at all, and refused where it must be."""

import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from fixture import LOOPS, MIB, REPOSITORY, Code, FlashTest, skip, sum_beside
from flashing import backup
from flashing.device import Device
from flashing.system import System
from flashing.target import look
from flashing.writer import first_difference
from test_image import bmap_beside

DRIVER = Path(__file__).with_name("driver.py")


class Writing(FlashTest):
    def test_the_target_is_the_image_and_what_is_behind_it_is_left_alone(self) -> None:
        image = self.image(6 * MIB)
        device, backing = self.loop(16 * MIB)
        recipe = self.write(image, device)
        content = backing.read_bytes()
        self.assertEqual(content[: 6 * MIB], image.read_bytes())
        self.assertEqual(content[15 * MIB :], bytes(MIB), "the copy of an old partition table must not stay")
        self.assertEqual(recipe.target, "complete")
        self.assertFalse(list((self.state / "journals").glob("*.json")), "a finished flash leaves no journal")

    def test_a_compressed_image_with_an_odd_size_arrives_whole(self) -> None:
        plain = self.image(3 * MIB + 700)
        packed = self.folder / "packed.img.xz"
        packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
        sum_beside(packed)
        device, backing = self.loop(8 * MIB)
        self.write(packed, device)
        self.assertEqual(backing.read_bytes()[: 3 * MIB + 1024], plain.read_bytes() + bytes(1024 - 700))

    def test_an_image_as_large_as_the_target_fits(self) -> None:
        image = self.image(8 * MIB)
        device, backing = self.loop(8 * MIB)
        self.write(image, device)
        self.assertEqual(backing.read_bytes(), image.read_bytes())

    def test_with_a_block_map_only_its_ranges_are_written(self) -> None:
        image = self.image(8 * MIB)
        content = image.read_bytes()
        bmap_beside(image, 8 * MIB, (0, 3), (1024, 1151), content=content)
        device, backing = self.loop(16 * MIB)
        before = backing.read_bytes()
        self.write(image, device)
        after = backing.read_bytes()
        self.assertEqual(after[:16384], content[:16384])
        self.assertEqual(after[16384:MIB], bytes(MIB - 16384))
        self.assertEqual(after[MIB : 1024 * 4096], before[MIB : 1024 * 4096])
        self.assertEqual(after[1024 * 4096 : 1152 * 4096], content[1024 * 4096 : 1152 * 4096])

    def test_the_first_mib_stays_zero_until_the_rest_is_verified(self) -> None:
        image = self.image(6 * MIB)
        device, backing = self.loop(8 * MIB)
        heads: dict[str, bytes] = {}

        def look_at_head(event: dict[str, Any]) -> None:
            with backing.open("rb") as file:
                heads[f"{event['stage']} {event['event']}"] = file.read(MIB)

        self.write(image, device, observer=look_at_head)
        self.assertEqual(heads["verify enter"], bytes(MIB))
        self.assertEqual(heads["verify verified"], bytes(MIB))
        self.assertEqual(heads["finalise target_complete"], image.read_bytes()[:MIB])

    def test_the_old_table_is_saved_and_the_printed_commands_bring_it_back(self) -> None:
        image = self.image(3 * MIB)
        device, backing = self.loop(8 * MIB)
        before = backing.read_bytes()
        self.write(image, device)
        saved = Path(self.event("backup")["path"])
        self.assertEqual(saved.read_bytes(), before[:MIB] + before[-MIB:])
        opened = Device(look(System(), device, LOOPS))
        commands = backup.commands(saved, opened)
        opened.close()
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        self.assertEqual(backing.read_bytes()[:MIB], before[:MIB])
        self.assertEqual(backing.read_bytes()[-MIB:], before[-MIB:])

    def test_the_token_of_another_image_is_refused_and_nothing_changes(self) -> None:
        device, backing = self.loop(8 * MIB)
        before = backing.read_bytes()
        token = self._dry_token(self.image(3 * MIB, seed=1), device)
        done = self.drive(0, self.image(3 * MIB, seed=2), device, "--yes", token)
        self.assertEqual(done.returncode, Code.WRONG_TOKEN.exit_code, done.stderr)
        self.assertEqual(backing.read_bytes(), before)

    def test_without_anybody_to_confirm_nothing_changes(self) -> None:
        device, backing = self.loop(8 * MIB)
        before = backing.read_bytes()
        done = self.drive(0, self.image(3 * MIB), device)
        self.assertEqual(done.returncode, Code.NOT_CONFIRMED.exit_code, done.stderr)
        self.assertIn("--yes", done.stderr)
        self.assertEqual(backing.read_bytes(), before)

    def test_a_target_that_fills_up_is_a_write_error_with_its_offset_and_the_target_is_called_incomplete(self) -> None:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        if (
            os.geteuid() != 0
            or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(folder)]).returncode
        ):
            skip("a full disk is made with a small tmpfs, which this machine does not let be mounted")
        self.stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
        backing = folder / "disk"
        with backing.open("wb") as file:
            file.truncate(32 * MIB)
        device, _ = self.loop(32 * MIB, backing=backing)
        refusal = self.refused(Code.WRITE_FAILED, lambda: self.write(self.image(16 * MIB), device))
        self.assertRegex(str(refusal), r"at \d+ bytes")
        self.assertEqual(self.recipe.target, "incomplete")

    def test_the_first_difference_of_two_stretches(self) -> None:
        a = bytearray(random.Random(5).randbytes(5000))
        for at in (0, 1, 511, 4096, 4999):
            b = bytearray(a)
            b[at] ^= 1
            self.assertEqual(first_difference(memoryview(a), memoryview(b)), at)
        self.assertEqual(first_difference(memoryview(a), memoryview(a)), 5000)

    # -- the driver as a process of its own ------------------------------------------------------------------------

    def drive(self, kill_at: int, image: Path, device: Path, *words: str) -> subprocess.CompletedProcess[str]:
        events = self.folder / "events.jsonl"
        events.unlink(missing_ok=True)
        command = [sys.executable, "-B", str(DRIVER), str(kill_at), "x86-64", "--image", str(image)]
        command += ["--device", str(device), "--state", str(self.state), "--events", str(events), *words]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False
        )

    def lines(self) -> list[dict[str, Any]]:
        text = (self.folder / "events.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def _dry_token(self, image: Path, device: Path, *words: str) -> str:
        done = self.drive(0, image, device, "--dry-run", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return str(next(line["token"] for line in self.lines() if line["event"] == "plan"))


class Interrupted(Writing):
    """Killed without warning, and resumed. Only its own tests are run, see `load_tests`."""

    def _killed(self, kill_at: int, image: Path, device: Path, *words: str) -> None:
        done = self.drive(kill_at, image, device, "--yes", self._dry_token(image, device, *words), *words)
        self.assertEqual(done.returncode, -9, done.stderr)

    def _resumed(self, image: Path, device: Path) -> list[dict[str, Any]]:
        done = self.drive(0, image, device, "--resume", "--yes", self._dry_token(image, device, "--resume"), "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.lines()

    def test_killed_at_any_write_it_does_not_boot_and_resumes_to_the_image(self) -> None:
        image = self.image(40 * MIB)
        # Zeros at both ends, 39 segments, the head in two.
        moments = [1, 2, 3, 18, 19, 41, 42, 43, *random.Random(3).sample(range(4, 41), 4)]
        for moment in moments:
            with self.subTest(write=moment):
                device, backing = self.loop(48 * MIB)
                self._killed(moment, image, device)
                self.assertEqual(backing.read_bytes()[:512], bytes(512), "it would boot half-written")
                events = self._resumed(image, device)
                self.assertEqual(backing.read_bytes()[: 40 * MIB], image.read_bytes())
                resumed = [event for event in events if event["event"] == "resumed"]
                if moment > 18:
                    # The first 16 segments were synced and are believed, once read back.
                    self.assertGreaterEqual(resumed[0]["trusted"], 16)

    def test_killed_while_it_resumes_it_still_resumes(self) -> None:
        image = self.image(40 * MIB)
        device, backing = self.loop(48 * MIB)
        self._killed(30, image, device)
        self._killed(5, image, device, "--resume")
        self._resumed(image, device)
        self.assertEqual(backing.read_bytes()[: 40 * MIB], image.read_bytes())

    def test_what_was_written_before_is_not_believed_if_it_is_not_there(self) -> None:
        image = self.image(40 * MIB)
        device, backing = self.loop(48 * MIB)
        self._killed(38, image, device)
        with backing.open("r+b") as file:
            file.seek(7 * MIB + 100)
            file.write(b"forgotten")
        events = self._resumed(image, device)
        resumed = next(event for event in events if event["event"] == "resumed")
        self.assertEqual((resumed["claimed"], resumed["trusted"]), (32, 6))
        self.assertEqual(backing.read_bytes()[: 40 * MIB], image.read_bytes())

    def test_another_image_does_not_resume(self) -> None:
        device, _ = self.loop(48 * MIB)
        self._killed(20, self.image(40 * MIB, seed=1), device)
        done = self.drive(0, self.image(40 * MIB, seed=2), device, "--resume", "--dry-run")
        self.assertEqual(done.returncode, Code.OTHER_JOB.exit_code, done.stderr)

    def test_nothing_to_resume_is_said(self) -> None:
        device, _ = self.loop(8 * MIB)
        done = self.drive(0, self.image(3 * MIB), device, "--resume", "--dry-run")
        self.assertEqual(done.returncode, Code.NOTHING_TO_RESUME.exit_code, done.stderr)

    def test_a_polite_stop_says_that_the_target_is_incomplete(self) -> None:
        image = self.image(96 * MIB)
        device, backing = self.loop(128 * MIB)
        token = self._dry_token(image, device)
        command = [sys.executable, "-B", str(DRIVER), "0", "x86-64", "--image", str(image), "--device", str(device)]
        command += ["--state", str(self.state), "--yes", token]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        heard = ""
        for line in process.stderr:
            heard += line
            if line.startswith("  writing: "):
                process.terminate()
                break
        heard += process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(), Code.INTERRUPTED.exit_code, heard)
        self.assertIn("THE TARGET IS INCOMPLETE", heard)
        self.assertIn("--resume", heard)
        self.assertEqual(backing.read_bytes()[:MIB], bytes(MIB))


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    """`Interrupted` inherits the driver from `Writing`, not its tests."""
    del tests, pattern
    own = [name for name in vars(Interrupted) if name.startswith("test_")]
    return unittest.TestSuite([*loader.loadTestsFromTestCase(Writing), *map(Interrupted, own)])


if __name__ == "__main__":
    unittest.main()
