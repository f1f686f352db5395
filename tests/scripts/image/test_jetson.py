"""A Jetson's BSP, or a folder of its shape: which steps run, which are left out, what is refused."""

import os
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from fixture import EXTLINUX, KEY, bsp, image
from imaging import host, jetson
from imaging.reason import Code, Refusal


class ExtlinuxTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "extlinux.conf"
        self.path.write_text(EXTLINUX)

    def test_ours_is_a_new_entry_and_the_vendors_is_untouched(self) -> None:
        jetson.add_entry(self.path, ["isolcpus=4-5"], real_time=True)
        text = self.path.read_text()
        self.assertIn("DEFAULT reflexarc\n", text)
        vendors = EXTLINUX[EXTLINUX.index("LABEL primary") :].rstrip()
        self.assertIn(vendors, text)
        ours = text[text.index("LABEL reflexarc") :]
        self.assertIn("LINUX /boot/Image.real-time\n", ours)
        self.assertIn("APPEND ${cbootargs} root=PARTUUID=1234 rw rootwait isolcpus=4-5\n", ours)
        self.assertEqual((self.path.parent / "extlinux.conf.nvidia").read_text(), EXTLINUX)

    def test_done_twice_it_is_the_same(self) -> None:
        jetson.add_entry(self.path, ["isolcpus=4-5"], real_time=False)
        once = self.path.read_text()
        jetson.add_entry(self.path, ["isolcpus=4-5"], real_time=False)
        self.assertEqual(self.path.read_text(), once)

    def test_other_cores_later_leave_nothing_of_the_first(self) -> None:
        jetson.add_entry(self.path, ["isolcpus=4-5"], real_time=False)
        jetson.add_entry(self.path, ["isolcpus=3"], real_time=False)
        text = self.path.read_text()
        self.assertNotIn("isolcpus=4-5", text)
        self.assertEqual(text.count("LABEL reflexarc\n"), 1)

    def test_a_file_without_an_entry_to_start_from_is_refused_and_kept(self) -> None:
        self.path.write_text("TIMEOUT 30\nDEFAULT nothing\n")
        with self.assertRaises(Refusal) as refused:
            jetson.add_entry(self.path, [], real_time=False)
        self.assertIs(refused.exception.code, Code.BSP)
        self.assertEqual(self.path.read_text(), "TIMEOUT 30\nDEFAULT nothing\n")


@unittest.skipIf(os.geteuid() != 0, "preparing a BSP needs root")
class BspTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bsp = bsp(self.folder / "Linux_for_Tegra")
        self.package = self.folder / "reflexarc.deb"
        self.package.write_bytes(b"")
        (self.folder / "id.pub").write_text(KEY)
        # The packages' own programs cannot run in a folder of six files; everything else is real.
        for target in (
            mock.patch.object(host, "check"),
            mock.patch.object(jetson, "install_reflexarc"),
            mock.patch.object(jetson, "authorise"),
        ):
            target.start()
            self.addCleanup(target.stop)

    def prepare(self, board: str, *words: str) -> tuple[int, str]:
        return image(
            board,
            "--bsp",
            str(self.bsp),
            "--package",
            str(self.package),
            "--ssh-key",
            str(self.folder / "id.pub"),
            *words,
        )

    def calls(self) -> list[str]:
        path = self.bsp / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def test_the_steps_run_in_order_and_say_what_comes_next(self) -> None:
        code, said = self.prepare("jetson-orin-nano", "--accept-license")
        self.assertEqual(code, 0, said)
        self.assertEqual([call.split()[0] for call in self.calls()], ["apply", "user"])
        self.assertIn("scripts/flash jetson-orin-nano --bsp", said)
        self.assertIn("isolcpus=managed_irq,domain,4-5", (self.bsp / "rootfs/boot/extlinux/extlinux.conf").read_text())

    def test_thor_gets_the_open_driver(self) -> None:
        self.prepare("jetson-thor", "--accept-license")
        self.assertEqual(self.calls()[0], "apply --openrm")

    def test_what_is_done_is_not_done_again(self) -> None:
        self.prepare("jetson-orin-nano", "--accept-license")
        before = self.calls()
        code, _ = self.prepare("jetson-orin-nano", "--accept-license")
        self.assertEqual((code, self.calls()), (0, before))

    def test_nobody_accepts_a_licence_for_you(self) -> None:
        code, said = self.prepare("jetson-orin-nano")
        self.assertEqual(code, Code.BSP.exit_code)
        self.assertIn("--accept-license", said)

    def test_the_password_that_nobody_uses_is_not_shown(self) -> None:
        _, said = self.prepare("jetson-orin-nano", "--accept-license")
        password = self.calls()[1].split("-p ")[1].split()[0]
        self.assertNotIn(password, said)

    def test_what_is_no_bsp_is_refused(self) -> None:
        (self.bsp / "flash.sh").unlink()
        self.assertEqual(self.prepare("jetson-orin-nano")[0], Code.BSP.exit_code)

    def test_a_real_time_kernel_in_the_flashing_environment_is_refused(self) -> None:
        (self.bsp / "kernel/Image").write_text("Linux version 5.15 SMP PREEMPT_RT\n")
        code, said = self.prepare("jetson-orin-nano", "--accept-license")
        self.assertEqual(code, Code.BSP.exit_code)
        self.assertIn("Image.real-time", said)

    def test_a_step_of_the_vendors_that_fails_ends_it_with_its_words(self) -> None:
        (self.bsp / "apply_binaries.sh").write_text("#!/bin/sh\necho 'no space left' >&2\nexit 3\n")
        code, said = self.prepare("jetson-orin-nano", "--accept-license")
        self.assertEqual(code, Code.BSP_STEP.exit_code)
        self.assertIn("no space left", said)

    def test_a_step_that_says_it_did_and_did_not_is_not_believed(self) -> None:
        (self.bsp / "apply_binaries.sh").write_text("#!/bin/sh\nexit 0\n")
        self.assertEqual(self.prepare("jetson-orin-nano", "--accept-license")[0], Code.BSP_STEP.exit_code)


if __name__ == "__main__":
    unittest.main()
