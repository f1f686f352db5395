"""Boards on USB: what waits, what runs, what is being flashed."""

import unittest

from fixture import Code, FlashTest, Tree, boards
from flashing import usb
from flashing.refusal import Refusal
from flashing.usb import UsbDevice


class Usb(FlashTest):
    def setUp(self) -> None:
        super().setUp()
        self.tree = Tree(self.folder / "machine")
        self.tree.usb("usb1", "1d6b:0002", "Linux", "root hub")
        self.tree.usb("1-1", "046d:c077", "Logitech", "Mouse")

    def find(self, name: str = "jetson-orin-nano", instance: str = "") -> UsbDevice:
        return usb.waiting(self.tree, boards.load(name), boards.all_boards(), instance)

    def refuses(self, code: Code, name: str = "jetson-orin-nano", instance: str = "") -> Refusal:
        return self.refused(code, lambda: self.find(name, instance))

    def test_the_one_in_recovery_is_found(self) -> None:
        self.tree.usb("1-4.2", "0955:7523", "NVIDIA Corp.", "APX")
        found = self.find()
        self.assertEqual((found.instance, found.described), ("1-4.2", "0955:7523 NVIDIA Corp. APX on port 1-4.2"))

    def test_none_is_told_how_to_get_one(self) -> None:
        refusal = self.refuses(Code.NO_BOARD)
        self.assertIn("0955:7523 or 0955:7623", refusal.why)
        self.assertIn("recovery button", refusal.fix)

    def test_two_are_refused_without_a_port_and_taken_with_one(self) -> None:
        self.tree.usb("1-4", "0955:7523", "NVIDIA Corp.", "APX")
        self.tree.usb("2-1", "0955:7623", "NVIDIA Corp.", "APX")
        self.assertIn("--usb-instance 1-4", self.refuses(Code.SEVERAL_BOARDS).fix)
        self.assertEqual(self.find(instance="2-1").identifier, "0955:7623")
        self.refuses(Code.NO_BOARD, instance="1-1")

    def test_a_board_that_runs_is_told_so(self) -> None:
        self.tree.usb("1-4", "0955:7020", "NVIDIA", "Linux for Tegra")
        self.assertIn("192.168.55.1", str(self.refuses(Code.BOOTED)))

    def test_a_board_that_is_being_flashed_is_left_alone(self) -> None:
        self.tree.usb("1-4", "0955:7035", "NVIDIA", "Linux for Tegra")
        self.assertIn("power away for ten seconds", self.refuses(Code.FLASHING).fix)

    def test_another_kind_of_board_is_named(self) -> None:
        self.tree.usb("1-4", "0955:7026", "NVIDIA Corp.", "APX")
        self.assertIn("scripts/flash jetson-thor", self.refuses(Code.OTHER_BOARD).fix)
        self.assertEqual(self.find("jetson-thor").identifier, "0955:7026")

    def test_every_boards_recovery_id_is_told_from_all_others(self) -> None:
        for board in boards.all_boards():
            for identifier in board.recovery:
                self.tree.usb("1-4", identifier, "Maker", "Board")
                self.assertEqual(self.find(board.name).identifier, identifier)

    def test_the_wait_ends_with_the_device_or_at_its_limit(self) -> None:
        calls: list[float] = []

        def appear(duration: float) -> None:
            calls.append(duration)
            if len(calls) == 3:
                self.tree.usb("1-4", "0955:7020", "NVIDIA", "Linux for Tegra")

        found = usb.await_device(self.tree, "", ("0955:7020",), 3600.0, appear)
        assert found is not None
        self.assertEqual((found.identifier, len(calls)), ("0955:7020", 3))
        self.assertIsNone(usb.await_device(self.tree, "", ("0955:7523",), 0.0, appear))


if __name__ == "__main__":
    unittest.main()
