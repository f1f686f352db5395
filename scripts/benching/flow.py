"""The stages of a bench on a board."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from deploying import board as boards
from deploying import host as hosts
from flashing.events import Log
from remote import Remote, Trouble, Unreachable

from . import runs
from .options import Options
from .refusal import Code, Refusal
from .unit import CURRENT, Unit

# The board goes on without us. So long it is tried to reach it again.
_PATIENCE_S = 300
_LOOK_S = 2


class BenchOnBoard:
    """One bench."""

    def __init__(self, asked: Options, log: Log, stack: ExitStack, ssh: str = "ssh") -> None:
        self._asked = asked
        self._log = log
        self._board = boards.load(asked.board)
        self._remote = Remote(asked.host, asked.identity, asked.known_hosts, ssh)
        self._stack = stack

    def run(self) -> None:
        """Every stage. A refusal ends it."""
        self._connect()
        self._identify()
        run = self._measure()
        self._report(run)

    def _connect(self) -> None:
        self._log.enter("connect")
        self._stack.enter_context(self._remote)
        if self._remote.is_new:
            self._log.warn("new_host_key", f"{self._asked.host} was never seen: its key is now in {self._asked.known_hosts}")
        if not self._remote.may_be_root():
            raise Refusal(
                Code.NOT_PERMITTED,
                "the user there may not become root without a password",
                "the service has to be stopped and started, and a bench sets priorities and clocks",
                "log in as root, or give the user sudo without a password (NOPASSWD)",
            )

    def _identify(self) -> None:
        self._log.enter("identify")
        host = hosts.ask(self._remote)
        why = hosts.differs(host, self._board)
        if why and "identify" not in self._asked.accept:
            raise Refusal(
                Code.WRONG_BOARD,
                f"{self._asked.host} is not {self._board.title}: {why}",
                "the numbers would be kept as those of another board",
                "name the right board, or go on with --accept identify",
            )
        self._log.event("host", named=host.named(), kernel=host.kernel, differs=why)
        self._log.say(f"{host.named()}, Linux {host.kernel}")

    def _release(self) -> str:
        done = self._remote.run_as_root(["readlink", CURRENT])
        identifier = Path(done.text.strip()).name
        if done.code != 0 or not identifier:
            raise Refusal(
                Code.NO_RELEASE,
                f"there is no release on {self._asked.host} ({CURRENT})",
                "a bench measures the release that runs on the board",
                f"scripts/deploy {self._asked.board} {self._asked.host} --config FILE",
            )
        return identifier

    def _measure(self) -> Path:
        self._log.enter("measure")
        release = self._release()
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        unit = Unit(self._remote, f"{began}-{release}")
        if unit.is_running():
            raise Refusal(
                Code.BUSY,
                "a bench runs on the board already",
                "two at a time would measure each other",
                "wait for its end; the board ends it by itself",
            )
        is_emulated = self._remote.run(["systemd-detect-virt", "--quiet"]).code == 0
        place = self._asked.runs or runs.folder(self._asked.board, is_emulated, self._asked.keep)
        unit.make_room()
        arguments = self._arguments(unit, self._asked.compare or runs.last(place))
        service_ran = unit.service_runs()
        self._log.event("start", release=release, arguments=arguments, service_ran=service_ran, emulated=is_emulated)
        self._log.say(f"release {release}; the service {'is stopped meanwhile' if service_ran else 'does not run'}")
        try:
            unit.start(arguments, self._asked.seconds, service_ran)
            code = self._follow(unit)
        except KeyboardInterrupt:
            unit.end()
            raise
        return self._fetch(unit, place / f"{began}-{release}", code, service_ran)

    def _arguments(self, unit: Unit, earlier: Path | None) -> list[str]:
        asked = self._asked
        arguments = ["--board", asked.board, "--config", f"{CURRENT}/pipeline.toml"]
        arguments += ["--seconds", str(asked.seconds), "--loads", asked.loads]
        arguments += ["--no-baseline"] * (not asked.baseline) + ["--lock-clocks"] * asked.lock_clocks
        arguments += ["--strict"] * ("doctor" not in asked.accept)
        if earlier is not None:
            there = f"{unit.results}/earlier.json"
            done = self._remote.run_as_root(["sh", "-c", f"cat >{there}"], input=earlier)
            if done.code == 0:
                arguments += ["--compare", there]
                self._log.say(f"compared with {earlier}")
        return arguments

    def _follow(self, unit: Unit) -> int | None:
        """Shows what the bench says, to its end. A lost connection is no end: the board goes on, and is asked again."""
        shown, lost_at = 0, None
        while True:
            try:
                # The state first: what was said before the end is then not missed.
                state = unit.state()
                for line in unit.log(shown):
                    shown += 1
                    self._log.say(f"  {line}")
                lost_at = None
                if not state.is_running:
                    return state.code
            except Unreachable as error:
                if error.trouble not in {Trouble.LOST, Trouble.NO_CONNECTION}:
                    raise
                lost_at = lost_at or time.monotonic()
                self._log.event("unreachable", said=error.said)
                if time.monotonic() - lost_at > _PATIENCE_S:
                    raise Refusal(
                        Code.LOST,
                        f"the connection to {self._asked.host} was lost: {error.said}",
                        "the board ends the bench and starts its service again by itself",
                        f"its results are there in {unit.results} until the next bench",
                    ) from error
            time.sleep(_LOOK_S)

    def _fetch(self, unit: Unit, run: Path, code: int | None, service_ran: bool) -> Path:
        self._log.enter("fetch")
        runs.keep(unit.archive(), run)
        self._log.event("kept", run=str(run), code=code)
        if service_ran:
            self._wait_for_service(unit)
        self._judge_end(run, code)
        return run

    def _wait_for_service(self, unit: Unit) -> None:
        """The board starts it without waiting for it; a camera and models take their time."""
        until = time.monotonic() + 120
        while not unit.service_runs():
            if time.monotonic() > until:
                raise Refusal(
                    Code.NOT_BACK,
                    "the service that ran before the bench does not run again",
                    "the board was told to start it",
                    "look there with: systemctl status reflexarc; journalctl -u reflexarc",
                )
            time.sleep(_LOOK_S)
        self._log.say("the service runs again")

    def _judge_end(self, run: Path, code: int | None) -> None:
        """Refuses what gave no results."""
        if runs.read(run) is not None:
            return
        failed = runs.failed_checks(run)
        if code == 15 and failed:
            raise Refusal(
                Code.DOCTOR,
                f"{len(failed)} checks of the doctor fail on the board:\n    " + "\n    ".join(failed),
                "numbers of a machine that is set up wrong are taken for those of the board",
                "`reflexarc doctor` there says how to mend each; or measure all the same with --accept doctor",
            )
        log = run / "bench.log"
        said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else "nothing"
        raise Refusal(
            Code.BENCH,
            f"the bench ended without results (exit code {code}); it said:\n    " + said.replace("\n", "\n    "),
            "there is nothing to compare",
            f"what it left is in {run}",
        )

    def _report(self, run: Path) -> None:
        self._log.enter("report")
        text = run / "bench.txt"
        if text.is_file():
            self._log.say(text.read_text(encoding="utf-8", errors="replace"))
        self._log.say(f"kept in {run}; look at {run / 'bench.html'}")
        bench = runs.read(run) or {}
        self._log.event("done", verdict=bench.get("verdict"), reasons=bench.get("reasons"), run=str(run))
        if bench.get("verdict") == "missed":
            raise Refusal(
                Code.MISSED,
                "; ".join(bench["reasons"]),
                "the bench's limits are the board file's and the configuration's",
                f"{run / 'bench.html'} says which load does it, and what the doctor says to it",
            )
        comparison = bench.get("comparison") or {}
        if comparison.get("worse", 0) > 0:
            worse = [f"{each['part']} {each['number']}" for each in comparison["rows"] if each["is_worse"]]
            raise Refusal(
                Code.WORSE,
                "worse than before: " + "; ".join(worse),
                f"the last run of this board was at {comparison.get('with_started')}",
                "run it once more to see whether it stays; then look what changed in between",
            )
