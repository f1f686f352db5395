"""A bench as a unit of the board's own systemd.

The connection may be lost and this program killed: the board ends the bench by itself, sets its clocks back and starts the service
that ran before. So none of that is done from here.
"""

import shlex
from dataclasses import dataclass

from remote import Done, Remote

from .refusal import Code, Refusal

UNIT = "reflexarc-bench.service"
SERVICE = "reflexarc.service"
CURRENT = "/opt/reflexarc/current"
RESULTS = "/var/lib/reflexarc/bench"

# Of the six loads each has two measurements; to this comes what a part needs to start and to end, many times over.
_PARTS = 12
_START_S = 900


@dataclass(frozen=True)
class State:
    """What the board's systemd says of the bench."""

    is_running: bool
    code: int | None
    """The bench's exit code; None while it runs, or where it ended without one."""


class Unit:
    """The bench on the board."""

    def __init__(self, remote: Remote, identifier: str) -> None:
        self._remote = remote
        self.results = f"{RESULTS}/{identifier}"

    def is_running(self) -> bool:
        """A bench runs there, of whomever."""
        return self._is_active(UNIT)

    def service_runs(self) -> bool:
        """The runtime's service is up."""
        return self._is_active(SERVICE)

    def start(self, arguments: list[str], seconds: int, service_ran: bool) -> None:
        """Stops the service, and measures. Each step is the board's own from here on."""
        results = shlex.quote(self.results)
        bench = shlex.join([f"{CURRENT}/reflexarc", "bench", *arguments, "--out", self.results])
        # Systemd writes `%` twice, and would read `$code` as a variable of its own.
        script = (
            f"systemctl stop {SERVICE}; {bench} >{results}/bench.txt 2>{results}/bench.log; "
            f"echo $? >{results}/code"
        )
        back = [f"{CURRENT}/reflexarc bench --restore"]
        if service_ran:
            back.append(f"systemctl --no-block start {SERVICE}")
        command = ["systemd-run", f"--unit={UNIT}", "--collect", "--quiet", "--service-type=exec"]
        command += ["-p", "Description=reflexarc is measured", "-p", f"RuntimeMaxSec={seconds * _PARTS + _START_S}"]
        # Time to end the run, the load and the clocks after a signal.
        command += ["-p", "TimeoutStopSec=60", "-p", "LimitMEMLOCK=infinity", "-p", "LimitRTPRIO=99"]
        command += ["-p", f"WorkingDirectory={self.results}"]
        command += [f"--setenv=REFLEXARC_MODELS={CURRENT}/models"]
        for each in back:
            # `-`: the next is done whether or not this one works.
            command += ["-p", f"ExecStopPost=-/bin/sh -c {shlex.quote(each)}"]
        command += ["/bin/sh", "-c", script.replace("$", "$$")]
        self._must(self._remote.run_as_root(command), "start the bench")

    def make_room(self) -> None:
        """A new folder for the results, and room for them: what older benches left there was fetched."""
        words = f"rm -rf {shlex.quote(RESULTS)}/*; mkdir -p {shlex.quote(self.results)}"
        self._must(self._remote.run_as_root(["sh", "-c", words]), "make a folder for the results")

    def state(self) -> State:
        """How far it is."""
        words = f"systemctl is-active {UNIT}; cat {shlex.quote(self.results)}/code 2>/dev/null; :"
        lines = self._remote.run_as_root(["sh", "-c", words]).text.split()
        is_running = bool(lines) and lines[0] in {"active", "activating", "deactivating", "reloading"}
        code = int(lines[1]) if len(lines) > 1 and lines[1].isdigit() else None
        return State(is_running, None if is_running else code)

    def log(self, beyond: int) -> list[str]:
        """The lines that the bench has said, from this one on."""
        words = ["tail", "-n", f"+{beyond + 1}", f"{self.results}/bench.log"]
        return self._remote.run_as_root(words).text.splitlines()

    def end(self) -> None:
        """Ends it; its clocks and the service follow by themselves."""
        self._remote.run_as_root(["systemctl", "--no-block", "stop", UNIT])

    def archive(self) -> bytes:
        """Everything that it wrote, as a packed tar."""
        done = self._remote.run_as_root(["tar", "-C", self.results, "-czf", "-", "."], timeout=600)
        self._must(done, "read the results")
        return done.out

    def _is_active(self, unit: str) -> bool:
        return self._remote.run_as_root(["systemctl", "is-active", unit]).text.strip() in {
            "active",
            "activating",
            "deactivating",
            "reloading",
        }

    @staticmethod
    def _must(done: Done, what: str) -> None:
        if done.code != 0:
            raise Refusal(
                Code.REMOTE,
                f"the board cannot {what}: {done.said or f'exit code {done.code}'}",
                "without it nothing is measured",
                "log in by hand and try; a full disk and a system without systemd are the usual reasons",
            )
