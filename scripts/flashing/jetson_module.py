"""Which Jetson module is on the cable, as its EEPROM says.

`nvautoflash.sh --print_boardid` reads it without writing anything. Its words differ between releases, and fields may be
empty; so only a plain disagreement counts: where both sides say something and it is not the same.
"""

import re
from dataclasses import dataclass

from .board import Board
from .refusal import Code, Refusal

_MODULE = (
    re.compile(r"Board ID\((\d{4})\).*?sku\((\d{4})\)", re.IGNORECASE),
    re.compile(r"\bboardid=(\d{4});.*?\bboardsku=(\d{4})", re.IGNORECASE),
    re.compile(r"\bBOARDID=(\d{4})\b.*?\bBOARDSKU=(\d{4})\b", re.IGNORECASE | re.DOTALL),
)
_CONFIGURATION = re.compile(r"^(\S+) found\.?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """What the EEPROM says; empty where it says nothing."""

    identity: str
    """As `3767-0005`."""
    configuration: str
    """NVIDIA's name for what it found, as `jetson-orin-nano-devkit`."""


def parse(text: str) -> Module:
    """Reads the output of `nvautoflash.sh --print_boardid`.

    Names of files in it, such as `tegra234-mb1-bct-device-p3701-0000.dts`, are the tool's choice, not the module's.
    """
    found = next((found for found in (pattern.search(text) for pattern in _MODULE) if found), None)
    configurations = _CONFIGURATION.findall(text)
    return Module(f"{found[1]}-{found[2]}" if found else "", configurations[-1] if configurations else "")


def refuse_disagreement(module: Module, board: Board) -> None:
    """Raises if the module is certainly not one of this board."""
    if module.identity and board.modules and module.identity not in board.modules:
        raise Refusal(
            Code.WRONG_MODULE,
            f"the module says that it is a {module.identity}, {board.title} has {' or '.join(board.modules)}",
            "it has other memory and other pins: what is flashed would not start",
            "name the board that it is (boards/README.md lists the ids), or put the right module in",
        )
    if not module.identity and _disagree(module.configuration, board.configuration):
        raise Refusal(
            Code.WRONG_MODULE,
            f"NVIDIA's tool found a {module.configuration}, {board.title} is a {board.configuration}",
            "it has other memory and other pins: what is flashed would not start",
            "name the board that it is, or put the right module in",
        )


def _disagree(found: str, wanted: str) -> bool:
    """The tool knows no variants: `jetson-orin-nano-devkit` stands for its `-super` too."""
    short, long = sorted((found, wanted), key=len)
    return bool(short) and long != short and not long.startswith(short + "-")
