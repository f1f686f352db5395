"""Which disk is written: every reason against has its own refusal."""

import unittest
from pathlib import Path

from fixture import Code, FlashTest, Policy, Tree
from flashing.target import Disk, look, refuse_too_small, refuse_unless_safe


class Target(FlashTest):
    """Each test makes a machine out of files. Its system is on sda, the stick is sdb."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = Tree(self.folder / "machine")
        self.system_disk = self.tree.disk("sda", "8:0")
        self.root_partition = self.tree.partition(self.system_disk, "sda1", "8:1")
        self.stick = self.tree.stick("sdb", "8:16")

    def judge(self, name: str, *, image: str = "", serial: str = "") -> Disk:
        disk = look(self.tree, Path(f"/dev/{name}"), Policy())
        refuse_unless_safe(self.tree, disk, Path(image) if image else None, serial)
        return disk

    def refuses(self, code: Code, name: str, *words: str, image: str = "", serial: str = "") -> None:
        refusal = self.refused(code, lambda: self.judge(name, image=image, serial=serial))
        for word in words:
            self.assertIn(word, str(refusal))

    def test_an_unused_stick_is_taken_and_its_serial_comes_from_its_usb_device(self) -> None:
        self.tree.mount("8:1", "/", "/dev/sda1")
        disk = self.judge("sdb", serial="REFLEXARC0001")
        self.assertEqual((disk.serial, disk.transport, disk.model), ("REFLEXARC0001", "usb", "TestVendor FakeSD"))

    def test_the_disk_of_the_root_file_system_is_the_systems(self) -> None:
        self.tree.mount("8:1", "/", "/dev/sda1")
        self.refuses(Code.SYSTEM_DISK, "sda", "this system's / (/dev/sda1)")

    def test_a_stick_with_boot_on_it_is_the_systems_too(self) -> None:
        self.tree.partition(self.stick, "sdb1", "8:17")
        self.tree.mount("8:17", "/boot/firmware", "/dev/sdb1")
        self.refuses(Code.SYSTEM_DISK, "sdb", "/boot/firmware")

    def test_a_disk_under_luks_under_lvm_of_the_root_file_system_is_the_systems(self) -> None:
        part = self.tree.partition(self.stick, "sdb1", "8:17")
        luks = self.tree.mapper("dm-0", "254:0", part)
        self.tree.mapper("dm-1", "254:1", luks)
        self.tree.mount("254:1", "/", "/dev/mapper/vg-root")
        self.refuses(Code.SYSTEM_DISK, "sdb", "/dev/mapper/vg-root")

    def test_both_disks_of_a_mirror_that_carries_home_are_the_systems(self) -> None:
        other = self.tree.disk("sdc", "8:32", "pci0/usb1/1-3/x", removable=1)
        self.tree.mapper("md0", "9:0", self.stick, other)
        self.tree.mount("9:0", "/home", "/dev/md0")
        self.refuses(Code.SYSTEM_DISK, "sdb")
        self.refuses(Code.SYSTEM_DISK, "sdc")

    def test_the_root_on_btrfs_is_found_by_its_source(self) -> None:
        self.tree.mount("0:29", "/", "/dev/sda1", "btrfs")
        self.refuses(Code.SYSTEM_DISK, "sda")

    def test_a_mounted_partition_is_named_with_where(self) -> None:
        self.tree.partition(self.stick, "sdb1", "8:17")
        self.tree.mount("8:17", "/media/me/MY\\040CARD", "/dev/sdb1")
        self.refuses(Code.MOUNTED, "sdb", "/media/me/MY CARD", "umount")

    def test_a_mount_through_a_mapper_counts(self) -> None:
        part = self.tree.partition(self.stick, "sdb1", "8:17")
        self.tree.mapper("dm-0", "254:0", part)
        self.tree.mount("254:0", "/mnt", "/dev/mapper/x")
        self.refuses(Code.MOUNTED, "sdb")

    def test_swap_is_refused(self) -> None:
        self.tree.partition(self.stick, "sdb2", "8:18")
        self.tree.swap("/dev/sdb2")
        self.refuses(Code.SWAP, "sdb", "swapoff /dev/sdb2")

    def test_holders_are_refused_though_nothing_is_mounted(self) -> None:
        part = self.tree.partition(self.stick, "sdb1", "8:17")
        self.tree.mapper("dm-3", "254:3", part)
        self.refuses(Code.HOLDERS, "sdb", "dm-3")

    def test_a_partition_is_refused_and_its_disk_named(self) -> None:
        self.tree.partition(self.stick, "sdb1", "8:17")
        self.refuses(Code.PARTITION, "sdb1", "/dev/sdb")

    def test_what_the_machine_makes_itself_is_no_disk(self) -> None:
        self.tree.mapper("dm-0", "254:0")
        self.tree.disk("loop0", "7:0", "virtual", removable=1)
        self.refuses(Code.VIRTUAL, "dm-0")
        self.refuses(Code.VIRTUAL, "loop0")

    def test_a_file_a_character_device_and_nothing_are_told_apart(self) -> None:
        plain = self.folder / "card.img"
        plain.write_bytes(b"x")

        def refuse(code: Code, path: Path) -> str:
            return str(self.refused(code, lambda: look(self.tree, path, Policy())))

        self.assertIn("is a file", refuse(Code.NOT_BLOCK, plain))
        self.assertIn("no block device", refuse(Code.NOT_BLOCK, Path("/dev/null")))
        refuse(Code.NO_DEVICE, Path("/dev/sdz"))

    def test_an_image_on_the_target_is_refused_before_its_mount_is(self) -> None:
        self.tree.partition(self.stick, "sdb1", "8:17")
        self.tree.mount("8:1", "/", "/dev/sda1")
        self.tree.mount("8:17", "/media/stick", "/dev/sdb1")
        self.refuses(Code.IMAGE_ON_TARGET, "sdb", image="/media/stick/system.img")
        self.refuses(Code.MOUNTED, "sdb", image="/srv/system.img")

    def test_built_in_disks_are_refused(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/ata2")
        self.refuses(Code.NOT_REMOVABLE, "sdc")
        self.tree.disk("nvme0n1", "259:0", "pci0/nvme/nvme0")
        self.refuses(Code.NOT_REMOVABLE, "nvme0n1", "nvme")

    def test_a_disk_in_a_usb_case_is_taken_only_by_its_serial(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/usb1/1-2/case")
        self.refuses(Code.NOT_REMOVABLE, "sdc", "--serial REFLEXARC0001")
        self.refuses(Code.WRONG_SERIAL, "sdc", serial="OTHER")
        self.judge("sdc", serial="REFLEXARC0001")

    def test_a_card_in_a_built_in_reader_is_taken_and_soldered_memory_is_not(self) -> None:
        for name, number, kind in (("mmcblk0", "179:0", "SD"), ("mmcblk1", "179:8", "MMC")):
            block = self.tree.disk(name, number, f"pci0/mmc_host/{name}:1")
            (block / "device").mkdir()
            (block / "device" / "type").write_text(kind + "\n", encoding="utf-8")
            (block / "device" / "serial").write_text("0x1234abcd\n", encoding="utf-8")
        self.assertEqual(self.judge("mmcblk0").serial, "0x1234abcd")
        self.refuses(Code.NOT_REMOVABLE, "mmcblk1", "emmc")

    def test_read_only_is_refused(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/usb2/x", removable=1, ro=1)
        self.refuses(Code.READ_ONLY, "sdc")

    def test_a_reader_without_a_card_is_refused(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/usb2/x", removable=1, size=0)
        self.refuses(Code.NO_MEDIUM, "sdc")

    def test_another_serial_is_refused_and_the_real_one_named(self) -> None:
        self.refuses(Code.WRONG_SERIAL, "sdb", "REFLEXARC0001", serial="REFLEXARC0002")

    def test_a_disk_without_a_serial_is_not_the_one_with_that_serial(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/usb2/x", removable=1)
        self.refuses(Code.WRONG_SERIAL, "sdc", serial="S")

    def test_a_large_disk_needs_its_serial(self) -> None:
        self.tree.disk("sdc", "8:32", "pci0/usb1/1-2/y", removable=1, size=4 * 10**12)
        self.refuses(Code.LARGE_DISK, "sdc", "--serial REFLEXARC0001")
        self.judge("sdc", serial="REFLEXARC0001")

    def test_too_small_by_one_byte_is_too_small(self) -> None:
        disk = self.judge("sdb")
        refuse_too_small(disk, disk.size)
        self.refused(Code.TOO_SMALL, lambda: refuse_too_small(disk, disk.size + 1))

    def test_a_sticks_name_cannot_write_to_the_terminal(self) -> None:
        self.tree.usb("1-2", "18d1:4e40", "Evil\x1b[2J", "Stick\r", serial="S\x07 1")
        disk = self.judge("sdb")
        self.assertEqual((disk.model, disk.serial), ("Evil[2J Stick", "S 1"))


if __name__ == "__main__":
    unittest.main()
