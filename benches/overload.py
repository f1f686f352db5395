#!/usr/bin/env python3
"""What each policy of a link does under overload: the same pipeline, the same source, only [links.frames] differs.

    cargo build --release && benches/overload.py target/release/reflexarc [SECONDS]

Prints a table and writes benches/runs/overload.json. That latency does not grow with the backlog shows in its first and last
quarter, which must be alike. No claim is made here; docs/scaling.md has what it came to.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = """
[camera]
source = "synthetic:640x480@240"
[camera.synthetic]
slots = 8
[encoder]
backend = "{backend}"
[policy]
name = "still"
[threads]
layout = "capture-apart"
[links.frames]
{link}
"""

POLICIES = {
    "newest-only": 'when_full = "newest-only"',
    "drop-oldest, room 5": 'when_full = "drop-oldest"',
    "drop-newest, room 5": 'when_full = "drop-newest"',
    "block, room 5": 'when_full = "block"',
    "drop-newest, room 5, expire 50 ms": 'when_full = "drop-newest"\nexpire = "50 ms"',
    "newest-only, one of 8": 'one_of = 8',
}
QUANTILES = ("p50_ns", "p99_ns", "p999_ns", "max_ns")


def run(binary, link, seconds, backend):
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "run.toml")
        config.write_text(CONFIG.format(link=link, backend=backend))
        report = Path(folder, "report")
        command = [binary, "run", "--quiet", "--config", config, "--duration", f"{seconds}s", "--report", report]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # 1: the goals were missed, which is the point.
        if done.returncode not in (0, 1):
            sys.exit(f"{link}: {done.stderr}")
        return json.loads(Path(report, "report.json").read_text())


def result(report):
    whole = report["end_to_end"]
    link = next(l for l in report["links"] if l["name"] == "capture -> features")
    work = next(s for s in report["stages"] if s["name"] == "features")["work"]
    timeline = next(t for t in report["timelines"] if t["name"] == "camera to action")["points"]
    quarter = max(1, len(timeline) // 4)

    def middle(points):
        found = sorted(p["p50_ns"] for p in points if p["count"])
        return found[len(found) // 2] if found else None

    return {
        "camera_to_action": {key: whole[key] for key in ("count", *QUANTILES)},
        "first_quarter_p50_ns": middle(timeline[:quarter]),
        "last_quarter_p50_ns": middle(timeline[-quarter:]),
        "features_work_p50_ns": work["p50_ns"],
        "link": {key: link[key] for key in ("in", "out", "dropped", "in_flight")},
        "source": {key: report["sources"][0][key] for key in ("in", "out", "dropped")},
    }


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    backend = os.environ.get("BACKEND", "plan-avx2")
    results = {}
    for name, link in POLICIES.items():
        results[name] = found = result(run(binary, link, seconds, backend))
        times = " ".join(f"{found['camera_to_action'][key] / 1e6:8.1f}" for key in QUANTILES)
        quarters = [(found[f"{end}_quarter_p50_ns"] or 0) / 1e6 for end in ("first", "last")]
        print(f"{name:36} {found['camera_to_action']['count']:6} {times}   {quarters[0]:.1f} -> {quarters[1]:.1f}", flush=True)
    facts = {
        "command": sys.argv,
        "seconds": seconds,
        "backend": backend,
        "kernel": platform.release(),
        "processor": next(
            (l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith(("model name", "CPU part"))), ""
        ),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    out = Path(__file__).parent / "runs" / "overload.json"
    out.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
