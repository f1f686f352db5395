"""The stages of a deploy. Until `setup` nothing on the board is changed; until `try` what runs there is not touched."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flashing.events import Log, size
from remote import Remote

from . import board as boards
from . import build, debian, gate, host, pipeline, release
from .board import Board
from .elf import Elf
from .host import Host
from .options import Options
from .package_cli import make as make_package
from .refusal import Code, Refusal
from .release import Release
from .release_tool import Outcome, ReleaseTool

# What a trial may last beyond the time that it is given: stopping the old, and going back to it.
_GRACE_S = 120

_RESULTS = {"crashed": Code.CRASHED, "never-ready": Code.NEVER_READY, "no-beats": Code.NO_BEATS}


class Deploy:
    """One deploy."""

    def __init__(self, asked: Options, log: Log, stack: ExitStack, ssh: str = "ssh") -> None:
        self._asked = asked
        self._log = log
        self._stack = stack
        self._ssh = ssh
        self._board: Board
        self._binary: Path
        self._elf: Elf
        self._remote: Remote
        self._host: Host
        self._tool: ReleaseTool
        self._release: Release

    def run(self) -> None:
        """All stages, or those that a look or the way back needs."""
        asked = self._asked
        self._board = boards.load(asked.board)
        if asked.status or asked.rollback:
            self._stage("connect", self.connect)
            self._stage("report", self.status) if asked.status else self._stage("try", self.rollback)
            return
        self._stage("build", self.build)
        self._stage("gate", self.gate)
        self._stage("connect", self.connect)
        self._stage("identify", self.identify)
        if asked.dry_run:
            self._stage("report", self.say_what_would_be)
            return
        self._stage("setup", self.setup)
        self._release = self._make_release(self._config(self._tool.status()))
        if self._runs_already():
            return
        self._stage("models", self.models)
        self._stage("copy", self.copy)
        self._stage("check", self.check)
        self._stage("try", self.try_it)
        self._stage("report", self.report)

    def _stage(self, name: str, action: Any) -> None:
        self._log.enter(name)
        self._log.say(f"{name}:")
        action()
        self._log.event("leave")

    def build(self) -> None:
        """The binary; and the configuration is one that can be read, with its models at hand."""
        if self._asked.config is not None:
            pipeline.models(pipeline.read(self._asked.config))
        self._binary = self._asked.binary or build.compile_for(self._board, self._asked.build, self._log)
        self._log.say(f"  {self._binary}")

    def gate(self) -> None:
        """By the board's file, before anybody is asked."""
        self._elf = gate.examine(self._binary, self._board)
        allowed = f", {self._board.glibc} is allowed" if self._board.glibc else ""
        self._log.say(f"  glibc {self._elf.newest() or 'of no version'} is needed{allowed}")
        self._log.event("gate", needs=self._elf.newest(), allowed=self._board.glibc, libraries=self._elf.needed)

    def connect(self) -> None:
        """To the board."""
        asked = self._asked
        self._remote = self._stack.enter_context(Remote(asked.host, asked.identity, asked.known_hosts, self._ssh))
        if self._remote.is_new:
            self._log.warn("new-host", f"{asked.host} was never seen before; its key is kept in {asked.known_hosts}")
        if not self._remote.may_be_root():
            raise Refusal(
                Code.NOT_PERMITTED,
                f"{asked.host} does not let its user become root",
                "a release is put in place, and the service restarted, by root",
                "log in as root, or allow `sudo -n` for that user",
            )
        self._tool = ReleaseTool(self._remote)
        self._log.say(f"  {asked.host}")

    def identify(self) -> None:
        """The right board, and one that can run this binary."""
        self._host = found = host.ask(self._remote)
        self._log.event("host", machine=found.machine, kernel=found.kernel, glibc=found.glibc, model=found.model)
        self._log.say(f"  {found.named()}, Linux {found.kernel}, glibc {found.glibc or 'unknown'}")
        if wrong := host.differs(found, self._board):
            if "identify" not in self._asked.accept or found.machine != self._board.machine:
                raise Refusal(
                    Code.WRONG_BOARD,
                    f"{self._asked.host} is not {self._board.title}: {wrong}",
                    "a release is made for one board: its processor, its glibc, its cores",
                    "name the board that it is, or the host that was meant; `--accept identify` goes on if only the name differs",
                )
            self._log.warn("identify", f"{wrong}; going on, as was asked for")
        if found.glibc:
            gate.limit(self._elf, found.glibc, f"{self._asked.host} has {found.glibc}")
        if found.libraries:
            gate.libraries(self._elf, set(found.libraries))

    def setup(self) -> None:
        """The Debian package, where the board has none or one with an older service."""
        wanted = debian.digest()
        there = self._remote.run(["cat", "/usr/lib/reflexarc/packaging.sha256"])
        if there.code == 0 and there.text.strip() == wanted:
            self._log.say("  the package is there")
            return
        old = self._remote.run(["dpkg-query", "-W", "-f", "${Version}", "reflexarc"]).text.strip()
        new = debian.version()
        if old and self._remote.run(["dpkg", "--compare-versions", old, "gt", new]).code == 0:
            self._log.warn("package", f"the board's package {old} is newer than {new} and stays")
            return
        with tempfile.TemporaryDirectory(prefix="reflexarc-deploy-") as folder:
            package = self._package(bool(old), Path(folder))
            self._log.say(f"  installing {package.name}" + (f" in place of {old}" if old else ""))
            self._log.event("package", old=old, new=new)
            self._remote.send(package, f"/tmp/{package.name}")
            done = self._remote.run_as_root(["dpkg", "-i", f"/tmp/{package.name}"], timeout=600)
            self._remote.run(["rm", "-f", f"/tmp/{package.name}"])
        if done.code != 0:
            raise Refusal(
                Code.PACKAGE,
                f"dpkg -i ended with {done.code} on the board: {done.said[-500:]}",
                "the package brings the service, its user and the program that keeps releases",
                "do there what dpkg asks for, such as apt-get -f install, and deploy again",
            )

    def _package(self, upgrades: bool, folder: Path) -> Path:
        """The package's own release is what is fallen back on: once a board has one, a deploy does not put an unproven one there."""
        kept = folder / "factory"
        kept.mkdir()
        if upgrades and release.fetch(self._remote, "/usr/lib/reflexarc/factory", kept):
            return debian.make(self._board, kept, folder)
        return make_package(self._board, self._binary, self._asked.build, folder, self._log)

    def models(self) -> None:
        """Those that the configuration needs and the board lacks. Old releases and their models make room first."""
        made = self._release
        self._tool.prune()
        lacking = self._tool.lacking(made.sums)
        self._log.say(f"  {len(made.sums)} are needed, {len(lacking)} are lacking")
        for name in lacking:
            self._log.say(f"  {name}, {size(made.models[name].stat().st_size)}")
            self._log.event("model", name=name, sha256=made.sums[name])
            self._tool.bring_model(made.sums[name], made.models[name])

    def copy(self) -> None:
        """The release itself."""
        self._tool.add(self._release)
        total = sum((self._release.folder / name).stat().st_size for name in self._release.files)
        self._log.say(f"  release {self._release.identifier}, {size(total)}")
        self._log.event("copied", release=self._release.identifier, bytes=total)

    def check(self) -> None:
        """On the board, beside what runs."""
        try:
            bench = self._tool.check(self._release.identifier)
        except Refusal as refusal:
            if refusal.code is not Code.CHECK or "check" not in self._asked.accept:
                raise
            self._log.warn("check", f"{refusal.what}; going on, as was asked for")
            return
        finally:
            self._say_doctor()
        flow = next((part.get("flow") or {} for part in bench.get("parts", [])), {})
        self._log.event("bench", verdict=bench.get("verdict"), flow=flow)
        self._log.say("  five seconds beside what runs: " + ", ".join(f"{flow[key]} {key.replace('_', ' ')}" for key in flow))

    def _say_doctor(self) -> None:
        checks = self._tool.doctor(self._release.identifier).get("checks", [])
        failed = [f"{each.get('id')} {each.get('title')}" for each in checks if each.get("status") == "fail"]
        self._log.event("doctor", checks=len(checks), failed=failed)
        if failed:
            self._log.warn("doctor", f"the board is not all that it could be: {'; '.join(failed)}")

    def try_it(self) -> None:
        """In place of what runs, for a while."""
        self._trial(["try", self._release.identifier])

    def rollback(self) -> None:
        """The release before, on trial like any other."""
        self._trial(["rollback"])
        self.status()

    def _trial(self, words: list[str]) -> None:
        asked = self._asked
        times = ["--ready-seconds", str(asked.ready_seconds), "--trial-seconds", str(asked.trial_seconds)]
        token = self._tool.start_trial([*words, *times])
        limit = 2 * asked.ready_seconds + asked.trial_seconds + _GRACE_S
        outcome = self._tool.follow(token, limit, lambda line: self._log.say(f"  {line}"))
        self._log.event("trial", release=outcome.release, result=outcome.result, back=outcome.back, detail=outcome.detail)
        if outcome.result != "proven":
            raise _refusal(outcome)

    def report(self) -> None:
        """What is left to say."""
        self._log.event("done", release=self._release.identifier)
        self._log.say(f"  {self._release.identifier} runs on {self._asked.host}")

    def status(self) -> None:
        """What runs there, on standard output."""
        done = self._remote.run_as_root(["/usr/lib/reflexarc/release", "status"])
        if done.code != 0:
            raise Refusal(
                Code.REMOTE, f"{self._asked.host} keeps no releases: {done.said}", "nothing was deployed to it yet", "deploy"
            )
        print(done.text, end="", flush=True)

    def say_what_would_be(self) -> None:
        """The end of a dry run."""
        there = self._remote.run(["cat", "/usr/lib/reflexarc/packaging.sha256"])
        if there.code != 0:
            self._log.say("  the package would be installed; nothing of reflexarc is there")
            found: dict[str, Any] = {}
        else:
            if there.text.strip() != debian.digest():
                self._log.say("  the package would be brought up to date")
            found = self._tool.status()
        made = self._make_release(self._config(found))
        if found.get("current") == made.identifier and found.get("active") == "active":
            self._log.say(f"  {made.identifier} runs there already: nothing to do")
        else:
            self._log.say(f"  {made.identifier} would take the place of {found.get('current', 'nothing')}")
            self._log.say(f"  models it needs: {', '.join(made.sums) or 'none'}")
        self._log.event("dry_run", release=made.identifier, current=found.get("current"))
        self._log.say("This was a dry run: nothing was changed.")

    def _runs_already(self) -> bool:
        found = self._tool.status()
        self._log.event("found", **found)
        is_there = found["current"] == self._release.identifier and found["whole"] == "yes"
        if not is_there or found["active"] != "active" or found["trial"]:
            return False
        self._log.event("done", release=self._release.identifier)
        self._log.say(f"{self._release.identifier} runs there already: nothing to do.")
        return True

    def _config(self, found: dict[str, Any]) -> Path:
        """What was named, else what runs there, else the package's."""
        if self._asked.config is not None:
            return self._asked.config
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reflexarc-deploy-")))
        if found and self._remote.fetch("/opt/reflexarc/current/pipeline.toml", folder / "pipeline.toml").code == 0:
            self._log.say("  with the configuration that runs there")
            return folder / "pipeline.toml"
        shutil.copyfile(debian.SOURCES / "pipeline.toml", folder / "pipeline.toml")
        return folder / "pipeline.toml"

    def _make_release(self, config: Path) -> Release:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reflexarc-deploy-")))
        made = release.make(self._binary, config, self._board, folder)
        for name in pipeline.own_files(pipeline.read(config)):
            self._log.warn("own-file", f"{name} is not brought: it has to be on the board already")
        self._log.event("release", release=made.identifier, models=sorted(made.sums))
        return made


def _refusal(outcome: Outcome) -> Refusal:
    if outcome.back == "failed":
        return Refusal(
            Code.NOT_BACK,
            f"{outcome.release} failed, and the release before it does not become ready: {outcome.detail}",
            "the old release did run; since then something else has changed, such as the camera",
            "look there: systemctl status reflexarc, journalctl -u reflexarc",
        )
    if outcome.result not in _RESULTS:
        return Refusal(
            Code.LOST,
            f"the trial of {outcome.release} was interrupted: {outcome.detail}",
            f"whatever is not proven is taken back: {outcome.current} runs",
            "deploy again",
        )
    return Refusal(
        _RESULTS[outcome.result],
        f"{outcome.release}: {outcome.detail}",
        f"the board went back to {outcome.back} by itself",
        "journalctl -u reflexarc on the board has the release's own words",
    )
