"""polars: windows of time and trailing ones over complete streams, by `group_by_dynamic` and `rolling`.

It leaves out windows that begin before the first element of a key; so each key gets an element long before its first one,
and the windows of that are passed over.
"""
VERSION = "2.1.0"
NAME = f"polars {VERSION}"
PACKAGES = [f"polars=={VERSION}"]

# Longer than any window, in milliseconds.
BEFORE = 3_600_000
COLUMNS = ["count", "sum", "min", "max", "first", "last", "mean", "variance", "median"]


def cases(streams, random, scale):
    made = []
    for _ in range(round(100 * scale)):
        size, slide, offset = streams.window(random)
        windows = {"size": streams.ms(size), "slide": streams.ms(slide), "offset": streams.ms(offset)}
        made.append(case(streams, random, windows, ["start", "end"], (size, slide, offset)))
    for _ in range(round(60 * scale)):
        size = random.choice([1, 10, 50, 250, 1000])
        windows = {"kind": "trailing", "size": streams.ms(size)}
        made.append(case(streams, random, windows, ["last_at"], (size,)))
    return made


def case(streams, random, windows, by_time, sizes):
    lag = 1000
    elements = streams.elements(
        random, random.choice([30, 50, 150, 300]), keys=3, disorder=random.choice([0, 5, 20, 80]),
    )
    return {
        "subject": "windows", "windows": {"disorder": streams.ms(lag), "keys": 3, **windows}, "lag": lag,
        "columns": ["key", *by_time, *COLUMNS], "elements": elements, "polars": sizes,
    }


def answer(cases, folder):
    return [one(case["elements"], case.pop("polars")) for case in cases]


def one(elements, sizes):
    import polars as pl

    value = pl.col("value")
    statistics = [
        pl.len().alias("count"), value.sum().alias("sum"), value.min().alias("min"), value.max().alias("max"),
        pl.col("number").first().alias("first"), pl.col("number").last().alias("last"),
        value.mean().alias("mean"), value.var(ddof=0).alias("variance"),
        value.sort().get((pl.len() - 1) // 2).alias("median"),
    ]
    keys = sorted({key for _, key, _, _ in elements})
    first = min(at for at, _, _, _ in elements)
    windows = []
    if len(sizes) == 1:
        frame = table(pl, elements)
        rolled = frame.rolling("at", period=f"{sizes[0]}ms", closed="right", group_by="key").agg(statistics)
        for row in rolled.sort("at", "key").iter_rows(named=True):
            windows.append([row["key"], milliseconds(row["at"]), *(row[name] for name in COLUMNS)])
        return {"windows": windows, "late": []}
    size, slide, offset = sizes
    before = [[first - BEFORE, key, 0.0, -1] for key in keys]
    frame = table(pl, before + elements)
    grouped = frame.group_by_dynamic(
        "at", every=f"{slide}ms", period=f"{size}ms", offset=f"{offset}ms", closed="left", label="left",
        start_by="window", group_by="key",
    ).agg(statistics)
    for row in grouped.sort("at", "key").iter_rows(named=True):
        if row["last"] >= 0 or row["count"] > 1:
            start = milliseconds(row["at"])
            windows.append([row["key"], start, start + size, *(row[name] for name in COLUMNS)])
    return {"windows": windows, "late": []}


def table(pl, rows):
    columns = {"at": pl.Int64, "key": pl.Int32, "value": pl.Float64, "number": pl.Int64}
    frame = pl.DataFrame(rows, schema=columns, orient="row").sort("key", "at", "number")
    return frame.with_columns(pl.from_epoch("at", time_unit="ms").cast(pl.Datetime("ms")))


def milliseconds(at):
    from datetime import datetime, timedelta

    return (at - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
