"""What a board file says about flashing.

boards/README.md explains the format, and the project's tests check every file; here only what flashing needs is
read. A fact is `{ value, source, verified }`; a choice is the plain value.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .refusal import Code, Refusal

BOARDS = Path(__file__).resolve().parents[2] / "boards"


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


def names() -> list[str]:
    """The boards that have a file."""
    return sorted(path.parent.name for path in BOARDS.glob("*/board.toml"))


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
        configuration=_fact(flash, "configuration", ""),
        command=_fact(flash, "command", ""),
        older_commands={release: _fact(older, release, "") for release in older},
        avoid=tuple(_fact(flash, "avoid", [])),
        reset=_fact(flash, "reset", "automatic"),
        erase_s=seconds(_fact(flash, "erase", "0 s")),
        modules=tuple(_fact(read["identity"], "module", [])),
        recovery=tuple(_fact(usb, "recovery", [])),
        flashing=tuple(_fact(usb, "flashing", [])),
        booted=tuple(_fact(usb, "booted", [])),
    )


def _fact(table: dict[str, Any], key: str, otherwise: Any) -> Any:
    """The value of a fact."""
    return table[key]["value"] if key in table else otherwise


def seconds(text: str) -> float:
    """A duration as board files write it, `"30 s"`."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
    found = re.fullmatch(r"([0-9.]+) (us|ms|s|min)", text)
    if not found:
        raise ValueError(f'`{text}` is not a duration such as "30 s"')
    return float(found[1]) * units[found[2]]
