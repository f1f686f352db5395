"""DuckDB: all kinds of windows over complete streams, by SQL: what they hold does not depend on when elements came."""
VERSION = "2.0.0"
NAME = f"DuckDB {VERSION}"
PACKAGES = [f"duckdb=={VERSION}"]

# Quantiles of an exact rank, as ours: floor(q (n - 1)).
STATISTICS = """
    count(*), sum(value), min(value), max(value), arg_min(number, (time, number)), arg_max(number, (time, number)),
    avg(value), var_pop(value), list_sort(list(value))[(count(*) - 1) // 2 + 1]
"""

OF_TIME = f"""
    with inside as (
        select *, unnest(range(
            {{offset}} + floor((time - {{offset}}) / {{slide}})::bigint * {{slide}},
            time - {{size}},
            -{{slide}}
        )) as start from elements
    )
    select key, start, start + {{size}}, {STATISTICS} from inside group by key, start order by start, key
"""

SESSIONS = f"""
    with breaks as (
        select *, time - lag(time) over keyed > {{gap}} as is_new from elements window keyed as (partition by key order by time, number)
    ), numbered as (
        select *, sum(coalesce(is_new, true)::int) over (partition by key order by time, number) as session from breaks
    )
    select key, min(time), max(time) + {{gap}}, {STATISTICS} from numbered group by key, session order by key, session
"""

# One row for each element, which sees all others of its key and instant.
TRAILING = """
    with windows as (
        select trigger.key, trigger.time as end_at, trigger.number as own, elements.* exclude (key)
        from elements as trigger join elements
        on elements.key = trigger.key and elements.time > trigger.time - {size} and elements.time <= trigger.time + {delay}
    )
    select key, end_at + {delay}, """ + STATISTICS + """ from windows group by key, end_at, own order by end_at, key, own
"""

# The same, by a frame of a window function: another way through DuckDB.
TRAILING_BY_FRAME = """
    select key, time, count(*) over trail, sum(value) over trail, min(value) over trail, max(value) over trail
    from elements
    window trail as (partition by key order by time range between {size} - 1 preceding and current row)
    order by time, key
"""

COUNTED = f"""
    with numbered as (
        select *, row_number() over (partition by key order by number) as place from elements
    ), ends as (
        select key, place as behind from numbered where place % {{every}} = 0 and place >= {{count}}
    ), windows as (
        select ends.behind, numbered.* from ends join numbered
        on numbered.key = ends.key and place > behind - {{count}} and place <= behind
    )
    select key, {STATISTICS} from windows group by key, behind order by key, behind
"""


def cases(streams, random, scale):
    made = []
    by_time = ["start", "end"]
    more = ["mean", "variance", "median"]
    for _ in range(round(100 * scale)):
        size, slide, offset = streams.window(random)
        windows = {"size": streams.ms(size), "slide": streams.ms(slide), "offset": streams.ms(offset)}
        numbers = {"size": size, "slide": slide, "offset": offset}
        made.append(case(streams, random, windows, [*by_time, *streams.COLUMNS, *more], OF_TIME, numbers))
    for _ in range(round(50 * scale)):
        gap = random.choice([1, 5, 20, 50, 100, 400])
        windows = {"kind": "session", "gap": streams.ms(gap), "max": "24 h", "buffer": 2000}
        made.append(case(streams, random, windows, [*by_time, *streams.COLUMNS, *more], SESSIONS, {"gap": gap}))
    for _ in range(round(80 * scale)):
        size, delay = random.choice([1, 10, 50, 250, 1000]), random.choice([0, 0, 5, 40])
        windows = {"kind": "trailing", "size": streams.ms(size), "delay": streams.ms(delay)}
        if delay == 0 and random.random() < 0.5:
            columns, query = streams.COLUMNS[:4], TRAILING_BY_FRAME
        else:
            columns, query = [*streams.COLUMNS, *more], TRAILING
        made.append(case(streams, random, windows, ["last_at", *columns], query, {"size": size, "delay": delay}))
    for _ in range(round(40 * scale)):
        count = random.randint(1, 60)
        numbers = {"count": count, "every": random.randint(1, count)}
        windows = {"kind": "count", **numbers, "lateness": "1 h"}
        made.append(case(streams, random, windows, [*streams.COLUMNS, *more], COUNTED, numbers))
    return made


def case(streams, random, windows, columns, query, numbers):
    # Nothing is late: the bound lags behind by more than the disorder.
    lag = 1000
    elements = streams.elements(
        random, random.choice([30, 50, 150, 300]), keys=3, disorder=random.choice([0, 5, 20, 80]),
    )
    return {
        "subject": "windows", "windows": {"disorder": streams.ms(lag), "keys": 3, **windows}, "lag": lag,
        "columns": ["key", *columns], "elements": elements, "duckdb": (query, numbers),
    }


def answer(cases, folder):
    import duckdb

    base = duckdb.connect()
    # Trailing rows are many; one core, as others work on this machine too.
    base.execute("set threads = 1")
    base.execute("create table elements (time bigint, key integer, value double, number bigint)")
    answers = []
    for case in cases:
        query, numbers = case.pop("duckdb")
        base.execute("delete from elements")
        rows = ",".join(f"({at}, {key}, {value}, {number})" for at, key, value, number in case["elements"])
        base.execute(f"insert into elements values {rows}")
        windows = base.execute(query.format(**numbers)).fetchall()
        answers.append({"windows": [list(row) for row in windows], "late": []})
    return answers
