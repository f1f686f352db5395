"""The chain by polars, over everything at once. usage: polars_chain.py INPUT PASSES OUT"""
import struct
import sys
import time

import polars as pl


def main(source, passes, out):
    rows = pl.read_csv(source, has_header=False, new_columns=["at", "stream", "value"])
    readings = rows.filter(pl.col("stream") == 1).select("at", "value")
    frames = rows.filter(pl.col("stream") == 0).select("at")
    took = []
    for _ in range(passes):
        began = time.perf_counter_ns()
        means = (
            readings.lazy()
            .filter(pl.col("value") > 0.25)
            .with_columns(pl.col("value") * 2 + 1)
            .set_sorted("at")
            .group_by_dynamic("at", every="25i", period="50i", closed="left", label="left", start_by="window")
            .agg(pl.col("value").mean())
            .select(end=pl.col("at") + 50, mean="value")
            .set_sorted("end")
        )
        aligned = (
            frames.lazy()
            .set_sorted("at")
            .join_asof(means, left_on="at", right_on="end", strategy="backward", tolerance=24)
            .drop_nulls("mean")
            .select("at", "mean")
            .collect()
        )
        took.append(time.perf_counter_ns() - began)
    with open(out, "w") as file:
        for ns in took:
            print("ns", ns, sep=",", file=file)
        for at, mean in aligned.iter_rows():
            print("result", at, f"{struct.unpack('>Q', struct.pack('>d', mean))[0]:x}", sep=",", file=file)


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
