"""What a Raspberry Pi's firmware finds on the first partition."""

import subprocess
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from fixture import REPOSITORY
from imaging import board as boards
from imaging import disk, jetson, options, raspberry
from imaging.reason import Code, Refusal
from imaging.rootfs import Root

VERSION = "6.12.0-rt-arm64"
KNOWN = disk.identity("raspberry-pi-5", 1_760_000_000)


class RaspberryTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Root(Path(folder.name) / "root", 1_760_000_000)
        self.boot = Path(folder.name) / "boot"
        self.boot.mkdir()
        for name in (f"boot/vmlinuz-{VERSION}", f"boot/initrd.img-{VERSION}", f"usr/lib/modules/{VERSION}/kernel/x.ko"):
            self.root.write(name, name)
        self.tree = self.root.path / f"usr/lib/linux-image-{VERSION}/broadcom/bcm2712-rpi-5-b.dtb"
        self.root.write(str(self.tree.relative_to(self.root.path)), "device tree")
        board = boards.load("raspberry-pi-5")
        self.arguments = jetson.isolation(board, options.parse([board.name]))

    def prepare(self) -> None:
        try:
            raspberry.prepare(self.root, self.boot, KNOWN, self.arguments)
        except PermissionError:
            self.skipTest("laying files of root needs root")

    def test_config_names_a_kernel_and_an_initramfs_that_are_there(self) -> None:
        self.prepare()
        config = (self.boot / "config.txt").read_text()
        for line in (f"kernel={raspberry.KERNEL}", f"initramfs {raspberry.INITRAMFS} followkernel", "arm_64bit=1"):
            self.assertIn(line + "\n", config)
        self.assertEqual((self.boot / raspberry.KERNEL).read_text(), f"boot/vmlinuz-{VERSION}")
        self.assertEqual((self.boot / raspberry.INITRAMFS).read_text(), f"boot/initrd.img-{VERSION}")
        self.assertEqual((self.boot / "bcm2712-rpi-5-b.dtb").read_text(), "device tree")

    def test_the_arguments_are_one_line_with_the_boards_isolated_cores(self) -> None:
        self.prepare()
        text = (self.boot / "cmdline.txt").read_text()
        self.assertEqual(text.count("\n"), 1)
        words = text.split()
        self.assertIn(f"root=PARTUUID={KNOWN.disk[:8]}-02", words)
        self.assertIn("nohz_full=2-3", words)

    def test_what_raspberry_pis_packages_put_on_the_first_partition_stays(self) -> None:
        self.root.write(f"boot/firmware/{raspberry.KERNEL}", "their kernel")
        self.root.write("boot/firmware/bcm2712-rpi-5-b.dtb", "their device tree")
        self.prepare()
        self.assertEqual((self.boot / raspberry.KERNEL).read_text(), "their kernel")
        self.assertEqual((self.boot / "bcm2712-rpi-5-b.dtb").read_text(), "their device tree")

    def test_a_kernel_that_knows_no_pi_5_is_refused(self) -> None:
        self.tree.unlink()
        with self.assertRaises(Refusal) as refused:
            self.prepare()
        self.assertIs(refused.exception.code, Code.KERNEL)

    def test_other_cores_later_replace_the_arguments_and_nothing_else(self) -> None:
        self.prepare()
        before = (self.boot / "cmdline.txt").read_text()
        script = (REPOSITORY / "scripts/imaging/overlay/raspberry/usr/lib/reflexarc/isolate").read_text()
        program = self.boot / "isolate"
        program.write_text(script.replace("/boot/firmware/", f"{self.boot}/"))
        subprocess.run(["sh", str(program), "3"], check=True)
        changed = (self.boot / "cmdline.txt").read_text()
        self.assertIn("nohz_full=3 ", changed)
        self.assertNotIn("2-3", changed)
        subprocess.run(["sh", str(program), "none"], check=True)
        self.assertNotIn("isolcpus", (self.boot / "cmdline.txt").read_text())
        subprocess.run(["sh", str(program), "2-3"], check=True)
        self.assertEqual((self.boot / "cmdline.txt").read_text(), before)
        self.assertNotEqual(subprocess.run(["sh", str(program), "0"], check=False, capture_output=True).returncode, 0)


if __name__ == "__main__":
    unittest.main()
