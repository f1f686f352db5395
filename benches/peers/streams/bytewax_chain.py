"""The chain by Bytewax. usage: bytewax_chain.py INPUT PASSES OUT

It has no interval join. Windows end at multiples of 25 ms and frames lie further apart than that, so a frame's window is the
one with its own multiple: an inner join by that number, which forgets a pair once it has given it.
"""
import struct
import sys
import time
from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import bytewax.operators.windowing as w
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

EPOCH = datetime.fromtimestamp(0, timezone.utc)
ms = lambda n: timedelta(milliseconds=n)


def flow(rows, given):
    clock = w.EventClock(
        ts_getter=lambda row: row[0], wait_for_system_duration=ms(0), now_getter=lambda: EPOCH, to_system_utc=lambda at: None,
    )
    windower = w.SlidingWindower(length=ms(50), offset=ms(25), align_to=EPOCH)

    def add(sums, row):
        sums[0] += 1
        sums[1] += row[3]
        return sums

    def merged(a, b):
        return [a[0] + b[0], a[1] + b[1]]

    chain = Dataflow("chain")
    everything = op.input("rows", chain, TestingSource(rows, batch_size=1000))
    sides = op.branch("sides", everything, lambda row: row[2] == 1)
    kept = op.filter("filter", sides.trues, lambda row: row[3] > 0.25)
    mapped = op.map("map", kept, lambda row: (row[0], row[1], row[2], row[3] * 2 + 1))
    keyed = op.key_on("key", mapped, lambda row: "")
    windows = w.fold_window("windows", keyed, clock, windower, lambda: [0, 0.0], add, merged)
    # Window 0 begins at the epoch, and each ends 50 ms after it began.
    means = op.map("means", windows.down, lambda item: (str(item[1][0] + 2), item[1][1][1] / item[1][1][0]))
    frames = op.map("frames", sides.falses, lambda row: (str(row[1] // 25), row[1]))
    joined = op.join("align", means, frames, emit_mode="complete")
    op.output("out", joined, TestingSink(given))
    return chain


def main(source, passes, out):
    rows = []
    with open(source) as lines:
        for line in lines:
            at, stream, value = line.rstrip("\n").split(",")
            # Its time as Bytewax wants it is made here, and not measured.
            rows.append((EPOCH + ms(int(at)), int(at), int(stream), float(value or 0)))
    with open(out, "w") as file:
        for _ in range(passes):
            given = []
            chain = flow(rows, given)
            began = time.perf_counter_ns()
            run_main(chain)
            print("ns", time.perf_counter_ns() - began, sep=",", file=file)
        for _, (mean, at) in given:
            print("result", at, f"{struct.unpack('>Q', struct.pack('>d', mean))[0]:x}", sep=",", file=file)


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
