"""What the tests of scripts/bench-on-board are made with: a board in a folder, reached by a stand-in for ssh, with stand-ins for
systemd's programs and for the runtime.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from benching import cli, flow, runs, unit  # noqa: E402
from benching.refusal import Code, table  # noqa: E402
from flashing.events import Log  # noqa: E402

__all__ = ["REPOSITORY", "Code", "cli", "flow", "runs", "table", "unit"]

HERE = Path(__file__).resolve().parent
BOARD = "x86-64" if os.uname().machine == "x86_64" else "qemu-virt-aarch64"
RELEASE = "0123456789ab"

RESULT = {
    "schema": "reflexarc-bench/1",
    "verdict": "met",
    "reasons": [],
    "comparison": None,
}


class BenchTest(unittest.TestCase):
    """A test with a board of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.board = BOARD
        self.root, self.state, self.runs = (self.folder / name for name in ("board", "stand-in", "runs"))
        release = self.root / "opt/reflexarc/releases" / RELEASE
        for folder in (release, self.state, self.root / "proc/device-tree", self.root / "var/lib/reflexarc"):
            folder.mkdir(parents=True)
        (self.root / "opt/reflexarc/current").symlink_to(f"releases/{RELEASE}")
        shutil.copy(HERE / "bin" / "reflexarc", release / "reflexarc")
        (self.root / "proc/device-tree/compatible").write_bytes(b"linux,dummy-virt\0")
        (self.root / "proc/device-tree/model").write_bytes(b"linux,dummy-virt\0")
        (self.state / "service").write_text("active\n")
        self.result(RESULT)
        self.environment = os.environ | {
            "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}",
            "ROOT": str(self.root),
            "STAND_IN": str(self.state),
            "XDG_STATE_HOME": str(self.folder / "home"),
            "LC_ALL": "C",
        }

    def result(self, bench: dict[str, object], code: int = 0) -> None:
        """What the bench will say."""
        (self.state / "bench.json").write_text(json.dumps(bench))
        (self.state / "code").write_text(f"{code}\n")

    def bench(self, *words: str, interrupt_when: Path | None = None) -> int:
        """Runs the command in this process; gives its exit code. What it said is in `said`."""
        before = dict(os.environ)
        os.environ |= self.environment
        said = StringIO()
        old = signal.getsignal(signal.SIGTERM)
        patience, look = flow._PATIENCE_S, flow._LOOK_S
        flow._LOOK_S = 0.1
        flow._PATIENCE_S = getattr(self, "patience", patience)
        watcher = None
        if interrupt_when is not None:
            watcher = threading.Thread(target=_interrupt, args=(interrupt_when,))
            watcher.start()
        try:
            with redirect_stdout(StringIO()), redirect_stderr(said):
                # The log's terminal is chosen when the class is made, before anything is redirected.
                Log.__init__.__defaults__ = (said,)
                code = cli.main([self.board, "robot", "--runs", str(self.runs), *words])
        finally:
            flow._LOOK_S, flow._PATIENCE_S = look, patience
            signal.signal(signal.SIGTERM, old)
            os.environ.clear()
            os.environ |= before
            if watcher is not None:
                watcher.join()
        self.said = said.getvalue()
        return code

    def settled(self) -> None:
        """Waits until the board has ended what it does by itself."""
        pid = self.state / "unit.pid"
        while pid.exists():
            subprocess.run(["sleep", "0.05"], check=True)

    @property
    def service(self) -> str:
        return (self.state / "service").read_text().strip()

    @property
    def kept(self) -> list[Path]:
        return sorted(self.runs.glob("*")) if self.runs.is_dir() else []

    def called(self) -> str:
        """With which words the runtime was called."""
        path = self.state / "called"
        return path.read_text() if path.exists() else ""


def _interrupt(when: Path) -> None:
    for _ in range(600):
        if when.exists():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    os.kill(os.getpid(), signal.SIGTERM)
