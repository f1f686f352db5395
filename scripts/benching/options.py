"""The command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import boards

from .refusal import table

USAGE = """\
Measures the release that is deployed on a board, idle and under load, and says what got worse since the last run of that board. In the
stages connect, identify, measure, fetch, report. The service is stopped for the bench, and the board itself starts it again
whatever becomes of this program and of the connection.

  scripts/bench-on-board raspberry-pi-5 pi@robot.local                        20 s a part
  scripts/bench-on-board raspberry-pi-5 pi@robot.local --seconds 300 --lock-clocks
"""

# What one may go on with although it was found wrong.
ACCEPTABLE = {"identify": "the host is another board", "doctor": "checks of the doctor fail"}


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    board: str
    host: str
    seconds: int
    loads: str
    baseline: bool
    lock_clocks: bool
    keep: bool
    compare: Path | None
    runs: Path | None
    identity: Path | None
    known_hosts: Path
    accept: frozenset[str]
    events: Path | None


def parse(words: list[str]) -> Options:
    """Reads the command line; ends the program with 2 where it cannot be understood, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-on-board",
        description=USAGE,
        epilog=f"boards: {', '.join(boards.names())}\n\nexit codes:\n{table()}\n\n"
        "docs/benchmarking.md says what the numbers mean.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("board", metavar="BOARD", help="a folder below boards/, see the end")
    add("host", metavar="HOST", help="[user@]host[:port]: root, or a user who may sudo without a password")
    add("--seconds", type=_seconds, default=20, metavar="N", help="how long each part lasts (now: %(default)s)")
    add("--loads", default="all", metavar="LIST", help="some of idle,cpu,memory,disk,network,gpu; or all; or none")
    add("--no-baseline", action="store_true", help="leave out the wake-ups without a pipeline")
    add("--lock-clocks", action="store_true", help="lock the clocks for the bench")
    add("--keep", action="store_true", help="keep an emulated board's run with those of the board")
    add("--compare", type=Path, metavar="FILE", help="this bench.json in place of the last run's")
    add("--runs", type=Path, metavar="DIR",
        help="where runs are kept [default: boards/BOARD/runs; of an emulated board target/bench-runs/BOARD]")  # fmt: skip
    add("--identity", type=Path, metavar="FILE", help="the ssh key, if not ssh's own choice")
    add("--known-hosts", type=Path, metavar="FILE", help="the board's host key [default: a file of this board]")
    add("--accept", action="append", default=[], metavar="WHAT", choices=sorted(ACCEPTABLE),
        help="go on although " + ", or ".join(f"{why} ({what})" for what, why in ACCEPTABLE.items()))  # fmt: skip
    add("--events", type=Path, metavar="FILE", help="where the event log goes (JSON lines)")
    read = parser.parse_args(words)
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Options(
        board=read.board,
        host=read.host,
        seconds=read.seconds,
        loads=read.loads,
        baseline=not read.no_baseline,
        lock_clocks=read.lock_clocks,
        keep=read.keep,
        compare=read.compare,
        runs=read.runs,
        identity=read.identity,
        known_hosts=read.known_hosts or Path(base) / "reflexarc" / "known_hosts.d" / read.board,
        accept=frozenset(read.accept),
        events=read.events,
    )


def _seconds(text: str) -> int:
    number = int(text)
    # BOUND: what is longer than a day is a typing mistake.
    if not 1 <= number <= 86_400:
        raise ValueError(text)
    return number
