"""What scripts/flash refuses to write, each on an emulated USB stick, and that it then has changed nothing."""

import os
import subprocess
from pathlib import Path

from fixture import MIB, Code
from on_usb import DISK, SERIAL, OnUsb


class Refused(OnUsb):
    """By the disk's state first, then by its nature."""

    def test_a_disk_that_carries_the_system_is_refused(self) -> None:
        with self.mounted(self.file_system(), Path("/home")):
            self.assertIn("/home", self.refused(Code.SYSTEM_DISK))

    def test_a_disk_that_carries_the_system_through_a_device_mapper_is_refused(self) -> None:
        node = self.file_system()
        with (
            self.mapped("volume", f"0 {DISK // 512 - 2048} linear {node} 0") as volume,
            self.mounted(volume, Path("/var")),
        ):
            self.refused(Code.SYSTEM_DISK)

    def test_a_disk_with_a_mounted_partition_is_refused(self) -> None:
        with self.mounted(self.file_system(), self.folder / "mounted"):
            self.assertIn("umount", self.refused(Code.MOUNTED))

    def test_a_disk_on_which_the_image_lies_is_refused(self) -> None:
        node, point = self.file_system(), self.folder / "mounted"
        there = point / "system.img"
        with self.mounted(node, point, "rw"):
            there.write_bytes(self.image(2 * MIB).read_bytes())
        with self.mounted(node, point):
            self.refused(Code.IMAGE_ON_TARGET, image=there)

    def test_a_partition_is_refused(self) -> None:
        self.assertIn(str(self.disk), self.refused(Code.PARTITION, "--device", self.partition()))

    def test_a_disk_that_the_machine_swaps_to_is_refused(self) -> None:
        node = self.partition()
        subprocess.run(["mkswap", str(node)], check=True, capture_output=True)
        subprocess.run(["swapon", str(node)], check=True)
        try:
            self.refused(Code.SWAP)
        finally:
            subprocess.run(["swapoff", str(node)], check=True)

    def test_a_disk_that_a_device_mapper_holds_is_refused(self) -> None:
        with self.mapped("held", f"0 2048 linear {self.partition()} 0"):
            self.assertIn("dm-", self.refused(Code.HOLDERS))

    def test_a_device_mapper_itself_is_refused(self) -> None:
        with self.mapped("held", f"0 2048 linear {self.disk} 0") as held:
            self.refused(Code.VIRTUAL, "--device", held)

    def test_a_disk_that_another_program_has_for_itself_is_refused(self) -> None:
        held = os.open(self.disk, os.O_RDWR | os.O_EXCL)
        try:
            self.refused(Code.IN_USE)
        finally:
            os.close(held)

    def test_a_file_and_a_name_of_nothing_are_refused(self) -> None:
        self.refused(Code.NOT_BLOCK, "--device", self.medium)
        self.refused(Code.NO_DEVICE, "--device", "/dev/sdzz")
        self.assertFalse(Path("/dev/sdzz").exists(), "no file is made in its place")

    def test_another_serial_number_is_refused(self) -> None:
        self.assertIn(SERIAL, self.refused(Code.WRONG_SERIAL, "--serial", "REFLEXARC0002"))

    def test_a_disk_that_is_too_small_is_refused(self) -> None:
        self.refused(Code.TOO_SMALL, image=self.image(DISK + MIB))

    def test_a_read_only_disk_is_refused(self) -> None:
        self.stick.insert(self.medium, read_only=True)
        self.refused(Code.READ_ONLY)

    def test_a_reader_without_a_card_is_refused(self) -> None:
        self.stick.insert(None)
        self.refused(Code.NO_MEDIUM)

    def test_a_disk_in_a_usb_case_is_refused_unless_its_serial_number_is_given(self) -> None:
        self.stick.insert(self.medium, removable=False)
        self.assertIn(f"--serial {SERIAL}", self.refused(Code.NOT_REMOVABLE))
        done = self.flash("--dry-run", "--serial", SERIAL)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_plan_of_another_image_or_of_another_appearance_of_the_disk_is_refused(self) -> None:
        image = self.image(2 * MIB)
        token = self.token(image=image)
        before = self.fingerprint()
        done = self.flash("--yes", token, image=self.image(2 * MIB, seed=2))
        self.assertEqual(done.returncode, Code.WRONG_TOKEN.exit_code, done.stderr)
        self.stick.insert(self.medium)
        done = self.flash("--yes", token, image=image)
        self.assertEqual(done.returncode, Code.WRONG_TOKEN.exit_code, done.stderr)
        self.assertEqual(self.fingerprint(), before)
