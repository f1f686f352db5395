"""What the tests of scripts/deploy are made with: a board in a folder, reached by a stand-in for ssh, with the real program that
keeps releases and stand-ins for systemd's programs.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from deploying import board as boards  # noqa: E402
from deploying import cli, debian, elf, gate, host, options, pipeline, release, release_tool  # noqa: E402
from deploying.refusal import Code, Refusal  # noqa: E402

__all__ = ["Code", "Refusal", "boards", "debian", "elf", "gate", "host", "options", "pipeline", "release", "release_tool"]

HERE = Path(__file__).resolve().parent
TOOL = REPOSITORY / "scripts" / "packaging" / "release"
# The board that this machine could be.
BOARD = "x86-64" if os.uname().machine == "x86_64" else "qemu-virt-aarch64"
# Nothing in these needs a model.
CONFIG = '# behaviour: {}\nsink = "null"\n[camera]\nsource = "synthetic"\n[encoder]\nname = "null"\n[policy]\nname = "still"\n'


def skip(reason: str) -> None:
    """Skips a test and says so also where the runner is not asked for words."""
    print(f"skipped: {reason}", file=sys.stderr)
    raise unittest.SkipTest(reason)


@cache
def stand_in(edition: str = "1") -> Path:
    """A binary that answers as the runtime does."""
    if shutil.which("cc") is None:
        skip("there is no C compiler, and a release needs a binary")
    folder = tempfile.mkdtemp(prefix="deploy-test-binary-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / f"reflexarc-{edition}"
    command = ["cc", "-O1", f'-DEDITION="{edition}"', "-o", str(path), str(HERE / "stand_in.c")]
    subprocess.run(command, check=True)
    return path


class DeployTest(unittest.TestCase):
    """A test with a board of its own."""

    def setUp(self) -> None:
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="deploy-test-")))
        self.root = self.folder / "board"
        self.state = self.folder / "stand-in"
        self.base = self.root / "opt" / "reflexarc"
        for folder in (self.state, self.root / "usr/lib/reflexarc", self.root / "proc/sys/kernel/random"):
            folder.mkdir(parents=True)
        shutil.copy(TOOL, self.root / "usr/lib/reflexarc/release")
        self.reboot(starts=False)
        tree = self.root / "proc/device-tree"
        tree.mkdir()
        known = boards.load(BOARD)
        (tree / "compatible").write_bytes(b"\0".join(each.encode() for each in known.compatible) + b"\0")
        (tree / "model").write_bytes(known.model.encode() + b"\0")
        self.environment = os.environ | {
            "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}",
            "ROOT": str(self.root),
            "STAND_IN": str(self.state),
            "XDG_STATE_HOME": str(self.folder / "home"),
            "LC_ALL": "C",
        }

    # -- a board by itself

    def install(self, behaviour: str = "good") -> None:
        """Puts the package's own release there, and starts it."""
        into = self.root / "usr/lib/reflexarc/factory"
        into.mkdir()
        release.make(stand_in("factory"), self.config(behaviour), boards.load(BOARD), into)
        (self.root / "usr/lib/reflexarc/packaging.sha256").write_text(debian.digest() + "\n")
        self.tool("factory")
        subprocess.run(["systemctl", "start", "reflexarc.service"], env=self.environment, check=True)

    def config(self, behaviour: str, extra: str = "") -> Path:
        path = self.folder / f"{behaviour}{len(extra)}.toml"
        path.write_text(CONFIG.format(behaviour) + extra)
        return path

    def make(self, behaviour: str = "good", edition: str = "1", extra: str = "") -> release.Release:
        """A release on this machine."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return release.make(stand_in(edition), self.config(behaviour, extra), boards.load(BOARD), folder)

    def tool(self, *words: str, input: bytes = b"", environment: dict[str, str] | None = None) -> int:
        """Runs the program that keeps releases; gives its exit code. What it said is in `said`."""
        done = subprocess.run(
            [str(self.root / "usr/lib/reflexarc/release"), "--root", str(self.root), *words],
            input=input,
            env=environment or self.environment,
            capture_output=True,
            check=False,
        )
        self.out, self.said = done.stdout.decode(), done.stderr.decode()
        return done.returncode

    def add(self, made: release.Release) -> None:
        for name, path in made.models.items():
            self.assertEqual(self.tool("blob", made.sums[name], input=path.read_bytes()), 0, self.said)
        self.assertEqual(self.tool("add", made.identifier, input=release_tool._tar(made)), 0, self.said)

    def try_it(self, made: release.Release, ready_seconds: str = "20") -> int:
        return self.tool("try", made.identifier, "--ready-seconds", ready_seconds, "--trial-seconds", "0", "--token", "t")

    def reboot(self, starts: bool = True) -> None:
        """The machine starts anew: another boot id, no process; then what its units do."""
        self.boots = getattr(self, "boots", 0) + 1
        (self.root / "proc/sys/kernel/random/boot_id").write_text(f"boot-{self.boots}\n")
        for left in self.state.glob("reflexarc-trial"):
            left.rmdir()
        if starts:
            (self.state / "service").unlink(missing_ok=True)
            self.assertEqual(self.tool("boot"), 0, self.said)
            subprocess.run(["systemctl", "start", "reflexarc.service"], env=self.environment, check=True)

    @property
    def current(self) -> str:
        """The release that `current` leads to."""
        return Path(os.readlink(self.base / "current")).name

    @property
    def running(self) -> str:
        """The release that was started last."""
        return Path((self.state / "starts").read_text().splitlines()[-1]).name

    def assert_runs(self, identifier: str) -> None:
        """It is current, whole and started, and nothing is on trial."""
        self.assertEqual(self.current, identifier)
        self.assertEqual(self.running, identifier)
        self.assertFalse((self.base / "trial").exists())
        self.assertEqual(self.tool("verify"), 0, self.said)

    # -- a deploy

    def deploy(self, *words: str) -> int:
        """Runs the command in this process; gives its exit code. What it said is in `said`."""
        before = dict(os.environ)
        os.environ |= self.environment
        out, said = StringIO(), StringIO()
        old = signal.getsignal(signal.SIGTERM)
        try:
            with redirect_stdout(out), redirect_stderr(said):
                from flashing.events import Log

                # The log's terminal is chosen when the class is made, before anything is redirected.
                Log.__init__.__defaults__ = (said,)
                code = cli.main([BOARD, "robot", "--ready-seconds", "20", "--trial-seconds", "1", *words])
        finally:
            signal.signal(signal.SIGTERM, old)
            os.environ.clear()
            os.environ |= before
        self.out, self.said = out.getvalue(), said.getvalue()
        return code

    def commands(self) -> str:
        """What was run on the board by ssh."""
        path = self.state / "commands"
        return path.read_text() if path.exists() else ""
