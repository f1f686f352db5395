"""The command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from . import board
from .build import Build
from .package_cli import add_build_options
from .refusal import table

USAGE = """\
Brings a release (a binary and its configuration) onto a board, and goes back by itself if it does not run there. In the stages
build, gate, connect, identify, setup, models, copy, check, try, report.

  scripts/deploy raspberry-pi-5 pi@robot.local --config robot.toml --dry-run    looks, and changes nothing
  scripts/deploy raspberry-pi-5 pi@robot.local --config robot.toml
  scripts/deploy raspberry-pi-5 pi@robot.local                                  a new binary, the configuration that is there
  scripts/deploy raspberry-pi-5 pi@robot.local --status
  scripts/deploy raspberry-pi-5 pi@robot.local --rollback                       the release before this one
"""

# What one may go on with although it was found wrong.
ACCEPTABLE = {"identify": "the host is another board", "check": "the release's five seconds failed"}


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    board: str
    host: str
    config: Path | None
    binary: Path | None
    build: Build
    rollback: bool
    status: bool
    dry_run: bool
    ready_seconds: int
    trial_seconds: int
    identity: Path | None
    known_hosts: Path
    accept: frozenset[str]
    events: Path | None


def parse(words: list[str]) -> Options:
    """Reads the command line; ends the program with 2 where it cannot be understood, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="scripts/deploy",
        description=USAGE,
        epilog=f"boards: {', '.join(board.names())}\n\nexit codes:\n{table()}\n\n"
        "docs/deploying.md explains them, and the event log.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("board", metavar="BOARD", help="a folder below boards/, see the end")
    add("host", metavar="HOST", help="[user@]host[:port]: root, or a user who may sudo without a password")
    add("--config", type=Path, metavar="FILE", help="the release's configuration [default: that which runs there now]")
    add_build_options(parser)
    add("--rollback", action="store_true", help="go back to the release before the current one")
    add("--status", action="store_true", help="show what runs there")
    add("--dry-run", action="store_true", help="build and look at the board, and change nothing there")
    add("--ready-seconds", type=_seconds, default=60, metavar="N",
        help="how long it may take from its start to its first action (now: %(default)s)")  # fmt: skip
    add("--trial-seconds", type=_seconds, default=10, metavar="N",
        help="how long it is watched after that (now: %(default)s)")  # fmt: skip
    add("--identity", type=Path, metavar="FILE", help="the ssh key, if not ssh's own choice")
    add("--known-hosts", type=Path, metavar="FILE", help="the board's host key [default: a file of this board]")
    add("--accept", action="append", default=[], metavar="WHAT", choices=sorted(ACCEPTABLE),
        help="go on although " + ", or ".join(f"{why} ({what})" for what, why in ACCEPTABLE.items()))  # fmt: skip
    add("--events", type=Path, metavar="FILE", help="where the event log goes (JSON lines)")
    read = parser.parse_args(words)
    if read.rollback + read.status + read.dry_run > 1:
        parser.error("--rollback, --status and --dry-run exclude each other")
    return Options(
        board=read.board,
        host=read.host,
        config=read.config,
        binary=read.binary,
        build=Build(read.zigbuild, read.target_dir),
        rollback=read.rollback,
        status=read.status,
        dry_run=read.dry_run,
        ready_seconds=read.ready_seconds,
        trial_seconds=read.trial_seconds,
        identity=read.identity,
        known_hosts=read.known_hosts or _state_folder() / "known_hosts.d" / read.board,
        accept=frozenset(read.accept),
        events=read.events,
    )


def _seconds(text: str) -> int:
    number = int(text)
    # BOUND: what is longer than an hour is a typing mistake.
    if not 1 <= number <= 3600:
        raise ValueError(text)
    return number


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "reflexarc"
