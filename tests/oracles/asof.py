#!/usr/bin/env python3
"""Makes tests/oracles/asof.txt: two streams, and what pandas, polars and DuckDB say of each instant of the first.

Run:  python3 -m venv v && v/bin/pip install pandas==3.1.1 polars==2.1.0 duckdb==2.0.0
      v/bin/python tests/oracles/asof.py [--cases N] [--seed N] [--out FILE]

All three must agree before a case is written, but for what they define differently: of two equally near elements polars
takes the later one, and of several with the same stamp the last is written (pandas takes the last behind an instant and
the first before it, polars and DuckDB do not say).

case TOLERANCE FROM TO
left AT...                  instants of the first stream, in order, each once
right AT...                 of the second, in order of arrival; its number is its place
hold N...                   number of the last at or before each instant, at most TOLERANCE old; - for none
nearest N...                number of the nearest, at most TOLERANCE away; of two the earlier; - for none
pairs N...                  how many lie from FROM to TO around each instant, both included
"""
import argparse
import pathlib
import random

import duckdb
import pandas as pd
import polars as pl

parser = argparse.ArgumentParser()
parser.add_argument("--cases", type=int, default=150)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".txt"))
arguments = parser.parse_args()
rng = random.Random(arguments.seed)
database = duckdb.connect()


def make():
    """Streams with jitter, gaps and jumps, and sometimes several elements with one stamp."""
    span = rng.choice([60, 400, 3000])
    left = sorted(rng.sample(range(span), rng.randint(1, min(40, span))))
    count = rng.randint(1, 60)
    hole = rng.randrange(span), rng.randrange(1, span)
    right = [t for t in (rng.randrange(-20, span + 20) for _ in range(count)) if not hole[0] <= t < sum(hole)] or [0]
    # Mostly in order, some a little late.
    order = sorted(range(len(right)), key=lambda i: sorted(right)[i] + rng.choice([0, 0, 0, 30]) * rng.random())
    right = [sorted(right)[i] for i in order]
    low = rng.randint(-40, 20)
    return left, right, rng.choice([0, 1, 3, 10, 50, 10_000]), low, low + rng.randint(0, 60)


def numbers(series):
    return [None if value is None or value != value else int(value) for value in series]


def answers(left, right, tolerance, low, high):
    # Of several with one stamp the one with the highest number is the last.
    table = pd.DataFrame({"t": right, "n": range(len(right))}).sort_values(["t", "n"])
    asked = pd.DataFrame({"t": left})
    asof = {
        way: numbers(pd.merge_asof(asked, table, on="t", direction=way, tolerance=tolerance)["n"])
        for way in ("backward", "nearest")
    }
    last = table.groupby("t", as_index=False).last()
    stamp, number = dict(zip(table["n"], table["t"], strict=True)), dict(zip(last["t"], last["n"], strict=True))
    asof = {way: [None if n is None else int(number[stamp[n]]) for n in ns] for way, ns in asof.items()}
    frame = pl.DataFrame({"t": last["t"].tolist(), "n": last["n"].tolist()})
    backward = pl.DataFrame({"t": left}).join_asof(frame, on="t", strategy="backward", tolerance=tolerance)
    assert backward["n"].to_list() == asof["backward"], (left, right, tolerance)
    near = pl.DataFrame({"t": left}).join_asof(frame, on="t", strategy="nearest", tolerance=tolerance)["n"].to_list()
    for t, ours, theirs in zip(left, asof["nearest"], near, strict=True):
        tie = ours is not None and theirs is not None and t - stamp[ours] == stamp[theirs] - t
        assert ours == theirs or tie, (t, ours, theirs, right)
    lefts, rights = pd.DataFrame({"t": left}), last  # noqa: F841, read by DuckDB by name
    asof_sql = """select case when lefts.t - rights.t <= ? then n end
                  from lefts asof left join rights on lefts.t >= rights.t order by lefts.t"""
    assert numbers(row[0] for row in database.execute(asof_sql, [tolerance]).fetchall()) == asof["backward"]
    everything = table  # noqa: F841, read by DuckDB by name
    pairs_sql = """select count(everything.t) from lefts left join everything
                   on everything.t between lefts.t + ? and lefts.t + ? group by lefts.t order by lefts.t"""
    pairs = [row[0] for row in database.execute(pairs_sql, [low, high]).fetchall()]
    return asof["backward"], asof["nearest"], pairs


def words(values):
    return " ".join("-" if value is None else str(value) for value in values)


with arguments.out.open("w") as out:
    for _ in range(arguments.cases):
        left, right, tolerance, low, high = make()
        hold, nearest, pairs = answers(left, right, tolerance, low, high)
        out.write(f"case {tolerance} {low} {high}\nleft {words(left)}\nright {words(right)}\n")
        out.write(f"hold {words(hold)}\nnearest {words(nearest)}\npairs {words(pairs)}\n")
print(f"{arguments.cases} cases; pandas {pd.__version__}, polars {pl.__version__}, DuckDB {duckdb.__version__}")
