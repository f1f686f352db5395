"""Apache Flink: sliding windows with lateness and an offset, sessions, counted windows; every firing, in order."""
import pathlib

from . import jvm

NAME = jvm.NAME
PACKAGES = []
# Pipelines of a job: each has its threads and buffers.
CASES_OF_A_JOB = 25


def cases(streams, random, scale):
    made = []
    for _ in range(round(330 * scale)):
        size, slide, offset = streams.window(random)
        if random.random() < 0.05:
            slide = size + random.randint(1, 40)
        lag, lateness = random.choice([0, 5, 15, 60, 200]), random.choice([0, 0, 10, 50, 200])
        windows = {
            "size": streams.ms(size), "slide": streams.ms(slide), "offset": streams.ms(offset), "allow_gaps": True,
            "lateness": streams.ms(lateness), "disorder": streams.ms(lag), "keys": 3, "emission": "eager",
        }
        flink = ["sliding", size, slide, offset, lateness]
        made.append(case(streams, random, windows, flink, lag))
    for _ in range(round(110 * scale)):
        gap = random.choice([1, 5, 20, 50, 100, 400])
        lag, lateness = random.choice([0, 5, 15, 60, 200]), random.choice([0, 0, 10, 50, 200])
        windows = {
            "kind": "session", "gap": streams.ms(gap), "max": "24 h", "lateness": streams.ms(lateness),
            "disorder": streams.ms(lag + 700), "keys": 3, "emission": "eager",
        }
        made.append(case(streams, random, windows, ["session", gap, 0, 0, lateness], lag))
    for _ in range(round(60 * scale)):
        count = random.randint(1, 60)
        every = random.randint(1, count)
        # Counted windows of Flink know no time: nothing is late.
        windows = {"kind": "count", "count": count, "every": every, "partial": True, "lateness": "1 h", "keys": 3}
        made.append(case(streams, random, windows, ["count", count, every, 0, 0], 100))
    return made


def case(streams, random, windows, flink, lag):
    disorder = random.choice([0, 5, 20, 80])
    elements = streams.elements(random, random.choice([30, 50, 150, 400]), keys=3, disorder=disorder)
    by_time = [] if flink[0] == "count" else ["start", "end"]
    return {
        "subject": "windows", "windows": windows, "lag": lag, "columns": ["key", *by_time, *streams.COLUMNS],
        "elements": elements, "flink": flink,
    }


def answer(cases, folder):
    asked = iter([[*case.pop("flink"), case["lag"]] for case in cases])

    def rows(case):
        yield ["case", *next(asked)]
        yield from case["elements"]

    answers = [{"windows": [], "late": []} for _ in cases]
    source = pathlib.Path(__file__).with_name("Flink.java")
    for place, what, fields in jvm.answers(source, cases, rows, CASES_OF_A_JOB, folder):
        answer = answers[place]
        if what == "late":
            answer["late"].append(int(fields[0]))
            continue
        row = [float(field) if "." in field else int(field) for field in fields]
        if cases[place]["windows"].get("kind") == "count":
            # A window of everything has no times.
            del row[1:3]
        answer["windows"].append(row)
    return answers
