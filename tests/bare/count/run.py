"""How many instructions each kernel takes on an emulated Cortex-A76: `scripts/arm count`.

Each kernel runs once and three times under a plugin of QEMU that counts; half the difference is one run, without what comes
before and after. What is written is exact and the same on every machine, but for another compiler.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TARGET = "aarch64-unknown-linux-gnu"
CPU = "cortex-a76"
SETS = ("portable", "neon")
# What the plugin interface is called in the versions of QEMU: 7 and 8 want 1, 9 and later more.
INTERFACES = (1, 2, 3, 4, 5)


def build() -> Path:
    package = HERE.parent / "Cargo.toml"
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", package, "--target", TARGET, "--bin", "count"], check=True
    )
    return Path(os.environ["CARGO_TARGET_DIR"]) / TARGET / "release" / "count"


def plugin(qemu: str, binary: Path) -> Path:
    """Built for the first interface that this emulator accepts."""
    library = Path(os.environ["CARGO_TARGET_DIR"]) / "instructions.so"
    for interface in INTERFACES:
        subprocess.run(
            ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", f"-DAPI={interface}", HERE / "instructions.c", "-o", library],
            check=True,
        )
        tried = subprocess.run([qemu, "-cpu", CPU, "-plugin", library, binary], capture_output=True, text=True, check=False)
        if tried.returncode == 0 and "instructions" in tried.stderr:
            return library
    print(f"error: {qemu} takes no plugins: {tried.stderr.strip()}", file=sys.stderr)
    print("  fix: install an emulator that was built with them, as those of Debian and Ubuntu are", file=sys.stderr)
    raise SystemExit(10)


class Counter:
    def __init__(self, qemu: str, binary: Path):
        self.start = [qemu, "-cpu", CPU, "-plugin", plugin(qemu, binary), binary]

    def once(self, kernel: str, set_: str, times: int) -> tuple[int, int]:
        """Instructions of the whole program, and units of one time."""
        done = subprocess.run([*self.start, kernel, set_, str(times)], capture_output=True, text=True, check=True)
        counted = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("instructions ")]
        return int(counted[0]), int(done.stdout)

    def __call__(self, kernel: str, set_: str) -> float:
        (one, units), (three, _) = self.once(kernel, set_, 1), self.once(kernel, set_, 3)
        return (three - one) / 2 / units


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "benches/runs/instructions-aarch64.json")
    arguments = parser.parse_args()
    binary = build()
    listed = subprocess.run([arguments.qemu, binary], capture_output=True, text=True, check=True)
    counter = Counter(arguments.qemu, binary)
    rows = []
    print(f"| kernel | unit | {' | '.join(SETS)} | ratio |\n|---|---|{'---|' * (len(SETS) + 1)}")
    for line in listed.stdout.splitlines():
        kernel, unit = line.split("\t")
        counts = {set_: round(counter(kernel, set_), 4) for set_ in SETS}
        rows.append({"kernel": kernel, "unit": unit, "instructions": counts})
        portable, neon = (counts[set_] for set_ in SETS)
        print(f"| {kernel} | {unit} | {portable:.3f} | {neon:.3f} | {neon / portable:.2f} |", flush=True)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = subprocess.run([arguments.qemu, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    kept = {"processor": CPU, "compiler": rustc, "emulator": versions, "kernels": rows}
    arguments.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
