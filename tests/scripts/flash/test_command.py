"""scripts/flash itself, as a person calls it, on this machine as it is."""

import json
import os
import re
import subprocess
import sys
import time
import unittest
from typing import ClassVar
from unittest import mock

from fixture import MIB, REPOSITORY, Code, FlashTest, boards, skip
from flashing import confirm
from flashing.refusal import table

FLASH = REPOSITORY / "scripts" / "flash"


class Command(FlashTest):
    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FLASH), *words, "--state", str(self.state)]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=self.folder, check=False
        )

    def exits(self, code: Code, *words: str) -> str:
        done = self.call(*words)
        self.assertEqual(done.returncode, code.exit_code, done.stderr)
        if code is not Code.USAGE:
            for part in (code.title, "why: ", "fix: ", "The target is unchanged."):
                self.assertIn(part, done.stderr)
        return done.stderr

    def card(self, *words: str, name: str = "x86-64") -> list[str]:
        return [name, "--image", str(self.image(3 * MIB)), *words]

    def test_help_names_every_board_and_every_exit_code(self) -> None:
        done = self.call("--help")
        self.assertEqual(done.returncode, 0)
        for name in boards.names():
            self.assertIn(name, done.stdout)
        self.assertIn(table(), done.stdout)

    def test_exit_codes_differ_and_the_documentation_has_each(self) -> None:
        numbers = [code.exit_code for code in Code]
        self.assertEqual(len(set(numbers)), len(numbers))
        text = (REPOSITORY / "docs" / "flashing.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \| `(E_\w+)` \| (.*) \|$", text, re.MULTILINE)
        self.assertEqual(rows, [(str(code.exit_code), code.title, code.meaning) for code in Code])

    def test_every_board_file_can_be_read_and_is_flashed_in_a_way_that_exists(self) -> None:
        for board in boards.all_boards():
            self.assertIn(board.recipe, ("block-image", "l4t-initrd", "rockusb"), board.name)
            if board.recipe == "l4t-initrd":
                self.assertTrue(board.command and board.recovery and board.booted and board.flashing, board.name)

    def test_usage(self) -> None:
        self.exits(Code.USAGE, "x86-64", "--force")
        self.exits(Code.USAGE, "x86-64")
        self.assertIn("raspberry-pi-5", self.exits(Code.BOARD_UNKNOWN, "raspberry-pi-6", "--dry-run"))
        self.exits(Code.BOARD_UNKNOWN, "../boards/x86-64", "--dry-run")

    def test_a_file_is_refused_and_not_made(self) -> None:
        target = self.folder / "card.img"
        self.exits(Code.NO_DEVICE, *self.card("--device", str(target), "--dry-run"))
        self.assertFalse(target.exists())
        target.write_bytes(b"mine")
        self.exits(Code.NOT_BLOCK, *self.card("--device", str(target), "--yes", "0000-0000"))
        self.assertEqual(target.read_bytes(), b"mine")

    def test_this_machines_own_disk_is_refused(self) -> None:
        root = os.stat("/").st_dev
        link = f"/sys/dev/block/{os.major(root)}:{os.minor(root)}"
        if not os.path.exists(link):
            skip("the root file system is on no block device here")
        block = os.path.realpath(link)
        disk = os.path.basename(os.path.dirname(block) if os.path.exists(f"{block}/partition") else block)
        if not os.path.exists(f"/dev/{disk}"):
            skip("the root file system's disk has no node in /dev")
        text = self.exits(Code.SYSTEM_DISK, *self.card("--device", f"/dev/{disk}", "--dry-run"))
        self.assertIn("this system's /", text)

    def test_a_loop_device_is_refused_whatever_one_types(self) -> None:
        device, backing = self.loop(8 * MIB)
        before = backing.read_bytes()
        self.exits(Code.VIRTUAL, *self.card("--device", str(device), "--yes", "0000-0000"))
        self.assertEqual(backing.read_bytes(), before)

    def test_a_partition_of_a_real_disk_is_refused(self) -> None:
        found = [
            entry for entry in os.listdir("/sys/class/block") if os.path.exists(f"/sys/class/block/{entry}/partition")
        ]
        found = [entry for entry in found if os.path.exists(f"/dev/{entry}")]
        if not found:
            skip("this machine has no disk with partitions")
        self.exits(Code.PARTITION, *self.card("--device", f"/dev/{found[0]}", "--dry-run"))

    def test_the_event_log_is_json_lines_with_the_refusal(self) -> None:
        events = self.folder / "log" / "events.jsonl"
        self.exits(Code.NO_DEVICE, *self.card("--device", "/dev/no-such-disk", "--dry-run", "--events", str(events)))
        lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            self.assertEqual(line["schema"], 1)
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertLessEqual({"elapsed_s", "stage", "event"}, set(line))
        self.assertEqual([line["stage"] for line in lines if line["event"] == "enter"], ["plan", "host", "detect"])
        last = lines[-1]
        self.assertEqual(
            (last["event"], last["code"], last["exit"], last["target"]), ("refused", "E_NO_DEVICE", 30, "unchanged")
        )

    def test_a_jetson_without_nvidias_folder_is_told_where_to_get_it(self) -> None:
        self.assertIn("apply_binaries.sh", self.exits(Code.BSP, "jetson-orin-nano", "--dry-run"))

    def test_a_rockchip_board_takes_a_card_too(self) -> None:
        self.exits(Code.NO_DEVICE, *self.card("--device", "/dev/no-such-disk", "--dry-run", name="rock-5b"))

    def test_an_old_python_is_told_so_with_its_own_code(self) -> None:
        program = (
            f"import sys; sys.version_info = (3, 9, 2); exec(compile(open({str(FLASH)!r}).read(), 'flash', 'exec'))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, Code.PYTHON.exit_code)
        for part in ("E_PYTHON: this is Python 3.9", "why: ", "fix: "):
            self.assertIn(part, done.stderr)

    def test_what_nobody_foresaw_still_says_how_the_target_is_left(self) -> None:
        program = (
            f"import sys; sys.path.insert(0, {str(FLASH.parent)!r}); from flashing import cli\n"
            "def fail(*about): raise ZeroDivisionError('made for the test')\n"
            "sys.exit(cli.main(['x86-64'], fail))"
        )
        done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, Code.UNFORESEEN.exit_code)
        self.assertIn("made for the test", done.stderr)
        self.assertIn("The target is unchanged.", done.stderr)

    def test_it_starts_quickly_and_leaves_no_compiled_files(self) -> None:
        before = set((REPOSITORY / "scripts" / "flashing").rglob("*.pyc"))
        began = time.monotonic()
        self.call("--help")
        self.assertLess(time.monotonic() - began, 60.0, "it hangs")
        self.assertEqual(set((REPOSITORY / "scripts" / "flashing").rglob("*.pyc")), before)


class Consent(FlashTest):
    """A person types the token."""

    PLAN: ClassVar = [("board", "x86-64"), ("target", "/dev/sdb")]

    def ask(self, typed: str | None, *, terminal: bool = True) -> None:
        def prompt(words: str) -> str:
            if typed is None:
                raise EOFError
            return typed

        with mock.patch("sys.stdin") as stdin:
            stdin.isatty.return_value = terminal
            confirm.ask(self.PLAN, "", self.log(), prompt)

    def test_the_token_and_nothing_else_is_consent(self) -> None:
        token = confirm.token(self.PLAN)
        self.assertRegex(token, r"^[0-9a-f]{4}-[0-9a-f]{4}$")
        self.ask(f" {token} ")
        for typed in ("y", "yes", "", token.upper() + "0", None):
            self.refused(Code.WRONG_TOKEN, lambda typed=typed: self.ask(typed))  # type: ignore[misc]
        self.refused(Code.NOT_CONFIRMED, lambda: self.ask(token, terminal=False))

    def test_whatever_differs_in_the_plan_differs_in_the_token(self) -> None:
        self.assertNotEqual(confirm.token(self.PLAN), confirm.token([*self.PLAN[:1], ("target", "/dev/sdc")]))


class InUse(FlashTest):
    """Real mounts and real exclusive openings, on loop devices."""

    def test_a_disk_that_somebody_else_has_is_refused(self) -> None:
        device, backing = self.loop(8 * MIB)
        held = os.open(device, os.O_RDONLY | os.O_EXCL)
        self.addCleanup(os.close, held)
        before = backing.read_bytes()
        self.refused(Code.IN_USE, lambda: self.write(self.image(3 * MIB), device))
        self.assertEqual(backing.read_bytes(), before)

    def test_a_mounted_disk_is_refused_and_so_is_an_image_on_it(self) -> None:
        device, _ = self.loop(64 * MIB)
        point = self.folder / "mounted"
        point.mkdir()
        made = subprocess.run(["mkfs.ext4", "-q", "-F", str(device)], capture_output=True, check=False)
        if made.returncode or subprocess.run(["mount", str(device), str(point)], check=False).returncode:
            skip("this machine does not let a file system be made and mounted")
        self.stack.callback(subprocess.run, ["umount", "--lazy", str(point)], check=False)
        image = self.image(3 * MIB)
        self.assertIn(str(point), str(self.refused(Code.MOUNTED, lambda: self.write(image, device))))
        inside = point / "system.img"
        inside.write_bytes(image.read_bytes())
        self.refused(Code.IMAGE_ON_TARGET, lambda: self.write(inside, device))

    def test_a_read_only_disk_is_refused(self) -> None:
        device, _ = self.loop(8 * MIB, "--read-only")
        self.refused(Code.READ_ONLY, lambda: self.write(self.image(3 * MIB), device))

    def test_a_disk_that_is_too_small_is_refused_before_it_is_changed(self) -> None:
        device, backing = self.loop(8 * MIB)
        before = backing.read_bytes()
        self.refused(Code.TOO_SMALL, lambda: self.write(self.image(8 * MIB + 1), device))
        self.assertEqual(backing.read_bytes(), before)

    def test_another_disk_in_its_place_is_noticed(self) -> None:
        device, backing = self.loop(8 * MIB)
        image = self.image(3 * MIB)

        def change(event: dict[str, object]) -> None:
            if event["event"] == "confirmed":
                subprocess.run(["losetup", "--detach", str(device)], check=True)
                subprocess.run(["losetup", str(device), str(backing)], check=True)

        before = backing.read_bytes()
        self.refused(Code.CHANGED, lambda: self.write(image, device, observer=change))
        self.assertEqual(backing.read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
