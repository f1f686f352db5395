#!/usr/bin/env python3
"""The stream engine beside Flink, Bytewax, polars and a loop by hand, in one run. See README.md.

usage: run.py [--seconds N] [--rounds N] [--readings N] [--only latency|throughput] [--out FILE]
"""
import argparse
import bisect
import importlib
import json
import os
import pathlib
import random
import subprocess
import sys
import types
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ORACLES = ROOT / "tests" / "oracles" / "stream"
WORK = ROOT / "target" / "peers" / "streams"
PYTHON = ROOT / "target" / "oracles" / "venv" / "bin" / "python"
PACKAGES = ["polars==2.1.0", "bytewax==0.21.1"]

# What is not counted at the beginning: Java compiles what runs often.
WARM_SECONDS = 10
# A small heap of fixed size, and the collector with the least to do.
TUNED_JAVA = ["-Xms96m", "-Xmx96m", "-XX:+UseSerialGC"]

# Name, program, how often a timer gives a watermark (0: after each element), buffer timeout, whether bounds go ahead.
LATENCY = {
    "windows": [
        ("reflexarc", "ours", None, None, 0),
        ("reflexarc, bounds by the rate", "ours", None, None, 1),
        ("Flink, as it comes", "flink", 200, 100, 0),
        ("Flink, tuned", "flink tuned", 0, 0, 0),
        ("Flink, tuned, watermarks by the rate", "flink tuned", 0, 0, 1),
    ],
    "join": [
        ("reflexarc", "ours", None, None, 0),
        ("Flink, as it comes", "flink", 200, 100, 0),
        ("Flink, tuned", "flink tuned", 0, 0, 0),
    ],
    "asof": [("reflexarc", "ours", None, None, 0)],
}
THROUGHPUT = [
    ("a loop by hand", ["hand"]),
    ("reflexarc, as-of alignment", ["asof"]),
    ("reflexarc, interval join", ["join"]),
    ("polars", ["polars"]),
    ("Flink, as-of alignment written for it", ["flink", "asof", 1000, 5]),
    ("Flink, interval join", ["flink", "join", 100, 2]),
    ("Bytewax", ["bytewax"]),
]


def say(*words):
    print(*words, flush=True)


def oracle(name):
    """A module of the oracles, which know where Flink's libraries come from."""
    if "oracle" not in sys.modules:
        package = types.ModuleType("oracle")
        package.__path__ = [str(ORACLES)]
        sys.modules["oracle"] = package
    return importlib.import_module(f"oracle.{name}")


def ours():
    """Builds our side. Its path."""
    build = ["cargo", "bench", "--quiet", "--no-run", "--message-format=json", "--bench", "streams_ours"]
    done = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    made = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(one["executable"] for one in made if one.get("executable") and one["target"]["name"] == "streams_ours")


def environment():
    if not PYTHON.exists():
        venv.create(PYTHON.parents[1], with_pip=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def run(command, log):
    """Runs a program. What it used: seconds of processor, and the most memory in MiB."""
    with open(log, "w") as out:
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"error: {command[0]} failed\n  why: see {log}")
    return {"processor_s": round(used.ru_utime + used.ru_stime, 2), "peak_rss_mib": round(used.ru_maxrss / 1024, 1)}


def load():
    return pathlib.Path("/proc/loadavg").read_text().split()[0]


# --------------------------------------------------------------------------------------------- latency


def log_of(path):
    begin, taken, given = 0, [], []
    for line in path.read_text().splitlines():
        what, *numbers = line.split(",")
        numbers = [int(number) for number in numbers]
        if what == "begin":
            begin = numbers[0]
        else:
            (taken if what == "in" else given).append(numbers)
    return begin, taken, given


def expected_windows(taken):
    """Sum of each window, by end and stream."""
    sums, count = {}, [0, 0]
    for at, stream, _ in taken:
        value = count[stream] * 37 % 1024
        count[stream] += 1
        for end in (at // 25 * 25 + 25, at // 25 * 25 + 50):
            sums[end, stream] = sums.get((end, stream), 0) + value
    return sums


def delays(mode, path, ahead):
    """Checks a log, and says how long each result took: from the end of its window, and from the element that set it free."""
    begin, taken, given = log_of(path)
    times = [at for at, _, _ in taken]
    since_end, since_element = [], []
    if mode == "windows":
        sums = expected_windows(taken)
        said = {(end, stream): total for end, stream, total, _ in given}
        until = times[-1] - 100
        complete = {name: total for name, total in sums.items() if name[0] < until}
        if any(said.get(name) != total for name, total in complete.items()) or len(said) != len(given):
            sys.exit(f"error: wrong windows in {path}")
        for end, _, _, now in given:
            if WARM_SECONDS * 1000 <= end < until:
                since_end.append(now - begin - end * 1_000_000)
                # With bounds by the rate it is the last element of both streams that says so, before the end.
                free = bisect.bisect_left(times, end)
                if not ahead:
                    since_element.append(now - taken[free][2])
    elif mode == "join":
        frames = [(at, now) for at, stream, now in taken if stream == 0]
        readings = [(at, now) for at, stream, now in taken if stream == 1]
        pairs = {
            (frame, reading): max(came, also)
            for frame, came in frames
            for reading, also in readings[max(0, frame // 10 - 3):frame // 10 + 3]
            if abs(frame - reading) <= 10
        }
        if sorted(pairs) != sorted((frame, reading) for frame, _, reading, _ in given):
            sys.exit(f"error: wrong pairs in {path}")
        for frame, _, reading, now in given:
            if frame >= WARM_SECONDS * 1000:
                since_element.append(now - pairs[frame, reading])
    else:
        readings = [(at, now) for at, stream, now in taken if stream == 1]
        frames = {at: now for at, stream, now in taken if stream == 0}
        after = [at for at, _ in readings]
        for frame, _, _, now in given:
            if WARM_SECONDS * 1000 <= frame < after[-1]:
                came = readings[bisect.bisect_left(after, frame)][1]
                since_element.append(now - max(came, frames[frame]))
                since_end.append(now - frames[frame])
    return since_end, since_element


def percentiles(samples):
    """In microseconds, by nearest rank: each was really measured."""
    ordered = sorted(samples)
    at = lambda share: round(ordered[max(0, -(-len(ordered) * share // 1000) - 1)] / 1000, 1)
    return {
        "results": len(ordered), "p50": at(500), "p90": at(900), "p99": at(990), "p999": at(999), "max": at(1000),
        "percentiles_0_to_100": [at(10 * percent) for percent in range(101)],
    }


def latency(binary, flink, seconds, rounds):
    rows = {}
    for turn in range(rounds):
        for mode, setups in LATENCY.items():
            for name, program, timer, timeout, ahead in setups:
                out = WORK / "latency.csv"
                if program == "ours":
                    command = [binary, mode, seconds + WARM_SECONDS, ahead, out]
                else:
                    tuned = TUNED_JAVA if program == "flink tuned" else []
                    command = ["java", *tuned, *flink, mode, seconds + WARM_SECONDS, timer, timeout, ahead, out]
                before = load()
                used = run(command, WORK / "log")
                row = rows.setdefault((mode, name), {"end": [], "element": [], "runs": []})
                since_end, since_element = delays(mode, out, ahead)
                row["end"] += since_end
                row["element"] += since_element
                row["runs"].append({**used, "load_before": before})
                say(f"  round {turn + 1}: {mode}, {name}: {len(since_end or since_element)} results, {used}")
    groups = []
    for mode, setups in LATENCY.items():
        titles = {
            "windows": {"end": "from the end of the window", "element": "from the element that closes it"},
            "join": {"element": "from the later half of the pair"},
            "asof": {"end": "from the frame", "element": "from the reading after the frame"},
        }[mode]
        for which, title in titles.items():
            say(f"\n{mode}, {title}, us" + f"{'p50':>22}{'p99':>10}{'p99.9':>10}{'max':>10}{'results':>9}{'RSS MiB':>9}{'cores':>7}")
            for name, *_ in setups:
                row = rows[mode, name]
                if not row[which]:
                    continue
                stats = percentiles(row[which])
                rss = max(one["peak_rss_mib"] for one in row["runs"])
                cores = sum(one["processor_s"] for one in row["runs"]) / len(row["runs"]) / (seconds + WARM_SECONDS)
                say(f"  {name:44}" + "".join(f"{stats[key]:>10}" for key in ("p50", "p99", "p999", "max"))
                    + f"{stats['results']:>9}{rss:>9}{cores:>7.3f}")
                groups.append({
                    "subject": mode, "measured": title, "name": name, "unit": "us", **stats, "peak_rss_mib": rss,
                    "cores": round(cores, 4), "runs": row["runs"],
                })
    return groups


# --------------------------------------------------------------------------------------------- throughput


def write_input(path, readings):
    """Readings at 100 Hz with jitter and frames at 30, in order. The frames begin a second later."""
    chance = random.Random(1)
    rows = [(1000 + 10 * i + chance.randrange(8), 1, chance.randrange(1024) / 1024) for i in range(readings)]
    frames = readings * 3 // 10 - 60
    rows += [(2000 + i * 1000 // 30 + 9 - i * 1000 // 30 % 10, 0, None) for i in range(frames)]
    # A reading never lies at the last millisecond of its ten, and every frame does.
    rows.sort(key=lambda row: row[0])
    with open(path, "w") as out:
        for at, stream, value in rows:
            print(at, stream, "" if value is None else value, sep=",", file=out)
    return len(rows)


def throughput(binary, flink, readings, rounds):
    source = WORK / "input.csv"
    elements = write_input(source, readings)
    core = max(os.sched_getaffinity(0))
    rows, answers = {}, {}
    for turn in range(rounds):
        for name, (program, *more) in THROUGHPUT:
            out = WORK / "throughput.csv"
            command = {
                "polars": [PYTHON, "-B", HERE / "polars_chain.py", source, 3, out],
                "bytewax": [PYTHON, "-B", HERE / "bytewax_chain.py", source, 1, out],
                # The first passes are for its compiler.
                "flink": ["java", "-Xmx2g", *flink, "chain", *more[:1], source, *more[1:], out],
            }.get(program, [binary, "chain", program, source, 5, out])
            before = load()
            used = run(["taskset", "-c", core, *command], WORK / "log")
            lines = out.read_text().splitlines()
            took = [int(line.split(",")[1]) for line in lines if line.startswith("ns")]
            answers[name] = sorted(line for line in lines if line.startswith("result"))
            row = rows.setdefault(name, {"passes_ns": [], "runs": []})
            row["passes_ns"].append(took)
            row["runs"].append({**used, "load_before": before})
            say(f"  round {turn + 1}: {name}: {min(took) / elements:.1f} ns an element, {len(answers[name])} results")
    wanted = answers["a loop by hand"]
    different = [name for name, answer in answers.items() if answer != wanted]
    if different:
        sys.exit(f"error: {', '.join(different)} gave other results than the loop by hand; see {WORK}")
    say(f"\nfilter, map, window 50/25 ms, align: {elements} elements, {len(wanted)} results, the same of all, on core {core}")
    say(f"  {'':48}{'ns an element':>14}{'elements/s':>14}{'RSS MiB':>9}")
    groups = []
    for name, row in rows.items():
        # What comes before is warming up, and what comes between is other programs'.
        best = min(min(took) for took in row["passes_ns"]) / elements
        rss = max(one["peak_rss_mib"] for one in row["runs"])
        say(f"  {name:48}{best:>14.1f}{1e9 / best:>14.0f}{rss:>9}")
        groups.append({"name": name, "ns_per_element": round(best, 2), "peak_rss_mib": rss, **row})
    return {"elements": elements, "results": len(wanted), "core": core, "groups": groups}


def main():
    parser = argparse.ArgumentParser(description="The stream engine beside others.")
    parser.add_argument("--seconds", type=int, default=30, help="of each latency measurement, after a warm-up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--readings", type=int, default=300_000, help="of the throughput measurement")
    parser.add_argument("--only", choices=["latency", "throughput"])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "benches" / "runs" / "streams-peers.json")
    wanted = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    environment()
    binary = ours()
    jvm = oracle("jvm")
    flink = jvm.compiled(HERE / "FlinkStreams.java", WORK)
    facts = json.loads(subprocess.run([binary, "facts"], check=True, stdout=subprocess.PIPE).stdout)
    java = subprocess.run(["java", "-version"], check=True, stderr=subprocess.PIPE, text=True).stderr.splitlines()[0]
    told = {
        "bench": "streams-peers", "machine": facts, "java": java, "flink": jvm.VERSION, "packages": PACKAGES,
        "tuned_java": TUNED_JAVA, "seconds": wanted.seconds, "warm_seconds": WARM_SECONDS, "rounds": wanted.rounds,
    }
    say(f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_at_start']}; {java}; Flink {jvm.VERSION}")
    if wanted.only != "throughput":
        told["latency"] = latency(binary, flink, wanted.seconds, wanted.rounds)
    if wanted.only != "latency":
        told["throughput"] = throughput(binary, flink, wanted.readings, wanted.rounds)
    told["load_at_end"] = load()
    wanted.out.write_text(json.dumps(told, indent=1) + "\n")
    say(f"written: {wanted.out}")


if __name__ == "__main__":
    main()
