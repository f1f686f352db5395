"""Promises of scripts/bench-on-board: the service always runs again, and what was measured is kept and compared."""

import io
import itertools
import json
import tarfile
import threading
import time
from unittest.mock import patch

from fixture import BOARD, RELEASE, REPOSITORY, RESULT, BenchTest, Code, runs, table


class Benches(BenchTest):
    def test_the_deployed_release_is_measured_with_the_service_stopped(self) -> None:
        self.assertEqual(self.bench("--seconds", "7"), 0, self.said)
        self.settled()
        first, restored = self.called().splitlines()
        for words in (f"--board {BOARD}", "current/pipeline.toml", "--seconds 7", "--strict", "service was inactive"):
            self.assertIn(words, first)
        self.assertIn("models /opt/reflexarc/current/models", first)
        self.assertIn("bench --restore", restored)
        self.assertEqual(self.service, "active")
        self.assertIn("idle: 1 s a measurement", self.said)
        self.assertIn("What to take from it", self.said)
        (run,) = self.kept
        self.assertTrue(run.name.endswith(f"Z-{RELEASE}"))
        self.assertTrue({"bench.json", "bench.html", "bench.log", "bench.txt"} <= {path.name for path in run.iterdir()})

    def test_a_service_that_did_not_run_is_not_started(self) -> None:
        (self.state / "service").write_text("inactive\n")
        self.assertEqual(self.bench(), 0, self.said)
        self.settled()
        self.assertEqual(self.service, "inactive")

    def test_the_next_run_is_compared_with_the_last(self) -> None:
        self.assertEqual(self.bench(), 0, self.said)
        # Names are of one second: an older one, so that the order is certain.
        self.kept[0].rename(self.runs / f"20200101T000000Z-{RELEASE}")
        self.assertNotIn("--compare", self.called())
        worse = {"with_started": "then", "worse": 1, "rows": [{"part": "cpu", "number": "action jitter p99.9", "is_worse": True}]}
        self.result(RESULT | {"comparison": worse}, code=17)
        self.assertEqual(self.bench(), Code.WORSE.exit_code, self.said)
        self.assertIn("cpu action jitter p99.9", self.said)
        self.assertIn("--compare", self.called())
        self.assertEqual(len(self.kept), 2)
        sent = json.loads((self.kept[1] / "earlier.json").read_text())
        self.assertEqual(sent, RESULT)

    def test_a_missed_limit_has_its_own_code(self) -> None:
        self.result(RESULT | {"verdict": "missed", "reasons": ["idle: wake-up of core 2: 1 over 20.0 us"]}, code=1)
        self.assertEqual(self.bench(), Code.MISSED.exit_code)
        self.assertIn("wake-up of core 2", self.said)
        self.assertEqual(self.service, "active")

    def test_a_failing_check_is_named_and_can_be_accepted(self) -> None:
        check = {"id": "K01", "title": "real-time kernel", "effective": "none", "status": "fail"}
        (self.state / "doctor.json").write_text(json.dumps({"checks": [check]}))
        (self.state / "bench.json").write_text("")
        (self.state / "code").write_text("15\n")
        self.assertEqual(self.bench(), Code.DOCTOR.exit_code)
        self.assertIn("K01 real-time kernel: none", self.said)
        self.assertEqual(self.service, "active")
        self.bench("--accept", "doctor")
        self.assertNotIn("--strict", self.called().splitlines()[-2])

    def test_a_bench_without_results_says_what_it_said(self) -> None:
        (self.state / "bench.json").write_text("")
        (self.state / "code").write_text("3\n")
        self.assertEqual(self.bench(), Code.BENCH.exit_code)
        self.assertIn("idle: 1 s a measurement", self.said)
        self.assertEqual(self.service, "active")


class Ends(BenchTest):
    def test_after_a_signal_the_board_starts_its_service_again(self) -> None:
        (self.state / "slow").touch()
        self.assertEqual(self.bench(interrupt_when=self.state / "begun"), Code.INTERRUPTED.exit_code)
        self.settled()
        self.assertEqual(self.service, "active")
        self.assertIn("--restore", self.called())

    def test_without_a_connection_the_board_goes_on_alone(self) -> None:
        (self.state / "slow").touch()
        self.patience = 0.3
        def cut() -> None:
            while not (self.state / "begun").exists():
                time.sleep(0.02)
            (self.state / "ssh").write_text("Connection to robot closed by remote host.\n")

        cutter = threading.Thread(target=cut)
        cutter.start()
        self.assertEqual(self.bench(), Code.LOST.exit_code, self.said)
        cutter.join()
        self.assertEqual(self.service, "inactive")
        (self.state / "slow").unlink()
        self.settled()
        self.assertEqual(self.service, "active")
        self.assertEqual(self.kept, [])

    def test_a_short_gap_in_the_connection_is_no_end(self) -> None:
        (self.state / "slow").touch()
        def cut() -> None:
            while not (self.state / "begun").exists():
                time.sleep(0.02)
            (self.state / "ssh").write_text("Connection timed out\n")
            time.sleep(0.5)
            (self.state / "ssh").unlink()
            (self.state / "slow").unlink()

        cutter = threading.Thread(target=cut)
        cutter.start()
        self.assertEqual(self.bench(), 0, self.said)
        cutter.join()
        self.assertEqual(len(self.kept), 1)

    def test_a_service_that_does_not_come_back_is_said(self) -> None:
        (self.state / "broken").touch()
        # Two minutes pass at once.
        with patch("benching.flow.time.monotonic", side_effect=itertools.count(0, 50)):
            self.assertEqual(self.bench(), Code.NOT_BACK.exit_code, self.said)
        self.assertEqual(len(self.kept), 1)


class Refusals(BenchTest):
    def assert_untouched(self) -> None:
        self.assertEqual(self.service, "active")
        self.assertEqual(self.called(), "")
        self.assertEqual(self.kept, [])

    def test_another_board(self) -> None:
        self.board = "raspberry-pi-5"
        self.assertEqual(self.bench(), Code.WRONG_BOARD.exit_code, self.said)
        self.assert_untouched()

    def test_no_such_board(self) -> None:
        self.board = "toaster"
        self.assertEqual(self.bench(), Code.BOARD_UNKNOWN.exit_code, self.said)
        self.assert_untouched()

    def test_nothing_deployed(self) -> None:
        (self.root / "opt/reflexarc/current").unlink()
        self.assertEqual(self.bench(), Code.NO_RELEASE.exit_code, self.said)
        self.assert_untouched()

    def test_no_root(self) -> None:
        (self.state / "nosudo").touch()
        self.assertEqual(self.bench(), Code.NOT_PERMITTED.exit_code, self.said)
        self.assert_untouched()

    def test_a_bench_under_way(self) -> None:
        (self.state / "unit.pid").write_text("1\n")
        self.assertEqual(self.bench(), Code.BUSY.exit_code, self.said)
        self.assert_untouched()

    def test_a_unit_that_cannot_be_started(self) -> None:
        (self.state / "norun").touch()
        self.assertEqual(self.bench(), Code.REMOTE.exit_code, self.said)
        self.assert_untouched()

    def test_ssh_and_its_reasons(self) -> None:
        for said, code in (
            ("ssh: connect to host robot port 22: Connection refused", Code.NO_CONNECTION),
            ("Host key verification failed.", Code.HOST_KEY),
            ("robot: Permission denied (publickey).", Code.AUTHENTICATION),
        ):
            (self.state / "ssh").write_text(said)
            self.assertEqual(self.bench(), code.exit_code, self.said)
            self.assert_untouched()


class Runs(BenchTest):
    def test_what_was_emulated_is_kept_apart(self) -> None:
        self.assertEqual(runs.folder("rock-5b", False, False), REPOSITORY / "boards/rock-5b/runs")
        self.assertEqual(runs.folder("rock-5b", True, False), REPOSITORY / "target/bench-runs/rock-5b")
        self.assertEqual(runs.folder("rock-5b", True, True), REPOSITORY / "boards/rock-5b/runs")

    def test_an_archive_cannot_write_elsewhere(self) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
        with self.assertRaises(Exception) as caught:
            runs.keep(packed.getvalue(), self.folder / "in")
        self.assertEqual(caught.exception.code, Code.STATE)
        self.assertFalse((self.folder / "outside").exists())

    def test_the_documentation_has_every_exit_code(self) -> None:
        text = (REPOSITORY / "docs/benchmarking.md").read_text()
        for code in Code:
            self.assertIn(f"| {code.exit_code} | `{code.title}` | {code.meaning} |", text)
        self.assertIn("E_WORSE", table())
