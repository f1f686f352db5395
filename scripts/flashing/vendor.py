"""Runs a vendor's tool: every line with its time, a limit on the whole and on silence, nothing left behind.

A tool's exit code alone is not believed anywhere in this project: some say success over a flash that did not happen.
"""

import os
import selectors
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .events import Log
from .refusal import Code, Refusal

# BOUND: what a tool gets to clean up (unmount, stop its NFS server) before it is killed.
GRACE_S = 10.0


@dataclass(frozen=True)
class Line:
    """A line of output, and when it came, in seconds since the tool began."""

    at_s: float
    text: str


@dataclass
class Transcript:
    """What a tool has said, and how it ended: `returncode` is None if it was stopped."""

    command: list[str]
    lines: list[Line] = field(default_factory=list)
    returncode: int | None = None

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(line.text for line in self.lines)

    def tail(self) -> str:
        """The last lines, for a message."""
        return " | ".join(line.text.strip() for line in self.lines[-4:] if line.text.strip())


def run(
    command: list[str],
    log: Log,
    *,
    limit_s: float,
    silence_s: float,
    cwd: Path | None = None,
    keep: Path | None = None,
    show: bool = True,
) -> Transcript:
    """Runs `command` to its end; stops it when it takes longer than the limit, or says nothing for `silence_s`.

    Its output goes to `keep` too. Whatever it started ends with it, also when this program is interrupted.
    """
    log.event("vendor_begin", command=command, log=str(keep) if keep else None)
    transcript = Transcript(command)
    try:
        # A session of its own, so that what it starts can be ended with it; no input, or it could wait for a password.
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Its words are read; they must not be translated.
            env=os.environ | {"LC_ALL": "C"},
        )
    except OSError as error:
        raise Refusal(
            Code.TOOL_MISSING,
            f"cannot start {shlex.join(command)}: {error.strerror}",
            "it does the writing",
            "install it, or correct the path",
        ) from error
    try:
        reason = _follow(process, transcript, log, limit_s, silence_s, keep, show)
    finally:
        _end(process)
    if reason:
        log.event("vendor_stopped", reason=reason, lines=len(transcript.lines))
        raise Refusal(
            Code.VENDOR_TIMEOUT,
            f"{Path(command[0]).name} {reason}, and was stopped; its last words: {transcript.tail() or 'none'}",
            "it hangs: the board does not answer, or a cable or hub lost something",
            "take the board's power away for ten seconds, put it into recovery again, use a port of the machine itself",
        )
    transcript.returncode = process.returncode
    log.event("vendor_end", returncode=process.returncode, lines=len(transcript.lines))
    return transcript


def _follow(
    process: subprocess.Popen[bytes],
    transcript: Transcript,
    log: Log,
    limit_s: float,
    silence_s: float,
    keep: Path | None,
    show: bool,
) -> str:
    """Reads until the tool ends; the reason for which it has to be stopped, or nothing."""
    assert process.stdout is not None
    began = heard = time.monotonic()
    rest = b""
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
    with selectors.DefaultSelector() as selector, open(keep or os.devnull, "ab") as kept:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now - began > limit_s:
                return f"took longer than {limit_s:.0f} s"
            if now - heard > silence_s:
                return f"said nothing for {silence_s:.0f} s"
            if not selector.select(timeout=0.2):
                # A child that it left behind can hold the pipe open for ever.
                if process.poll() is not None:
                    break
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            heard = time.monotonic()
            kept.write(data)
            kept.flush()
            # Progress is often drawn with carriage returns: each drawing is a line here.
            *whole, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            for line in whole:
                _take(line, heard - began, transcript, log, show)
        _take(rest, time.monotonic() - began, transcript, log, show)
    try:
        # It may close its output a while before it ends.
        process.wait(max(0.0, began + limit_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"took longer than {limit_s:.0f} s"
    return ""


def _take(line: bytes, at_s: float, transcript: Transcript, log: Log, show: bool) -> None:
    text = line.decode("utf-8", "replace").rstrip()
    if text:
        transcript.lines.append(Line(at_s, text))
        if show:
            log.say(f"    {text}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the tool and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
