"""What a board file says about flashing.

Here only what flashing needs is read; `boards` has what all programs share.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards import BOARDS, fact, names, seconds

from .refusal import Code, Refusal

__all__ = ["BOARDS", "Board", "all_boards", "load", "names"]


@dataclass(frozen=True)
class Board:
    """A board as far as flashing goes. Empty where its file says nothing."""

    name: str
    title: str
    recipe: str
    """`block-image`, `l4t-initrd`, `rockusb` or `none`."""
    configuration: str
    """The vendor's name for the board."""
    command: str
    """The vendor's command for the newest release."""
    older_commands: dict[str, str]
    """Release such as `r36` to the command that it needs instead."""
    avoid: tuple[str, ...]
    reset: str
    """`automatic` or `manual`: who starts the board after flashing."""
    erase_s: float
    """The shortest time in seconds in which the boot flash can be erased; 0 where it is not known."""
    modules: tuple[str, ...]
    """What the EEPROM of a Jetson's module says, as `3767-0005`."""
    recovery: tuple[str, ...]
    flashing: tuple[str, ...]
    booted: tuple[str, ...]


def load(name: str, folder: Path = BOARDS) -> Board:
    """Reads the board of that name."""
    path = folder / name / "board.toml"
    if "/" in name or not path.is_file():
        raise Refusal(
            Code.BOARD_UNKNOWN,
            f"there is no board `{name}`",
            "what is written, and how, follows from the board's file",
            f"name one of {', '.join(names())}; boards/README.md says how to add one",
        )
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
        return _board(read)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(
            Code.BOARD_FILE,
            f"{path} cannot be read: {error!r}",
            "what is written, and how, follows from this file",
            f"`reflexarc board check {path}` says what is wrong with it",
        ) from error


def all_boards() -> list[Board]:
    """Every board, to tell a board that waits from one of another kind."""
    return [load(name) for name in names()]


def _board(read: dict[str, Any]) -> Board:
    flash, usb = read["flash"], read.get("usb", {})
    older = flash.get("older", {})
    return Board(
        name=read["name"],
        title=read["title"],
        recipe=flash["recipe"],
        configuration=fact(flash, "configuration", ""),
        command=fact(flash, "command", ""),
        older_commands={release: fact(older, release, "") for release in older},
        avoid=tuple(fact(flash, "avoid", [])),
        reset=fact(flash, "reset", "automatic"),
        erase_s=seconds(fact(flash, "erase", "0 s")),
        modules=tuple(fact(read["identity"], "module", [])),
        recovery=tuple(fact(usb, "recovery", [])),
        flashing=tuple(fact(usb, "flashing", [])),
        booted=tuple(fact(usb, "booted", [])),
    )
