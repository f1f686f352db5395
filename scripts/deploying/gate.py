"""May this binary run on that board? Asked before anything is copied, because there the answer is a line in a log."""

from pathlib import Path

from . import elf
from .board import Board
from .elf import Elf, NotElf, numbers
from .refusal import Code, Refusal

# How many functions a message names.
_SHOWN = 5


def examine(binary: Path, board: Board) -> Elf:
    """Reads the binary and refuses one that the board's file rules out."""
    try:
        found = elf.read(binary)
    except (OSError, NotElf) as error:
        raise Refusal(
            Code.BINARY,
            f"{binary}: {error}",
            "a board runs ELF files only",
            "name a binary that was built for this board, or leave --binary out",
        ) from error
    if found.machine != board.machine:
        raise Refusal(
            Code.BINARY,
            f"{binary} is for {found.machine}, and {board.title} is {board.machine}",
            "it cannot be started there",
            f"build for {board.target}: leave --binary out",
        )
    if board.glibc:
        limit(found, board.glibc, f"{board.title} has {board.glibc} by its file (build.glibc)")
    return found


def limit(found: Elf, glibc: str, whose: str) -> None:
    """Refuses a binary that asks for a newer glibc than `glibc`; `whose` says of what that is the glibc."""
    newest = found.newest()
    if not newest or numbers(newest) <= numbers(glibc):
        return
    newer = [v for v in found.versions if v.startswith("GLIBC_") and numbers(v[6:]) > numbers(glibc)]
    asked = [
        f"{name} ({version} of {found.libraries[version]})"
        for version in sorted(newer, key=lambda v: numbers(v[6:]), reverse=True)
        for name in elf.all_functions(found, version)
    ]
    more = f" and {len(asked) - _SHOWN} more" if len(asked) > _SHOWN else ""
    raise Refusal(
        Code.GLIBC,
        f"the binary needs GLIBC_{newest}, and {whose}",
        f"it would not start there: it asks for {', '.join(asked[:_SHOWN]) or 'that version'}{more}",
        f"build with --zigbuild, which links against the board's, or on a machine whose glibc is no newer than {glibc}",
    )


def libraries(found: Elf, there: set[str]) -> None:
    """Refuses a binary that needs a library which is not among those that the board's loader knows."""
    lacking = [name for name in found.needed if name not in there and not name.startswith("ld-linux")]
    if lacking:
        raise Refusal(
            Code.LIBRARY,
            f"the binary needs {', '.join(lacking)}, which the board's loader does not find",
            "it would not start there",
            "install the library on the board (apt-file search NAME), or build without what needs it",
        )
