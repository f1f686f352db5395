"""What every program here needs to read a board file.

boards/README.md explains the format, and the project's tests check every file. A fact is `{ value, source, verified }`; a
choice is the plain value. Each program takes out of the file what it needs itself.
"""

import re
from pathlib import Path
from typing import Any

BOARDS = Path(__file__).resolve().parents[1] / "boards"


def names() -> list[str]:
    """The boards that have a file."""
    return sorted(path.parent.name for path in BOARDS.glob("*/board.toml"))


def fact(table: dict[str, Any], key: str, otherwise: Any) -> Any:
    """The value of a fact."""
    return table[key]["value"] if key in table else otherwise


def seconds(text: str) -> float:
    """A duration as board files write it, `"30 s"`."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
    found = re.fullmatch(r"([0-9.]+) (us|ms|s|min)", text)
    if not found:
        raise ValueError(f'`{text}` is not a duration such as "30 s"')
    return float(found[1]) * units[found[2]]
