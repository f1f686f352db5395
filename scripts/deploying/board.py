"""What a board file says about building for it and about telling it from others."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards import BOARDS, fact, names

from .refusal import Code, Refusal

__all__ = ["ARCHITECTURES", "Board", "load", "names"]

# Rust's name of the processor, to Debian's, to that of GNU's tools.
ARCHITECTURES = {"aarch64": ("arm64", "aarch64-linux-gnu"), "x86_64": ("amd64", "x86_64-linux-gnu")}


@dataclass(frozen=True)
class Board:
    """A board as far as a deploy goes. Empty where its file says nothing."""

    name: str
    title: str
    target: str
    """Rust's target, as `aarch64-unknown-linux-gnu`."""
    glibc: str
    """The newest glibc that a binary may ask for, as `2.35`."""
    compatible: tuple[str, ...]
    """Any one of these in the device tree's `compatible` …"""
    model: str
    """… and this in its `model`."""
    architecture: str
    """What `uname -m` says, for a board without a device tree."""
    cuda: int = 0
    """The compute capability of its NVIDIA GPU times ten; 0 if it has none."""

    @property
    def machine(self) -> str:
        """The processor, as `uname -m` says."""
        return self.target.split("-")[0]

    @property
    def debian(self) -> str:
        """Debian's name of the processor."""
        return ARCHITECTURES[self.machine][0]

    @property
    def gnu(self) -> str:
        """What the names of GNU's cross tools begin with."""
        return ARCHITECTURES[self.machine][1]


def load(name: str, folder: Path = BOARDS) -> Board:
    """Reads the board of that name."""
    path = folder / name / "board.toml"
    if "/" in name or not path.is_file():
        raise Refusal(
            Code.BOARD_UNKNOWN,
            f"there is no board `{name}`",
            "for which processor and which glibc to build follows from the board's file",
            f"name one of {', '.join(names())}; boards/README.md says how to add one",
        )
    try:
        board = _board(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(
            Code.BOARD_FILE,
            f"{path} cannot be read: {error!r}",
            "for which processor and which glibc to build follows from this file",
            f"`reflexarc board check {path}` says what is wrong with it",
        ) from error
    if board.machine not in ARCHITECTURES:
        raise Refusal(
            Code.BOARD_FILE,
            f"{path} names the target `{board.target}`",
            f"binaries are built for {' and '.join(ARCHITECTURES)}",
            "name one of these in build.target, or add the processor to scripts/deploying/board.py",
        )
    return board


def _board(read: dict[str, Any]) -> Board:
    build, identity = read["build"], read["identity"]
    return Board(
        name=read["name"],
        title=read["title"],
        target=build["target"],
        glibc=fact(build, "glibc", ""),
        compatible=tuple(fact(identity, "compatible", [])),
        model=fact(identity, "model", ""),
        architecture=fact(identity, "architecture", ""),
        cuda=int(fact(read.get("gpu", {}), "cuda", 0)),
    )
