#!/usr/bin/env python3
"""The scene at 1080p30 from camera to action, before and after: on candle, on the plan, with a partner, each alone and with a program
that computes without end on every core (at normal priority).

    cargo build --release && benches/scene.py target/release/reflexarc [SECONDS [ROUNDS]]

The settings take turns, so that all of them see the same machine; a round of each lasts SECONDS (120), and there are ROUNDS (2). Prints a
table and writes benches/runs/scene.json. Percentiles of several rounds are those of the worst round.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

# On two cores: frames on core 1, the action clock and the partner on core 0.
PARTNER = '[threads]\nlayout = "together"\n[encoder]\npartners = [0]\n'
SETTINGS = {
    "candle": '[encoder]\nbackend = "candle"\n',
    "plan": "",
    "plan, partner": PARTNER,
    "plan, partner, actions at 200 Hz": PARTNER + "[action]\nrate = 200\n",
}
QUANTILES = ("p50_ns", "p99_ns", "p999_ns", "max_ns")
HOG = "while True: pass"


def run(binary, config, seconds):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.toml")
        path.write_text(config)
        report = Path(folder, "report")
        command = [binary, "run", "--quiet", "--source", "scene", "--config", path, "--instruct", "look at the cat",
                   "--duration", f"{seconds}s", "--report", report]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # 1: the goals were missed, which candle may do.
        if done.returncode not in (0, 1):
            sys.exit(f"{config}: {done.stderr}")
        return json.loads(Path(report, "report.json").read_text())


def result(report):
    spans = {span["name"]: {key: span[key] for key in QUANTILES} for span in report["spans"]}
    return {
        "camera_to_action": {key: report["end_to_end"][key] for key in ("count", *QUANTILES)},
        "spans": spans,
        "source": {key: report["sources"][0][key] for key in ("in", "out", "dropped")},
        "load_average": os.getloadavg(),
    }


def with_hogs(work):
    """The least niced priority that a program has without asking: it competes with nothing that is real-time."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(os.cpu_count())]
    try:
        return work()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary = sys.argv[1]
    seconds, rounds = (int(given) if given else default for given, default in zip((sys.argv[2:] + ["", ""])[:2], (120, 2)))
    results = {f"{name}{beside}": [] for name in SETTINGS for beside in ("", ", hogs")}
    for _ in range(rounds):
        for name, config in SETTINGS.items():
            def one(config=config):
                return result(run(binary, config, seconds))

            results[name].append(one())
            results[f"{name}, hogs"].append(with_hogs(one))
    print(f"{'camera to action, ms':42} {'frames':>6} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
    for name, found in results.items():
        whole = [one["camera_to_action"] for one in found]
        times = " ".join(f"{max(one[key] for one in whole) / 1e6:8.1f}" for key in QUANTILES)
        print(f"{name:42} {sum(one['count'] for one in whole):6} {times}")
    facts = {
        "command": sys.argv,
        "seconds": seconds,
        "kernel": platform.release(),
        "processor": next(
            (l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith(("model name", "CPU part"))), ""
        ),
        "cores": os.cpu_count(),
    }
    out = Path(__file__).parent / "runs" / "scene.json"
    out.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
