"""Apache Flink's interval join: every pair, with its time, and every late element.

One element goes in at a time, so what is late does not depend on how the two inputs happen to be read.

Flink differs from us in two things. Its watermark `w` says that nothing at or before `w` comes any more, and its windows hold
such an element to be late, but its interval join takes one at exactly `w`, and pairs it with what its clean-up has left.
Ours drops it, like everything before the bound `w + 1`. The comparison leaves these elements and their pairs out, and
counts them. And where both sides are silent, it goes as far as the one that has come furthest; the comparison tells us so.
"""
import pathlib

from . import jvm

NAME = f"{jvm.NAME}, interval join"
PACKAGES = []
# Each waits for its source at every element.
CASES_OF_A_JOB = 10
SILENT = -1


def cases(streams, random, scale):
    return [case(streams, random) for _ in range(round(500 * scale))]


def case(streams, random):
    keys = random.choice([1, 1, 3])
    disorder = random.choice([0, 5, 20, 80])
    count = random.choice([15, 40, 80, 150])
    # Both from one stream: so they lie beside each other in time, with the same gaps and jumps.
    made = streams.elements(random, count, keys=keys, disorder=disorder)
    share = random.choice([0.5, 0.5, 0.25, 0.9])
    # One side may be behind the other, as a camera is behind the sensors.
    behind = random.choice([0, 0, 0, 15, 300])
    rows, silent = [], random.choice([0, 0, 0.05])
    for at, key, _, number in made:
        side = int(random.random() < share)
        rows.append([at - behind * side, key, side, number])
        if random.random() < silent:
            rows.append([0, SILENT, random.randrange(2), count + number])
    reach = random.choice([0, 1, 10, 50, 200])
    low = random.choice([-reach, 0, random.randint(-60, 60)])
    high = low + random.choice([0, 1, reach, 2 * reach, random.randint(0, 80)])
    excluded = [random.random() < 0.2 and high - low > 2 for _ in range(2)]
    lags = [random.choice([0, 0, 5, 15, 60, 200, 5000]) for _ in range(2)]
    return {
        "subject": "join", "from": streams.ms(low), "to": streams.ms(high), "exclusive": excluded, "lags": lags,
        "elements": rows, "flink": [low, high, *map(int, excluded), *lags],
    }


def answer(cases, folder):
    asked = [case.pop("flink") for case in cases]
    numbers = iter(asked)

    def rows(case):
        yield ["case", *next(numbers)]
        yield from case["elements"]

    answers = [{"pairs": [], "late": []} for _ in cases]
    source = pathlib.Path(__file__).with_name("FlinkJoin.java")
    for place, what, fields in jvm.answers(source, cases, rows, CASES_OF_A_JOB, folder):
        numbers_said = [int(field) for field in fields]
        if what == "late":
            answers[place]["late"].append(numbers_said[0])
        else:
            answers[place]["pairs"].append(numbers_said)
    return answers
