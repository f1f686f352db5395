#!/usr/bin/env python3
"""The inference engines side by side, batch 1: ours, candle, onnxruntime, OpenVINO, XNNPACK, PyTorch, tract, ncnn. See README.md.

usage: run.py [--minutes N] [--threads 1,2] [--cases A,B] [--engines A,B] [--out FILE]
       run.py --prepare        builds, installs, exports and converts, and times nothing
       run.py --table [FILE] [--least]   prints the table of a run that was kept
"""
import argparse
import array
import hashlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "target" / "peers" / "engines"
CASES = WORK / "cases"
PYTHON = WORK / "venv" / "bin" / "python"
TRACT = WORK / "tract" / "release" / "reflexarc-peer-tract"
KEPT = ROOT / "benches" / "runs" / "engines.json"

# In the order of the table. What begins with `ours` is what the others are compared with.
NAMES = {
    "mobilenet-v2": "MobileNetV2", "efficientnet-lite0": "EfficientNet-Lite0", "resnet18": "ResNet18", "vit-tiny": "ViT-Tiny",
    "dinov2-small": "DINOv2-S", "minilm@9": "MiniLM, 9 tokens", "minilm@16": "MiniLM, 16 tokens",
}
ENGINES = [
    ("ours", "f32"), ("onnxruntime", "f32"), ("openvino", "f32"), ("xnnpack", "f32"), ("pytorch", "f32"), ("ncnn", "f32"),
    ("tract", "f32"), ("candle", "f32"), ("ours", "bf16"), ("openvino", "bf16"), ("ours", "int8"), ("xnnpack", "int8"),
]
# An output may differ from candle's by so much, relative to the largest value; and the cosine of both is at least that. In f32
# the order of the sums is another. Of noise through weights that nobody trained int8 keeps less than of a photograph.
LIMITS = {"f32": (1e-3, 0.99999), "bf16": (0.2, 0.99), "int8": (1.0, 0.8)}
# A turn: long enough that the first forward, which is not counted, is not most of it, and short beside the weather.
TURN_MS = 150


def say(*words):
    print(*words, flush=True)


# ------------------------------------------------------------------------------------------ preparing


def ours():
    """Builds our side. Its path."""
    build = ["cargo", "bench", "--quiet", "--no-run", "--message-format=json", "--bench", "engines_ours"]
    done = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    made = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(one["executable"] for one in made if one.get("executable") and one["target"]["name"] == "engines_ours")


def environment():
    """Python's packages, once for each content of the two lists."""
    stamp, lists = WORK / "installed", {"requirements.txt": [], "requirements-convert.txt": ["--no-deps"]}
    wanted = "".join((HERE / name).read_text() for name in lists)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        venv.create(PYTHON.parents[1], with_pip=True)
    for name, more in lists.items():
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *more, "-r", HERE / name], check=True)
    # A gigabyte that only GPUs want.
    subprocess.run([PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "triton"], check=True)
    stamp.write_text(wanted)


def prepare():
    WORK.mkdir(parents=True, exist_ok=True)
    environment()
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", HERE / "tract" / "Cargo.toml"]
    subprocess.run(build, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(WORK / "tract")})
    binary = ours()
    subprocess.run([binary, "export", CASES], check=True)
    # What the peers' files are made of.
    made_of = [HERE / name for name in ("networks.py", "convert.py", "requirements-convert.txt")]
    for case in NAMES:
        made_of += [path for name in ("weights.safetensors", "input.bin", "calibration.bin") if (path := CASES / case / name).exists()]
    wanted = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in made_of)).hexdigest()
    stamp = CASES / "converted"
    if not stamp.exists() or stamp.read_text() != wanted:
        say("converting for the peers: some minutes; what the converters say is in", WORK / "convert.log")
        with open(WORK / "convert.log", "w") as log:
            done = subprocess.run([PYTHON, "-B", HERE / "convert.py", CASES, *NAMES], stdout=log, stderr=log)
        if done.returncode:
            sys.exit(f"error: the cases could not be converted\n  why: see {WORK / 'convert.log'}")
        stamp.write_text(wanted)
    return binary


# --------------------------------------------------------------------------------------------- engines


class Engine:
    """A process that lives as long as the run, and that the kernel stops while it is another's turn."""

    def __init__(self, name, precision, threads, cores, binary):
        self.name, self.precision = name, precision
        peer = [PYTHON, "-B", HERE / "engine.py", name, precision, threads]
        command = {
            "ours": [binary, "serve", "plan", precision, threads], "candle": [binary, "serve", "candle", precision, threads],
            "tract": [TRACT],
        }.get(name, peer)
        environment = {
            **os.environ, "RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads),
        }
        pinned = ["taskset", "-c", ",".join(str(core) for core in cores), *command]
        self.log = WORK / f"{name}-{precision}-{threads}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in pinned], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment,
            )
        self.is_dead = False
        os.kill(self.process.pid, signal.SIGSTOP)

    def ask(self, *words):
        """Its turn: a question and an answer. None where it died of it."""
        if self.is_dead:
            return None
        os.kill(self.process.pid, signal.SIGCONT)
        try:
            self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.is_dead = True
            return None
        os.kill(self.process.pid, signal.SIGSTOP)
        return answer

    def load(self, case):
        """Makes it ready. Why it is not, if it is not, and how far its output is from candle's."""
        file = {("tract", "f32"): "model.onnx", ("onnxruntime", "f32"): "model.onnx", ("openvino", "f32"): "model.onnx",
                ("openvino", "bf16"): "model.onnx", ("xnnpack", "f32"): "model.tflite", ("xnnpack", "int8"): "model.int8.tflite",
                ("pytorch", "f32"): "model.pt", ("ncnn", "f32"): "model.ncnn.param"}.get((self.name, self.precision))
        why = json.loads((CASES / case / "why.json").read_text())
        if file in why:
            return {"why_not": f"not converted: {why[file]}"}
        output = WORK / "output.bin"
        output.unlink(missing_ok=True)
        answer = self.ask("load", case, CASES / case, output)
        if answer != "ok":
            return {"why_not": f"died, see {self.log.name}" if answer is None else answer.removeprefix("no ")}
        error, cosine = distance(floats(output), floats(CASES / case / "expected.bin"))
        error_max, cosine_min = LIMITS[self.precision]
        found = {"largest_error": error, "cosine": cosine}
        if not (error <= error_max and cosine >= cosine_min):
            found["why_not"] = f"another result: largest error {error:.1e}, cosine {cosine:.4f}"
        return found

    def end(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def floats(path):
    values = array.array("f")
    values.frombytes(path.read_bytes())
    return values


def distance(got, expected):
    """The largest difference relative to the largest value, and the cosine. Not a number where one of them is not."""
    if len(got) != len(expected):
        return math.nan, math.nan
    largest = max(abs(value) for value in expected)
    error = max(abs(a - b) for a, b in zip(got, expected)) / largest if all(map(math.isfinite, got)) else math.nan
    product = sum(a * b for a, b in zip(got, expected))
    lengths = math.sqrt(sum(a * a for a in got) * sum(b * b for b in expected))
    return error, product / lengths if lengths else math.nan


# ---------------------------------------------------------------------------------------------- timing


def busy_s():
    """What all cores have done since the machine's start, and what was taken from it by its host."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def own_s(engines):
    """What this process and the engines have done."""
    total = time.process_time()
    for engine in engines:
        try:
            text = pathlib.Path(f"/proc/{engine.process.pid}/stat").read_text()
        except OSError:
            continue
        user, system = text.rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def in_turns(engines, seconds):
    """Nanoseconds of each forward of each engine, and processor time of all of its."""
    taken = {engine: [] for engine in engines}
    used, spent = dict.fromkeys(engines, 0), dict.fromkeys(engines, 0.0)
    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end or turn < 2:
        fair = sorted(spent.values())[len(spent) // 2] + 2 * TURN_MS / 1000
        for index in range(len(engines)):
            engine = engines[(turn + index) % len(engines)]
            # Who is so slow that a forward is longer than a turn sits out until the others have caught up.
            if spent[engine] > fair or engine.is_dead:
                continue
            begin = time.monotonic()
            answer = engine.ask("time", TURN_MS)
            spent[engine] += time.monotonic() - begin
            if answer:
                cpu, *ns = map(int, answer.split())
                used[engine] += cpu
                taken[engine] += ns
        turn += 1
    return taken, used


def percentiles(ns):
    """In milliseconds, by nearest rank: each was really measured. p99.9 of fewer than 1000 forwards is their greatest."""
    ordered = sorted(ns)
    at = lambda share: round(ordered[max(0, -(-len(ordered) * share // 1000) - 1)] / 1e6, 4)
    return {
        "forwards": len(ordered), "min": at(0), "p50": at(500), "p90": at(900), "p99": at(990), "p999": at(999), "max": at(1000),
        "percentiles_0_to_100": [at(10 * percent) for percent in range(101)],
    }


def measure(wanted, binary, threads, seconds):
    """All cases with so many threads."""
    count = os.cpu_count()
    cores = list(range(count - threads, count))
    engines = [Engine(name, precision, threads, cores, binary) for name, precision in ENGINES if wanted_engine(wanted, name, threads)]
    rows = []
    try:
        for index, case in enumerate(wanted.cases):
            left = seconds - (time.monotonic() - wanted.begin)
            begin, found, ready = time.monotonic(), {}, []
            for engine in engines:
                found[engine] = engine.load(case)
                if "why_not" not in found[engine]:
                    ready.append(engine)
            loading = time.monotonic() - begin
            (busy, stolen), own, begin = busy_s(), own_s(engines), time.monotonic()
            taken, used = in_turns(ready, max(2, left / (len(wanted.cases) - index) - loading))
            wall, (busy_now, stolen_now) = time.monotonic() - begin, busy_s()
            others = max(0, busy_now - busy - own_s(engines) + own) / wall
            for engine in engines:
                row = {"case": case, "engine": engine.name, "precision": engine.precision, "threads": threads, **found[engine]}
                if taken.get(engine):
                    row |= percentiles(taken[engine])
                    row["processor_per_wall"] = round(used[engine] / sum(taken[engine]), 3)
                rows.append({**row, "others_cores": round(others, 3), "stolen_cores": round((stolen_now - stolen) / wall, 3)})
            best = min((row for row in rows[-len(engines):] if "p50" in row), key=lambda row: row["p50"])
            say(f"  {NAMES[case]}, {threads} thread{'s' * (threads > 1)}: {sum(map(len, taken.values()))} forwards in {wall:.0f} s, "
                f"fastest {best['engine']} {best['precision']} {best['p50']} ms; others used {others:.2f} cores")
    finally:
        for engine in engines:
            engine.end()
    return rows


def wanted_engine(wanted, name, threads):
    # tract has one thread.
    return (not wanted.engines or name in wanted.engines) and not (name == "tract" and threads > 1)


# ----------------------------------------------------------------------------------------------- table


def show(told, least=False):
    """The table of a run, in Markdown, in ms: p50 (p99), or the least, which is what a loaded machine still tells."""
    facts = told["machine"]
    quiet = max(row["others_cores"] for row in told["rows"])
    say(f"{facts['cpu']}, {facts['cores']} cores, {', '.join(facts['flags'])}; Linux {facts['kernel']}; commit {facts['commit']}")
    say(f"{told['versions']}")
    say(f"other programs used at most {quiet:.2f} cores meanwhile" + (": A LOADED MACHINE" if quiet > 0.1 else ""))
    for threads in sorted({row["threads"] for row in told["rows"]}):
        rows = {(row["case"], row["engine"], row["precision"]): row for row in told["rows"] if row["threads"] == threads}
        cases = [case for case in NAMES if any(case == key[0] for key in rows)]
        say(f"\n{threads} thread{'s' * (threads > 1)}, ms: {'the least' if least else 'p50 (p99)'}\n")
        say("| | " + " | ".join(NAMES[case] for case in cases) + " |\n|" + "---|" * (len(cases) + 1))
        for name, precision in ENGINES:
            cells = [rows.get((case, name, precision), {}) for case in cases]
            if any("p50" in one for one in cells):
                say(f"| {name} {precision} | " + " | ".join(cell(one, least) for one in cells) + " |")
        for precision in LIMITS:
            line = [ratio(rows, case, precision, "min" if least else "p50") for case in cases]
            if any(line):
                say(f"| **ours / best other, {precision}** | " + " | ".join(line) + " |")
    left_out = {}
    for row in told["rows"]:
        if "why_not" in row:
            left_out.setdefault((row["engine"], row["precision"], row["why_not"]), {})[NAMES[row["case"]]] = None
    say("\nleft out:" if left_out else "")
    for (name, precision, why), cases in left_out.items():
        say(f"  {name} {precision}: {', '.join(cases)}: {why}")


def cell(row, least):
    if "p50" not in row:
        return "-"
    digits = max(0, 2 - int(math.log10(max(row["p50"], 1))))
    if least:
        return f"{row['min']:.{digits}f}"
    return f"{row['p50']:.{digits}f} ({row['p99']:.{digits}f})"


def ratio(rows, case, precision, key):
    timed = {at[1]: row for at, row in rows.items() if at[0] == case and at[2] == precision and "p50" in row}
    others = {name: row for name, row in timed.items() if name != "ours"}
    if "ours" not in timed or not others:
        return ""
    best = min(others, key=lambda name: others[name][key])
    return f"{timed['ours'][key] / others[best][key]:.2f} ({best})"


def versions():
    found = {}
    for line in subprocess.run(
        [PYTHON, "-m", "pip", "list", "--format=json"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()[:1]:
        found = {one["name"]: one["version"] for one in json.loads(line)}
    names = {"onnxruntime": "onnxruntime", "openvino": "OpenVINO", "ai-edge-litert": "XNNPACK in ai-edge-litert", "torch": "PyTorch",
             "ncnn": "ncnn"}
    told = {shown: found[name] for name, shown in names.items()}
    for name, path in (("tract-onnx", HERE / "tract" / "Cargo.lock"), ("candle-core", ROOT / "Cargo.lock")):
        told[name] = path.read_text().split(f'name = "{name}"\nversion = "')[1].split('"')[0]
    return told


def main():
    parser = argparse.ArgumentParser(description="The inference engines side by side.")
    parser.add_argument("--minutes", type=float, default=12, help="of timing, with loading")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--cases", default=",".join(NAMES))
    parser.add_argument("--engines", default="")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--table", nargs="?", const=KEPT, type=pathlib.Path)
    parser.add_argument("--least", action="store_true", help="with --table: the least of each in place of p50 (p99)")
    parser.add_argument("--out", type=pathlib.Path, default=KEPT)
    wanted = parser.parse_args()
    if wanted.table:
        return show(json.loads(wanted.table.read_text()), wanted.least)
    wanted.cases = wanted.cases.split(",")
    wanted.engines = [name for name in wanted.engines.split(",") if name]
    binary = prepare()
    if wanted.prepare:
        return None
    facts = json.loads(subprocess.run([binary, "facts"], check=True, stdout=subprocess.PIPE).stdout)
    told = {
        "bench": "engines", "machine": facts, "versions": versions(), "turn_ms": TURN_MS, "limits": LIMITS,
        "units": "ms", "rows": [],
    }
    counts = [int(count) for count in wanted.threads.split(",")]
    # One thread is what most robots have left over.
    shares = [2 if count == 1 else 1 for count in counts]
    wanted.begin = time.monotonic()
    for index, count in enumerate(counts):
        until = 60 * wanted.minutes * sum(shares[:index + 1]) / sum(shares)
        told["rows"] += measure(wanted, binary, count, until)
    told["load_at_end"] = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    wanted.out.write_text(json.dumps(told, indent=1) + "\n")
    show(told)
    say(f"\nwritten: {wanted.out}")


if __name__ == "__main__":
    main()
