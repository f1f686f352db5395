"""What happens, for people on the terminal and as JSON lines for programs.

Each line of the event log has `schema`, `time` (UTC), `elapsed_s`, `stage` and `event`; docs/flashing.md lists the
events and their other fields. A line is flushed when it is written, so that a killed flash leaves its story.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from .refusal import Code, Refusal

SCHEMA = 1

Observer = Callable[[dict[str, Any]], None]


class Log:
    """One flash's story. `observers` see each event before the next thing happens."""

    def __init__(self, terminal: TextIO = sys.stderr) -> None:
        self.observers: list[Observer] = []
        self.stage = "start"
        self._terminal = terminal
        self._file: TextIO | None = None
        self._early: list[str] = []
        self._began = time.monotonic()
        self._shown = -1
        self._verb = ""

    def write_to(self, path: Path) -> None:
        """From here on events go to `path`; those that came before are written first."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise Refusal(
                Code.STATE,
                f"cannot write the event log {path}: {error.strerror}",
                "a flash without a log cannot be explained afterwards",
                "name a file in a folder that exists and may be written, with --events FILE",
            ) from error
        for line in self._early:
            self._file.write(line)
        self._early.clear()
        self._file.flush()

    def event(self, event: str, **fields: Any) -> None:
        """Records one event of the present stage."""
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "elapsed_s": round(time.monotonic() - self._began, 3),
            "stage": self.stage,
            "event": event,
        } | fields
        line = json.dumps(record, ensure_ascii=False) + "\n"
        if self._file is None:
            self._early.append(line)
        else:
            self._file.write(line)
            self._file.flush()
        for observer in self.observers:
            observer(record)

    def enter(self, stage: str) -> None:
        """The next stage of the flow begins."""
        self.stage = stage
        self.event("enter")

    def say(self, text: str = "") -> None:
        """A line for people."""
        self._end_progress()
        print(text, file=self._terminal, flush=True)

    def warn(self, name: str, text: str) -> None:
        """Something that a person should know and that stops nothing."""
        self.event("warning", name=name, text=text)
        self.say(f"  warning: {text}")

    def progress(self, verb: str, done: int, total: int) -> None:
        """How far a long step is: on a terminal one line that changes, else and in the log one per tenth."""
        if verb != self._verb:
            self._end_progress()
            self._verb = verb
        percent = 100 if total == 0 else done * 100 // total
        if percent // 10 > self._shown // 10 or self._shown < 0:
            self.event("progress", verb=verb, done=done, total=total)
            if not self._terminal.isatty():
                print(f"  {verb}: {percent} %", file=self._terminal, flush=True)
        if self._terminal.isatty() and percent != self._shown:
            print(f"\r  {verb}: {percent:3} % of {size(total)} ", end="", file=self._terminal, flush=True)
        self._shown = percent
        if done >= total:
            self._end_progress()

    def _end_progress(self) -> None:
        if self._shown >= 0 and self._terminal.isatty():
            print(file=self._terminal, flush=True)
        self._shown = -1


def size(count: int) -> str:
    """A number of bytes for people: card makers' units above a megabyte, exact below."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
