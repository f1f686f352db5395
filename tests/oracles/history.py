#!/usr/bin/env python3
"""Makes tests/oracles/history.txt: readings of a sensor, and what pandas and numpy say about instants among them.

Run:  python3 -m venv v && v/bin/pip install numpy pandas
      v/bin/python tests/oracles/history.py
The file was made with numpy 2.4.6 and pandas 3.1.1.

r AT_NS V0 V1 V2           a reading, in the order of arrival (some come a little late)
q AT_NS STATUS V0 V1 V2    a question: interpolated | held | missing, with values unless missing
Values have 9 digits, which tell every f32 apart. A reading is held for 100 ms; a gap above 100 ms is not bridged.
"""
import pathlib

import numpy as np
import pandas as pd

AGE_MAX = GAP_MAX = 100_000_000
rng = np.random.default_rng(20_260_101)

# 100 Hz with 2 ms of jitter, and three holes: 60 ms (bridged), exactly 100 ms (bridged), 400 ms (not).
steps = 10_000_000 + rng.integers(-2_000_000, 2_000_000, 399)
steps[100], steps[200], steps[300] = 60_000_000, GAP_MAX, 400_000_000
at = 1_000_000_000_000 + np.concatenate([[0], np.cumsum(steps)])
values = np.column_stack([np.sin(at / 3e8), np.cos(at / 2e8) * 100, rng.normal(size=at.size)])
readings = pd.DataFrame(values.astype(np.float32), columns=["a", "b", "c"])
readings["t"] = at
arrival = np.argsort(np.arange(at.size) + rng.uniform(0, 4, at.size), kind="stable")

asked = np.concatenate([
    rng.integers(at[0] - 50_000_000, at[-1] + 300_000_000, 500),
    rng.choice(at, 100),                              # exactly at a reading
    [at[-1] + AGE_MAX, at[-1] + AGE_MAX + 1, at[0] - 1],
    [at[300] + AGE_MAX, at[300] + AGE_MAX + 1],       # in the hole that is not bridged
])
questions = pd.DataFrame({"t": np.sort(asked)})
before = pd.merge_asof(questions, readings.assign(tb=at), on="t", direction="backward")
after = pd.merge_asof(questions, readings.assign(ta=at), on="t", direction="forward")
bridged = (before.tb == questions.t) | (after.ta - before.tb <= GAP_MAX)
held = ~bridged & (questions.t - before.tb <= AGE_MAX)
status = np.where(bridged, "interpolated", np.where(held, "held", "missing"))

# Relative times, so that f64 holds them exactly.
lines = {name: np.interp(questions.t - at[0], at - at[0], readings[name].astype(float)) for name in "abc"}

out = []
for k in arrival:
    out.append(f"r {at[k]} " + " ".join(f"{readings[n][k]:.9g}" for n in "abc"))
for k, s in enumerate(status):
    line = f"q {questions.t[k]} {s}"
    if s == "interpolated":
        line += "".join(f" {np.float32(lines[n][k]):.9g}" for n in "abc")
    elif s == "held":
        line += "".join(f" {before[n][k]:.9g}" for n in "abc")
    out.append(line)
pathlib.Path(__file__).with_suffix(".txt").write_text("\n".join(out) + "\n")
