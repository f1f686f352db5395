"""A board over ssh: one connection for all commands, its host key pinned, nobody asked for a password.

Whoever uses it turns `Unreachable` into a refusal of its own.
"""

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# In seconds. A board that does not answer for three of the second is gone.
CONNECT_S = 15
ALIVE_S = 5


class Trouble(Enum):
    """Why a board cannot be reached."""

    NO_SSH = "ssh is not installed"
    NO_CONNECTION = "nobody answers"
    HOST_KEY = "it has another host key than before"
    AUTHENTICATION = "it does not let this key in"
    LOST = "the connection was lost"


class Unreachable(Exception):
    """The board cannot be reached; `said` are ssh's own words."""

    def __init__(self, trouble: Trouble, said: str) -> None:
        super().__init__(f"{trouble.value}: {said}" if said else trouble.value)
        self.trouble = trouble
        self.said = said


@dataclass(frozen=True)
class Done:
    """A command that ended there."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Its output as text."""
        return self.out.decode("utf-8", "replace")

    @property
    def said(self) -> str:
        """What it said beside its output."""
        return self.err.decode("utf-8", "replace").strip()


class Remote:
    """A board over ssh. As a context: connected when entered, closed when left."""

    def __init__(self, host: str, identity: Path | None, known_hosts: Path, ssh: str = "ssh") -> None:
        """`host` is `[user@]host[:port]`, also with an IPv6 address in brackets."""
        user, _, address = host.rpartition("@")
        name, port = _split(address)
        self.host = host
        self.known_hosts = known_hosts
        self.is_new = False
        """Nobody knew its host key before."""
        self._identity = identity
        self._ssh = ssh
        self._destination = f"{user}@{name}" if user else name
        self._folder = tempfile.TemporaryDirectory(prefix="reflexarc-ssh-")
        self._options = self._make_options(port)
        self._sudo: list[str] = []

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connects; asks who one is there."""
        self.known_hosts.parent.mkdir(parents=True, exist_ok=True)
        before = self._known()
        done = self.run(["id", "-u"], timeout=CONNECT_S * 2)
        self.is_new = self._known() != before
        self._sudo = [] if done.text.strip() == "0" else ["sudo", "-n"]

    def close(self) -> None:
        """Ends the connection."""
        command = [self._ssh, *self._options, "-O", "exit", self._destination]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self._folder.cleanup()

    def run(self, command: list[str], input: bytes | Path | None = None, timeout: float = 60) -> Done:
        """Runs a command; `input` are bytes or a file. Its exit code is not judged."""
        return self._start(shlex.join(command), input, timeout)

    def run_as_root(self, command: list[str], input: bytes | Path | None = None, timeout: float = 60) -> Done:
        """The same as root, by sudo if need be, which asks for nothing."""
        return self.run([*self._sudo, *command], input, timeout)

    def may_be_root(self) -> bool:
        """Whether the user there may do that."""
        return self.run_as_root(["true"]).code == 0

    def send(self, local: Path, remote: str, timeout: float = 600) -> Done:
        """Copies a file there; it has its name once it is whole."""
        there, partial = shlex.quote(remote), shlex.quote(f"{remote}.partial")
        return self._start(f"cat >{partial} && mv {partial} {there}", local, timeout)

    def fetch(self, remote: str, local: Path, timeout: float = 600) -> Done:
        """Copies a file here, if it is there."""
        done = self.run_as_root(["cat", remote], timeout=timeout)
        if done.code == 0:
            local.write_bytes(done.out)
        return done

    def command(self, words: str) -> list[str]:
        """The whole command line, for whoever runs ssh by itself."""
        return [self._ssh, *self._options, self._destination, words]

    def _start(self, words: str, input: bytes | Path | None, timeout: float) -> Done:
        if isinstance(input, Path):
            with input.open("rb") as file:
                return self._wait(words, timeout, stdin=file)
        if input is not None:
            return self._wait(words, timeout, input=input)
        return self._wait(words, timeout, stdin=subprocess.DEVNULL)

    def _wait(self, words: str, timeout: float, **source: Any) -> Done:
        try:
            done = subprocess.run(
                self.command(words), capture_output=True, timeout=timeout, check=False, **source
            )
        except FileNotFoundError as error:
            raise Unreachable(Trouble.NO_SSH, f"`{self._ssh}` is not found") from error
        except subprocess.TimeoutExpired as error:
            raise Unreachable(Trouble.LOST, f"`{words}` did not end within {timeout:.0f} s") from error
        # ssh's own exit code where it is not the command's.
        if done.returncode == 255:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise Unreachable(_trouble(said), said)
        return Done(done.returncode, done.stdout, done.stderr)

    def _make_options(self, port: str) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": "3",
            # A board that was never seen is believed and remembered; another key later is refused.
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "HashKnownHosts": "no",
            "ControlMaster": "auto",
            # BOUND: a socket's path has at most 108 bytes.
            "ControlPath": f"{self._folder.name}/s",
            "ControlPersist": "60",
            "LogLevel": "ERROR",
        }
        if self._identity is not None:
            options |= {"IdentityFile": str(self._identity), "IdentitiesOnly": "yes"}
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return words + (["-p", port] if port else [])

    def _known(self) -> bytes:
        return self.known_hosts.read_bytes() if self.known_hosts.is_file() else b""


def _split(address: str) -> tuple[str, str]:
    """Host and port; the port is empty where none is said."""
    if address.startswith("["):
        name, _, rest = address[1:].partition("]")
        return name, rest.removeprefix(":")
    name, colon, port = address.rpartition(":")
    # More than one colon and no brackets: an IPv6 address without a port.
    return (name, port) if colon and ":" not in name else (address, "")


def _trouble(said: str) -> Trouble:
    if "IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return Trouble.HOST_KEY
    if "Permission denied" in said or "Too many authentication failures" in said:
        return Trouble.AUTHENTICATION
    if "closed by remote host" in said or "Broken pipe" in said or "not responding" in said:
        return Trouble.LOST
    return Trouble.NO_CONNECTION
