"""Boards that wait on USB to be flashed: emulated devices with their ids, on a real bus."""

import unittest

from fixture import Code, Refusal, System, boards
from flashing import usb
from gadget import Gadget


class Waiting(unittest.TestCase):
    """What of the devices on the bus is the board. NVIDIA's tools, which come after that, are not here."""

    def board_in(self, port: int, identifier: str) -> Gadget:
        """A device with that id, plugged in."""
        gadget = Gadget(port, identifier, "NVIDIA Corp.", "APX")
        self.addCleanup(gadget.remove)
        # Any function will do: the ids are what is looked at.
        gadget.add("acm.0" if port == 0 else f"acm.{port}")
        gadget.plug_in()
        return gadget

    def waiting(self, name: str, instance: str = "") -> usb.UsbDevice:
        """The board that scripts/flash would flash."""
        return usb.waiting(System(), boards.load(name), boards.all_boards(), instance)

    def refused(self, code: Code, name: str, instance: str = "") -> Refusal:
        """The refusal, which must be this one."""
        with self.assertRaises(Refusal) as caught:
            self.waiting(name, instance)
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return caught.exception

    def test_a_board_in_recovery_mode_is_found(self) -> None:
        self.refused(Code.NO_BOARD, "jetson-orin-nano")
        gadget = self.board_in(0, "0955:7523")
        found = self.waiting("jetson-orin-nano")
        self.assertEqual((found.identifier, found.instance), ("0955:7523", gadget.instance))
        gadget.pull_out()
        self.refused(Code.NO_BOARD, "jetson-orin-nano")

    def test_of_two_boards_none_is_chosen_until_one_is_named(self) -> None:
        both = [self.board_in(0, "0955:7523"), self.board_in(1, "0955:7523")]
        told = str(self.refused(Code.SEVERAL_BOARDS, "jetson-orin-nano"))
        for gadget in both:
            self.assertIn(gadget.instance, told)
            self.assertEqual(self.waiting("jetson-orin-nano", gadget.instance).instance, gadget.instance)

    def test_a_board_that_runs_its_system_is_told_from_one_that_waits(self) -> None:
        self.board_in(0, "0955:7020")
        self.refused(Code.BOOTED, "jetson-orin-nano")

    def test_a_board_in_the_middle_of_a_flash_is_told_from_one_that_waits(self) -> None:
        self.board_in(0, "0955:7035")
        self.refused(Code.FLASHING, "jetson-orin-nano")

    def test_another_board_is_named(self) -> None:
        thor = boards.load("jetson-thor")
        self.board_in(0, thor.recovery[0])
        refusal = self.refused(Code.OTHER_BOARD, "jetson-orin-nano")
        self.assertIn("jetson-thor", str(refusal))

    def test_a_board_that_changes_its_id_is_waited_for_on_its_port(self) -> None:
        gadget = self.board_in(0, "0955:7523")
        instance = gadget.instance
        gadget.pull_out()
        gadget.identify("0955:7035")
        self.assertIsNone(usb.await_device(System(), instance, ("0955:7035",), 0.5))
        gadget.plug_in()
        found = usb.await_device(System(), instance, ("0955:7035",), 30)
        assert found is not None
        self.assertEqual(found.identifier, "0955:7035")
