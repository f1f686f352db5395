"""What the command line takes and refuses; that its documentation is complete."""

import os
import re
import subprocess
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from fixture import KEY, REPOSITORY, image
from imaging import board as boards
from imaging import host, options, rootfs
from imaging.reason import Code, Refusal


class CommandTest(unittest.TestCase):
    def test_an_unknown_board_is_refused_with_the_names_of_those_known(self) -> None:
        code, said = image("toaster")
        self.assertEqual(code, Code.BOARD_UNKNOWN.exit_code)
        self.assertIn("raspberry-pi-5", said)

    def test_a_board_with_its_vendors_system_is_refused_with_the_way_to_it(self) -> None:
        code, said = image("rock-5b")
        self.assertEqual(code, Code.RECIPE.exit_code)
        self.assertIn("scripts/deploy rock-5b", said)

    def test_core_0_is_never_isolated(self) -> None:
        for cores in ("0", "0-3", "1,0"):
            code, said = image("x86-64", "--isolate", cores)
            self.assertEqual(code, 2, cores)
            self.assertIn("core 0", said)

    def test_what_is_no_core_user_name_or_size_is_refused(self) -> None:
        for words in (
            ("--isolate", "two"),
            ("--user", "root"),
            ("--user", "reflexarc"),
            ("--user", "A b"),
            ("--hostname", "Robot_7"),
            ("--size", "big"),
        ):
            self.assertEqual(image("x86-64", *words)[0], 2, words)

    def test_a_private_key_does_not_get_into_an_image(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "id"
            path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n")
            with self.assertRaises(Refusal) as refused:
                rootfs.public_key(path)
            self.assertIs(refused.exception.code, Code.NO_LOGIN)
            self.assertIn("private key", refused.exception.what)
            path.write_text(KEY)
            self.assertEqual(rootfs.public_key(path), KEY.strip())

    def test_every_board_can_be_read(self) -> None:
        for name in boards.names():
            board = boards.load(name)
            self.assertIn(board.architecture, ("amd64", "arm64"), name)

    def test_the_board_files_isolation_is_taken_unless_another_is_asked_for(self) -> None:
        from imaging.jetson import isolation

        board = boards.load("qemu-virt-aarch64")
        self.assertEqual(isolation(board, options.parse([board.name])), list(board.arguments))
        self.assertEqual(isolation(board, options.parse([board.name, "--isolate", "none"])), [])
        self.assertIn("nohz_full=3", isolation(board, options.parse([board.name, "--isolate", "3"])))

    @unittest.skipIf(os.geteuid() != 0, "mounting needs root")
    def test_a_folder_with_a_mount_in_it_is_not_removed(self) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name) / "work"
            (folder / "root/proc").mkdir(parents=True)
            (folder / "root/file").write_text("x")
            if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder / "root/proc")], check=False).returncode:
                self.skipTest("this machine lets nobody mount")
            try:
                with self.assertRaises(Refusal) as refused:
                    host.remove(folder)
                self.assertIs(refused.exception.code, Code.MOUNTED)
                self.assertTrue((folder / "root/file").exists())
            finally:
                subprocess.run(["umount", str(folder / "root/proc")], check=True)
            host.remove(folder)
            self.assertFalse(folder.exists())

    @unittest.skipIf(os.geteuid() != 0, "mounting needs root")
    def test_what_a_killed_command_has_mounted_is_gone_with_it(self) -> None:
        with TemporaryDirectory() as name:
            words = ["sh", "-c", f"mount -t tmpfs tmpfs {name} && touch {name}/mounted && echo mounted && sleep 60"]
            command = [host.which("unshare") or "unshare", *host.OWN_MOUNTS[1:], *words]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
                assert running.stdout
                if running.stdout.readline() != b"mounted\n":
                    self.skipTest("this machine lets nobody mount")
                running.kill()
            self.assertEqual(list(Path(name).iterdir()), [])
            self.assertNotIn(name, Path("/proc/self/mountinfo").read_text())

    def test_each_exit_code_is_in_the_documentation(self) -> None:
        text = (REPOSITORY / "docs/images.md").read_text(encoding="utf-8")
        listed = dict(re.findall(r"^\| (\d+) \| `(E_\w+)` \|", text, re.MULTILINE))
        self.assertEqual(listed, {str(code.exit_code): code.title for code in Code})
        self.assertEqual(len({code.exit_code for code in Code}), len(list(Code)))


if __name__ == "__main__":
    unittest.main()
