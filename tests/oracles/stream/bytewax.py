"""Bytewax: tumbling and sliding windows, and sessions, by its own rule of lateness.

There an element is late when it lies before the watermark, also if a window that it is in is still open: `late =
"element"`. Each key has a watermark of its own there, so a case has one key. Its watermark also moves with the system's
clock, which here stands still.

Of a session it says the number, not the times, so those are compared by their elements.
"""
from collections import defaultdict
from datetime import datetime, timedelta, timezone

VERSION = "0.21.1"
NAME = f"Bytewax {VERSION}"
PACKAGES = [f"bytewax=={VERSION}"]

EPOCH = datetime.fromtimestamp(0, timezone.utc)


def cases(streams, random, scale):
    made = []
    for _ in range(round(150 * scale)):
        size, slide, offset = streams.window(random)
        # Its offset is an instant that windows begin at; by default that of 1970.
        lag = random.choice([0, 5, 15, 60, 200])
        windows = {
            "size": streams.ms(size), "slide": streams.ms(slide), "offset": streams.ms(offset), "late": "element",
            "disorder": streams.ms(lag),
        }
        made.append(case(streams, random, windows, ["start", "end"], lag, (size, slide, offset)))
    for _ in range(round(50 * scale)):
        gap = random.choice([1, 5, 20, 50, 100, 400])
        # Nothing is late: the lag is above any disorder of the stream.
        windows = {"kind": "session", "gap": streams.ms(gap), "max": "24 h", "disorder": "1 s", "buffer": 2000}
        made.append(case(streams, random, windows, [], 1000, (gap,)))
    return made


def case(streams, random, windows, by_time, lag, bytewax):
    disorder = random.choice([0, 5, 20, 80])
    elements = streams.elements(random, random.choice([30, 50, 150, 400]), disorder=disorder)
    return {
        "subject": "windows", "windows": windows, "lag": lag, "columns": ["key", *by_time, *streams.COLUMNS],
        "elements": elements, "bytewax": bytewax,
    }


def answer(cases, folder):
    return [one(case, case.pop("bytewax")) for case in cases]


def statistics(rows):
    """Count, sum, least, greatest, numbers of first and last."""
    rows = sorted(rows, key=lambda row: (row[0], row[3]))
    values = [row[2] for row in rows]
    return [len(rows), sum(values), min(values), max(values), rows[0][3], rows[-1][3]]


def one(case, sizes):
    import bytewax.operators as op
    import bytewax.operators.windowing as w
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    ms = lambda n: timedelta(milliseconds=n)
    clock = w.EventClock(
        ts_getter=lambda row: EPOCH + ms(row[0]), wait_for_system_duration=ms(case["lag"]),
        now_getter=lambda: EPOCH, to_system_utc=lambda at: None,
    )
    if len(sizes) == 1:
        windower = w.SessionWindower(gap=ms(sizes[0]))
    else:
        size, slide, offset = sizes
        windower = w.SlidingWindower(length=ms(size), offset=ms(slide), align_to=EPOCH + ms(offset))
    closed, late = [], []
    flow = Dataflow("case")
    rows = op.input("rows", flow, TestingSource(case["elements"], batch_size=1))
    keyed = op.key_on("key", rows, lambda row: str(row[1]))
    given = w.collect_window("windows", keyed, clock, windower)
    op.output("closed", given.down, TestingSink(closed))
    op.output("late", given.late, TestingSink(late))
    run_main(flow)

    windows = []
    for key, (window, elements) in closed:
        times = []
        if len(sizes) == 3:
            start = sizes[2] + window * sizes[1]
            times = [start, start + sizes[0]]
        windows.append([int(key), *times, *statistics(elements)])
    if len(sizes) == 1:
        # It closes those that are left in no order of time.
        windows.sort(key=lambda row: next(e[0] for e in case["elements"] if e[3] == row[5]))
    # An element is told as late once for each window it would have been in.
    return {"windows": windows, "late": sorted({row[3] for _, (_, row) in late})}
