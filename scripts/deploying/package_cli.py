"""`scripts/package`: from the command line to a Debian package, whose path is the one line on standard output."""

import argparse
import sys
import tempfile
from pathlib import Path

from flashing.events import Log

from . import board as boards
from . import build, debian, gate, release
from .board import Board
from .build import Build
from .refusal import Refusal, table

USAGE = """\
Makes the Debian package of a board: the service with its rights, the program that keeps releases, and a first release.

  scripts/package raspberry-pi-5                     builds for it, across processors if need be
  scripts/package x86-64 --binary target/release/reflexarc
"""


def main(words: list[str]) -> int:
    """Makes a package; the exit code is the refusal's."""
    parser = argparse.ArgumentParser(
        prog="scripts/package",
        description=USAGE,
        epilog=f"boards: {', '.join(boards.names())}\n\nexit codes:\n{table()}\n\ndocs/deploying.md explains them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_build_options(parser)
    parser.add_argument("board", metavar="BOARD", help="a folder below boards/, see the end")
    parser.add_argument("--output", type=Path, metavar="DIR", default=build.REPOSITORY / "target" / "package",
                        help="where the package goes (now: target/package)")  # fmt: skip
    read = parser.parse_args(words)
    log = Log()
    try:
        board = boards.load(read.board)
        print(make(board, read.binary, Build(read.zigbuild, read.target_dir), read.output, log))
        return 0
    except Refusal as refusal:
        log.say(f"package: {refusal}")
        return refusal.code.exit_code


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """How the binary comes about: the same for a package and a deploy."""
    add = parser.add_argument
    add("--binary", type=Path, metavar="FILE", help="take this binary and build nothing")
    add("--zigbuild", action="store_true", help="build with cargo-zigbuild, against the board's glibc")
    add("--target-dir", type=Path, metavar="DIR", help="cargo's folder, if not its own choice")


def make(board: Board, binary: Path | None, how: Build, into: Path, log: Log) -> Path:
    """Builds, looks whether the board can run it, and packs it with the package's own configuration."""
    if binary is None:
        log.say("build:")
        binary = build.compile_for(board, how, log)
    found = gate.examine(binary, board)
    log.say(f"  {binary} asks for glibc {found.newest() or 'of no version'}")
    with tempfile.TemporaryDirectory(prefix="reflexarc-package-") as folder:
        first = release.make(binary, debian.SOURCES / "pipeline.toml", board, Path(folder))
        package = debian.make(board, first.folder, into)
    log.say(f"  release {first.identifier}, {package.stat().st_size / 1e6:.1f} MB")
    sys.stderr.flush()
    return package
