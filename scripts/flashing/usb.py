"""Boards on a USB cable: which waits, which runs, which is being flashed.

A board's USB id says what state it is in, so it decides what is written to it. The project's tests see to it that no
two boards have the same recovery id.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from .board import Board
from .refusal import Code, Refusal
from .system import System, printable, read_text


@dataclass(frozen=True)
class UsbDevice:
    """A device on the bus."""

    instance: str
    """Bus and port, `1-4.2`: stays the same when the device changes its state."""
    identifier: str
    """Vendor and product, `0955:7523`."""
    product: str
    speed: str
    """In Mbit/s."""

    @property
    def described(self) -> str:
        """For people."""
        return f"{self.identifier} {self.product or 'without a name'} on port {self.instance}"


def devices(system: System) -> list[UsbDevice]:
    """What is on the bus. Root hubs (`usb1`) and interfaces (`1-4:1.0`) are no devices of their own here."""
    found = []
    for folder in sorted(system.path("/sys/bus/usb/devices").glob("*-*")):
        if ":" in folder.name or not (folder / "idVendor").exists():
            continue
        identifier = f"{read_text(folder / 'idVendor')}:{read_text(folder / 'idProduct')}".lower()
        product = printable(f"{read_text(folder / 'manufacturer')} {read_text(folder / 'product')}")
        found.append(UsbDevice(folder.name, identifier, product, read_text(folder / "speed")))
    return found


def waiting(system: System, board: Board, others: list[Board], instance: str) -> UsbDevice:
    """The one board of this kind that waits to be flashed; its refusals name what is there instead."""
    present = [device for device in devices(system) if instance in ("", device.instance)]
    found = [device for device in present if device.identifier in board.recovery]
    if len(found) > 1:
        raise Refusal(
            Code.SEVERAL_BOARDS,
            f"{len(found)} boards wait: {'; '.join(device.described for device in found)}",
            "the wrong one could be overwritten",
            f"name one with --usb-instance, such as --usb-instance {found[0].instance}, or unplug the others",
        )
    if found:
        return found[0]
    _refuse_state(present, board)
    for other in others:
        for device in present:
            if other.name != board.name and device.identifier in other.recovery:
                raise Refusal(
                    Code.OTHER_BOARD,
                    f"{device.described} is a {other.title}, not a {board.title}",
                    "what is for one board does not boot on another",
                    f"scripts/flash {other.name}, or plug in the right board",
                )
    where = f" on port {instance}" if instance else ""
    raise Refusal(
        Code.NO_BOARD,
        f"no {board.title} waits{where}",
        f"a board that waits to be flashed shows itself as {' or '.join(board.recovery)}",
        _how_to_wait(board) + "; `lsusb` shows what is on the bus; try a cable known to carry data, and no hub",
    )


def _refuse_state(present: list[UsbDevice], board: Board) -> None:
    for device in present:
        if device.identifier in board.flashing:
            raise Refusal(
                Code.FLASHING,
                f"{device.described} is in the middle of a flash, or hangs in one that failed",
                "a second flash into the first would break both",
                "if no other flash runs, take its power away for ten seconds, and " + _how_to_wait(board),
            )
        if device.identifier in board.booted:
            raise Refusal(
                Code.BOOTED,
                f"{device.described} runs its system" + (" (192.168.55.1)" if board.recipe == "l4t-initrd" else ""),
                "a running board cannot be flashed",
                _how_to_wait(board),
            )


def _how_to_wait(board: Board) -> str:
    if board.recipe == "rockusb":
        return "hold the maskrom or recovery button while the power comes on"
    return "put it into recovery: hold the recovery button or set its jumper (FC REC to GND) while the power comes on"


def await_device(
    system: System,
    instance: str,
    identifiers: tuple[str, ...],
    limit_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> UsbDevice | None:
    """The device on that port once it has one of these ids; None if it has not by the limit.

    The port may be another when the board comes back with another speed, so that any port counts if `instance` is
    empty.
    """
    began = time.monotonic()
    while True:
        for device in devices(system):
            if device.identifier in identifiers and instance in ("", device.instance):
                return device
        if time.monotonic() - began > limit_s:
            return None
        sleep(0.25)
