"""The program on the board that keeps releases (scripts/packaging/release), as it is called from here."""

import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote import Done, Remote, Trouble, Unreachable

from .refusal import Code, Refusal
from .release import Release

PROGRAM = "/usr/lib/reflexarc/release"
UNIT = "reflexarc-trial"

# What it ends with, as its head says.
_CODES = {
    3: (Code.BUSY, "wait for the other one to end"),
    4: (Code.TRANSFER, "start the deploy again"),
    5: (Code.NOTHING_BEFORE, "deploy a release"),
    6: (Code.CHECK, "read its words above; `--accept check` goes on all the same"),
    8: (Code.NO_SPACE, "free some space there; old releases go with each deploy that succeeds"),
    9: (Code.NOTHING_BEFORE, "deploy the release that is wanted"),
}

# How often it is asked how the trial is, in seconds.
_ASK_EVERY_S = 0.5


@dataclass
class Outcome:
    """How a trial went."""

    token: str = ""
    release: str = ""
    result: str = ""
    """`proven`, `crashed`, `never-ready`, `no-beats`, `left`, or `refused`: it did not begin."""
    code: str = ""
    """What the program ended with, if it refused."""
    back: str = ""
    """The release that runs again, `failed` if none does, `none` if there was no need."""
    current: str = ""
    detail: str = ""
    trial: str = ""
    """The release that is on trial now."""
    log: list[str] = field(default_factory=list)


class ReleaseTool:
    """Calls it."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def status(self) -> dict[str, Any]:
        """What runs there."""
        done = self._call("status", "--json")
        found: dict[str, Any] = json.loads(done.text)
        return found

    def lacking(self, sums: Mapping[str, str]) -> list[str]:
        """Which of the models are not there."""
        if not sums:
            return []
        lines = "".join(f"{total}  {name}\n" for name, total in sums.items())
        done = self._call("models", input=lines.encode(), timeout=600)
        return [line.split("  ", 1)[1] for line in done.text.splitlines() if "  " in line]

    def bring_model(self, total: str, file: Path) -> None:
        """Sends a model's content."""
        self._call("blob", total, input=file, timeout=1800)

    def add(self, release: Release) -> None:
        """Sends a release."""
        self._call("add", release.identifier, input=_tar(release), timeout=1800)

    def check(self, identifier: str) -> dict[str, Any]:
        """Runs it beside what runs; gives the numbers of its five seconds."""
        done = self._call("check", identifier, timeout=600)
        found: dict[str, Any] = json.loads(done.text)
        return found

    def doctor(self, identifier: str) -> dict[str, Any]:
        """What its doctor found on the board; empty if that cannot be read."""
        done = self._remote.run_as_root(["cat", f"/opt/reflexarc/releases/{identifier}/doctor.json"])
        try:
            found: dict[str, Any] = json.loads(done.text)
        except ValueError:
            return {}
        return found

    def prune(self) -> None:
        """Takes old releases away."""
        self._call("prune")

    def start_trial(self, words: list[str]) -> str:
        """Starts `try` or `rollback` as a unit of its own, which goes on if this connection ends; gives its token."""
        token = secrets.token_hex(8)
        unit = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--property=ExecStopPost={PROGRAM} settle"]
        done = self._remote.run_as_root([*unit, PROGRAM, *words, "--token", token])
        if done.code != 0:
            busy = "already" in done.said or "exists" in done.said
            raise Refusal(
                Code.BUSY if busy else Code.REMOTE,
                f"the trial could not be started: {done.said}",
                "a release is tried by a unit of its own, so that it ends well if this connection does not last",
                "wait for the other trial to end" if busy else "see systemctl status there",
            )
        return token

    def follow(self, token: str, limit_s: float, tell: Callable[[str], None]) -> Outcome:
        """Waits for the end of the trial and tells what happens. A lost connection is taken up again."""
        deadline = time.monotonic() + limit_s
        told, reached = 0, True
        while time.monotonic() < deadline:
            try:
                outcome = parse(self._remote.run_as_root([PROGRAM, "outcome", token], timeout=30).text)
                reached = True
            except Unreachable as error:
                if error.trouble in (Trouble.HOST_KEY, Trouble.AUTHENTICATION, Trouble.NO_SSH):
                    raise
                if reached:
                    tell(f"the connection is lost ({error.said or error.trouble.value}); trying again")
                reached = False
                time.sleep(1)
                continue
            for line in outcome.log[told:]:
                tell(line)
            told = max(told, len(outcome.log))
            if outcome.token == token and outcome.result == "refused":
                raise _refusal("try", int(outcome.code), outcome.detail)
            if outcome.token == token and not outcome.trial:
                return outcome
            time.sleep(_ASK_EVERY_S)
        raise Refusal(
            Code.LOST,
            f"no word about the trial's end came within {limit_s:.0f} s",
            "the board ends it by itself: a release that is not proven is taken back, at the latest at the next start",
            "look with --status",
        )

    def _call(self, *words: str, input: bytes | Path | None = None, timeout: float = 120) -> Done:
        done = self._remote.run_as_root([PROGRAM, *words], input=input, timeout=timeout)
        if done.code != 0:
            raise _refusal(words[0], done.code, done.said)
        return done


def _refusal(command: str, ended: int, said: str) -> Refusal:
    code, fix = _CODES.get(ended, (Code.REMOTE, f"run `{PROGRAM} {command}` there by hand"))
    what = f"`release {command}` ended with {ended} on the board: {said or 'without a word'}"
    return Refusal(code, what, "what ran there before runs on", fix)


def parse(text: str) -> Outcome:
    """The lines of `release outcome`."""
    outcome = Outcome()
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "log":
            outcome.log.append(value)
        elif hasattr(outcome, key):
            setattr(outcome, key, value)
    return outcome


def _tar(release: Release) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in release.files:
            tar.add(release.folder / name, name, filter=_anonymous)
    return buffer.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
