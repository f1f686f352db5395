"""Reasons to stop, shared by the programs in this folder: each has a name, an exit code and a meaning.

A refusal says what was found, why that stops the program and what to do. Scripts tell refusals apart by the exit
code, so a number is never given to another reason later.
"""

from collections.abc import Iterable
from enum import Enum


class Reason(Enum):
    """The base of a program's reasons: exit code and meaning. The name for people is `E_` and the member's."""

    def __init__(self, exit_code: int, meaning: str) -> None:
        self.exit_code = exit_code
        self.meaning = meaning

    @property
    def title(self) -> str:
        """The name that messages, events and the documentation use."""
        return f"E_{self.name}"


class Refusal(Exception):
    """Ends the program. `what` was found, `why` it stops, and how to `fix` it."""

    def __init__(self, code: Reason, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.code.title}: {self.what}\n  why: {self.why}\n  fix: {self.fix}"


def table(reasons: Iterable[Reason], done: str) -> str:
    """The exit codes as lines, for `--help`; `done` says what 0 means. Tests compare the documentation with it."""
    lines = [f"  0  {done}"]
    lines += [f"{reason.exit_code:3}  {reason.title:<20} {reason.meaning}" for reason in reasons]
    return "\n".join(lines)
