#!/usr/bin/env python3
"""Asks other engines what the stream engine's results should be, and has them compared.

usage: run.py [--seed N] [--scale X] [--record] [ENGINE...]

Each engine is one file beside this one, `ENGINE.py`, with
    NAME              engine and version, as it goes into the records
    PACKAGES          what pip installs for it, pinned
    cases(streams, random, scale)
                      a list of cases, each a dict: "subject" (who compares it in tests/stream/recorded.rs), its settings
                      and "elements"
    answer(cases, folder)
                      one expected value for each case; `folder` is its own to keep things in

Everything goes to target/oracles: a virtual environment, what engines keep, and ENGINE.jsonl with a case and its answer in
each line. Then `cargo test --test stream recorded` compares. With --record some small cases become
tests/oracles/stream/recorded/ENGINE.jsonl, which the plain tests compare without any of the engines.

An engine is a module of the package `oracle`, which this script makes: a file named like what it imports would hide it.
REFLEXARC_COMPARED names a file that the comparison appends its outcome to, one line for each engine.
"""
import argparse
import importlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import types
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WORK = ROOT / "target" / "oracles"
NOT_ENGINES = {"run", "streams", "jvm"}
# How many cases of an engine, and of how many elements at most, are kept in the repository.
RECORDED_CASES, RECORDED_ELEMENTS = 20, 40


def load(name):
    if "oracle" not in sys.modules:
        package = types.ModuleType("oracle")
        package.__path__ = [str(HERE)]
        sys.modules["oracle"] = package
    return importlib.import_module(f"oracle.{name}")


def engines(names):
    found = [path.stem for path in sorted(HERE.glob("*.py")) if path.stem not in NOT_ENGINES]
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"error: no engine {', '.join(unknown)}\n  fix: one of {', '.join(found)}")
    return names or found


def in_environment(names):
    """Starts this script again in a virtual environment with what the engines need."""
    home = WORK / "venv"
    if pathlib.Path(sys.prefix) == home:
        return
    if not (home / "bin" / "python").exists():
        venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    # An engine's file may import its package only in `answer`, so it can be read before that is installed.
    packages = sorted({package for name in names for package in load(name).PACKAGES})
    if packages:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    os.execv(python, [python, "-B", str(HERE / "run.py"), *sys.argv[1:]])


def record(name, lines):
    small = [line for line in lines if len(line["elements"]) <= RECORDED_ELEMENTS]
    kinds = {}
    for line in small:
        kinds.setdefault(line.get("windows", {}).get("kind"), []).append(line)
    of_each = RECORDED_CASES // max(1, len(kinds))
    write(HERE / "recorded" / f"{name}.jsonl", [line for kind in kinds.values() for line in kind[:of_each]])


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text)


def main():
    sys.path = [entry for entry in sys.path if pathlib.Path(entry or ".").resolve() != HERE]
    parser = argparse.ArgumentParser(description="Compares the stream engine with others.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="1 makes above a thousand cases")
    parser.add_argument("--record", action="store_true", help="renew tests/oracles/stream/recorded")
    parser.add_argument("engines", nargs="*")
    wanted = parser.parse_args()
    chosen = engines(wanted.engines)
    WORK.mkdir(parents=True, exist_ok=True)
    in_environment(chosen)

    streams = load("streams")
    records = WORK / "recorded"
    for old in records.glob("*.jsonl"):
        old.unlink()
    for name in chosen:
        engine = load(name)
        began = time.monotonic()
        # Its own numbers for each engine: one more engine changes no other's cases.
        cases = engine.cases(streams, random.Random(f"{wanted.seed} {name}"), wanted.scale)
        folder = WORK / name
        folder.mkdir(exist_ok=True)
        answers = engine.answer(cases, folder)
        if len(answers) != len(cases):
            sys.exit(f"error: {name} answered {len(answers)} of {len(cases)} cases")
        lines = [{"engine": engine.NAME, **case, "expected": answer} for case, answer in zip(cases, answers)]
        write(records / f"{name}.jsonl", lines)
        if wanted.record:
            record(name, lines)
        print(f"{engine.NAME}: {len(cases)} cases in {time.monotonic() - began:.0f} s", flush=True)

    compare = ["cargo", "test", "--quiet", "--test", "stream", "recorded", "--", "--nocapture"]
    environment = {**os.environ, "REFLEXARC_RECORDED": str(records), "REFLEXARC_SEED": str(wanted.seed)}
    sys.exit(subprocess.run(compare, cwd=ROOT, env=environment).returncode)


if __name__ == "__main__":
    main()
