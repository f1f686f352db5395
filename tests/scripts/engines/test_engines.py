"""Promises of benches/engines/run.py: who computes something else is not timed, turns are fair, and no percentile is made up."""

import array
import contextlib
import importlib.util
import io
import json
import math
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("engines_run", REPOSITORY / "benches" / "engines" / "run.py")
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)

# An engine that gives what its case's folder says, and takes as long.
STAND_IN = """
import pathlib, sys, time
for line in sys.stdin:
    asked, *more = line.split()
    if asked == "load":
        folder = pathlib.Path(more[1])
        if (folder / "dies").exists():
            sys.exit(1)
        pathlib.Path(more[2]).write_bytes((folder / "given.bin").read_bytes())
        print("ok", flush=True)
    else:
        begin = time.perf_counter_ns()
        time.sleep(0.02)
        took = time.perf_counter_ns() - begin
        print(took // 2, took, took, flush=True)
"""


class Engines(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "stand_in.py").write_text(STAND_IN)
        for name in ("WORK", "CASES"):
            self.addCleanup(setattr, run, name, getattr(run, name))
            setattr(run, name, self.folder)
        self.addCleanup(setattr, run, "TURN_MS", run.TURN_MS)
        run.TURN_MS = 20

    def case(self, given, expected, name="vit-tiny"):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "given.bin").write_bytes(array.array("f", given).tobytes())
        (folder / "expected.bin").write_bytes(array.array("f", expected).tobytes())
        (folder / "why.json").write_text("{}")
        return folder

    def engine(self, precision="f32"):
        # It is started as ours is: a program, and words that it does not look at.
        program = self.folder / "program"
        program.write_text(f"#!/bin/sh\nexec {sys.executable} {self.folder / 'stand_in.py'}\n")
        program.chmod(0o755)
        made = run.Engine("ours", precision, 1, sorted(os.sched_getaffinity(0))[-1:], program)
        self.addCleanup(made.process.stdin.close)
        self.addCleanup(made.process.stdout.close)
        self.addCleanup(made.end)
        return made

    def test_an_engine_that_computes_the_same_is_timed(self):
        self.case([1.0, -2.0, 3.0], [1.0, -2.0, 3.00001])
        found = self.engine().load("vit-tiny")
        self.assertNotIn("why_not", found)
        self.assertLess(found["largest_error"], 1e-5)

    def test_an_engine_that_computes_something_else_is_not(self):
        for given in ([1.0, -2.0, 2.9], [1.0, -2.0], [1.0, -2.0, math.nan], [-1.0, 2.0, -3.0]):
            self.case(given, [1.0, -2.0, 3.0])
            self.assertIn("another result", self.engine().load("vit-tiny")["why_not"], given)

    def test_fewer_bits_may_differ_by_more_but_not_by_anything(self):
        self.case([1.0, -2.0, 2.9], [1.0, -2.0, 3.0])
        self.assertNotIn("why_not", self.engine("bf16").load("vit-tiny"))
        self.case([1.0, 2.0, 3.0], [1.0, -2.0, 3.0])
        self.assertIn("another result", self.engine("bf16").load("vit-tiny")["why_not"])

    def test_what_died_or_was_not_converted_says_why(self):
        folder = self.case([1.0], [1.0])
        (folder / "dies").touch()
        engine = self.engine()
        self.assertIn("died", engine.load("vit-tiny")["why_not"])
        self.assertIsNone(engine.ask("time", 1))
        (folder / "dies").unlink()
        (folder / "why.json").write_text(json.dumps({"model.onnx": "an operation that it lacks"}))
        peer = self.engine()
        peer.name = "onnxruntime"
        self.assertIn("an operation that it lacks", peer.load("vit-tiny")["why_not"])

    def test_who_is_not_in_turn_is_stopped(self):
        self.case([1.0], [1.0])
        engine = self.engine()
        engine.load("vit-tiny")
        # The kernel tells of a stop a moment later.
        for _ in range(1000):
            state = Path(f"/proc/{engine.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "T":
                return
            time.sleep(0.01)
        self.fail(f"it is in state {state}")

    def test_turns_go_round_and_everybody_has_as_many(self):
        self.case([1.0], [1.0])
        engines = [self.engine() for _ in range(3)]
        for engine in engines:
            engine.load("vit-tiny")
        taken, used = run.in_turns(engines, 0.5)
        counts = [len(taken[engine]) for engine in engines]
        self.assertGreaterEqual(min(counts), 2)
        self.assertLessEqual(max(counts) - min(counts), 2)
        for engine in engines:
            self.assertGreater(used[engine], 0)

    def test_a_percentile_is_a_value_that_was_measured(self):
        found = run.percentiles([5_000_000, 1_000_000, 3_000_000, 2_000_000])
        self.assertEqual((found["min"], found["p50"], found["p99"], found["max"]), (1.0, 2.0, 5.0, 5.0))
        self.assertEqual(found["forwards"], 4)

    def test_the_table_says_that_the_machine_was_loaded_and_what_was_left_out(self):
        row = {"case": "vit-tiny", "threads": 1, "precision": "f32", "others_cores": 0.8, "stolen_cores": 0.0}
        timed = run.percentiles([20_000_000])
        told = {
            "machine": {"cpu": "some", "cores": 2, "flags": ["avx2"], "kernel": "6", "commit": "abc"}, "versions": {},
            "rows": [
                {**row, "engine": "ours", **timed}, {**row, "engine": "openvino", **run.percentiles([25_000_000])},
                {**row, "engine": "ncnn", "why_not": "another result"},
            ],
        }
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            run.show(told)
        for part in ("A LOADED MACHINE", "| ours f32 | 20.0 (20.0) |", "0.80 (openvino)", "ncnn f32: ViT-Tiny: another result"):
            self.assertIn(part, said.getvalue())


if __name__ == "__main__":
    unittest.main()
