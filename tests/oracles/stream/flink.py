"""Apache Flink: sliding windows with lateness and an offset, sessions, counted windows; every firing, in order.

Needs Java 17 or newer with its compiler. The libraries are 329 MB; two of their files are kept.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

VERSION = "2.3.0"
NAME = f"Flink {VERSION}"
PACKAGES = []
# Pipelines of a job: each has its threads and buffers.
CASES_OF_A_JOB = 25
OPENS = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("util", "lang", "time")]


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


def libraries(folder):
    """flink-dist and its logging, out of the source package that carries them."""
    lib = folder / f"lib-{VERSION}"
    if lib.exists():
        return lib
    with tempfile.TemporaryDirectory(dir=folder) as there:
        there = pathlib.Path(there)
        fetch = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(there),
                 f"apache-flink-libraries=={VERSION}"]
        subprocess.run([sys.executable, "-m", "pip", *fetch], check=True)
        unpacked = there / "lib"
        unpacked.mkdir()
        with tarfile.open(next(there.glob("*.tar.gz"))) as package:
            for member in package:
                name = pathlib.PurePosixPath(member.name).name
                if re.fullmatch(r"(flink-dist|log4j-(api|core|1\.2-api|slf4j-impl))-.*\.jar", name):
                    with package.extractfile(member) as jar, open(unpacked / name, "wb") as out:
                        shutil.copyfileobj(jar, out)
        unpacked.rename(lib)
    return lib


def answer(cases, folder):
    if not shutil.which("javac"):
        print("error: no javac\n  why: Flink runs in Java\n  fix: apt-get install openjdk-17-jdk-headless, or name other "
              "engines", file=sys.stderr)
        sys.exit(10)
    lib = libraries(folder)
    source = pathlib.Path(__file__).with_name("Flink.java")
    subprocess.run(["javac", "-nowarn", "-cp", f"{lib}/*", "-d", str(folder), str(source)], check=True)
    asked, given = folder / "asked.csv", folder / "given.csv"
    with open(asked, "w") as out:
        for case in cases:
            print("case", *case.pop("flink"), case["lag"], sep=",", file=out)
            for row in case["elements"]:
                print(*row, sep=",", file=out)
    java = ["java", "-Xmx1g", *OPENS, "-cp", f"{lib}/*:{folder}", "Flink", asked, given, CASES_OF_A_JOB]
    with open(folder / "log", "w") as log:
        done = subprocess.run([str(part) for part in java], stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"error: Flink failed\n  why: see {folder}/log")
    answers = [{"windows": [], "late": []} for _ in cases]
    for line in given.read_text().splitlines():
        place, what, *fields = line.split(",")
        answer = answers[int(place)]
        if what == "late":
            answer["late"].append(int(fields[0]))
            continue
        row = [float(field) if "." in field else int(field) for field in fields]
        if cases[int(place)]["windows"].get("kind") == "count":
            # A window of everything has no times.
            del row[1:3]
        answer["windows"].append(row)
    return answers
