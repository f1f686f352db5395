"""What a board file says about the system that runs on the board. boards/README.md explains the format."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards import BOARDS, fact, names

from .reason import Code, Refusal

__all__ = ["ARCHITECTURES", "Board", "load", "names"]

# Rust's first word of a target triple to Debian's name of the architecture.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Board:
    """A board as far as its system goes. Empty where its file says nothing."""

    name: str
    title: str
    recipe: str
    """How it is flashed: `block-image`, `l4t-initrd`, `rockusb` or `none`."""
    boot: str
    """Whose boot file: `grub`, `rpi-cmdline`, `extlinux`, `armbian-env`."""
    arguments: tuple[str, ...]
    """What isolates the cores."""
    target: str
    kernels: dict[str, tuple[str, ...]]
    """Release such as `trixie` to the packages of the real-time kernel."""
    cameras: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """As Debian names it."""
        return ARCHITECTURES[self.target.partition("-")[0]]


def load(name: str, folder: Path = BOARDS) -> Board:
    """Reads the board of that name."""
    path = folder / name / "board.toml"
    if "/" in name or not path.is_file():
        raise Refusal(
            Code.BOARD_UNKNOWN,
            f"there is no board `{name}`",
            "kernel, boot file and isolated cores follow from the board's file",
            f"name one of {', '.join(names())}; boards/README.md says how to add one",
        )
    try:
        return _board(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(
            Code.BOARD_FILE,
            f"{path} cannot be read: {error!r}",
            "kernel, boot file and isolated cores follow from this file",
            f"`reflexarc board check {path}` says what is wrong with it",
        ) from error


def _board(read: dict[str, Any]) -> Board:
    boot = read.get("boot", {})
    kernels = read.get("kernel", {}).get("packages", {})
    return Board(
        name=read["name"],
        title=read["title"],
        recipe=read["flash"]["recipe"],
        boot=boot.get("format", ""),
        arguments=tuple(fact(boot, "arguments", [])),
        target=read["build"]["target"],
        kernels={release: tuple(fact(kernels, release, [])) for release in kernels},
        cameras=tuple(fact(read.get("cameras", {}), "stacks", [])),
    )
