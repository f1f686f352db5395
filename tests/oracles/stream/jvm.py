"""Apache Flink's libraries, and programs that run with them.

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
OPENS = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("util", "lang", "time")]
HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = HERE.parents[2] / "target" / "oracles" / "flink" / f"lib-{VERSION}"


def libraries():
    """flink-dist and its logging, out of the source package that carries them."""
    if LIBRARIES.exists():
        return LIBRARIES
    LIBRARIES.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=LIBRARIES.parent) as there:
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
        unpacked.rename(LIBRARIES)
    return LIBRARIES


def compiled(source, folder):
    """Compiles a program. What `java` is to be called with."""
    if not shutil.which("javac"):
        print("error: no javac\n  why: Flink runs in Java\n  fix: apt-get install openjdk-17-jdk-headless, or name other "
              "engines", file=sys.stderr)
        sys.exit(10)
    lib = libraries()
    subprocess.run(["javac", "-nowarn", "-cp", f"{lib}/*", "-d", str(folder), str(source)], check=True)
    return [*OPENS, "-cp", f"{lib}/*:{folder}", source.stem]


def answers(source, cases, rows, cases_of_a_job, folder):
    """Lines of what a program says of cases: `rows` turns a case into the lines that it reads."""
    program = compiled(source, folder)
    asked, given = folder / "asked.csv", folder / "given.csv"
    with open(asked, "w") as out:
        for case in cases:
            for row in rows(case):
                print(*row, sep=",", file=out)
    java = ["java", "-Xmx1g", *program, asked, given, cases_of_a_job]
    with open(folder / "log", "w") as log:
        done = subprocess.run([str(part) for part in java], stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"error: Flink failed\n  why: see {folder}/log")
    for line in given.read_text().splitlines():
        place, what, *fields = line.split(",")
        yield int(place), what, fields
