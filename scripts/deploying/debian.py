"""The Debian package: the unit with its rights, the program that keeps releases, and a first release to fall back on.

It is made by dpkg-deb from a folder whose times are those of the commit, so that the same commit makes the same package.
"""

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import build, elf
from .board import Board
from .refusal import Code, Refusal

SOURCES = build.REPOSITORY / "scripts" / "packaging"

# Where each file of scripts/packaging goes.
PLACES = {
    "reflexarc.service": "usr/lib/systemd/system/reflexarc.service",
    "reflexarc-boot.service": "usr/lib/systemd/system/reflexarc-boot.service",
    "release": "usr/lib/reflexarc/release",
    "sysusers.conf": "usr/lib/sysusers.d/reflexarc.conf",
    "tmpfiles.conf": "usr/lib/tmpfiles.d/reflexarc.conf",
    "udev.rules": "usr/lib/udev/rules.d/70-reflexarc.rules",
}
SCRIPTS = ("postinst", "prerm", "postrm")
DOCUMENTS = ("README.md", "docs/deploying.md", "reflexarc.example.toml", "LICENSE-MIT", "LICENSE-APACHE")

CONTROL = """\
Package: reflexarc
Version: {version}
Architecture: {architecture}
Maintainer: The reflexarc contributors <reflexarc@localhost.invalid>
Installed-Size: {size}
Depends: libc6 (>= {glibc}), libgcc-s1, systemd | systemd-standalone-sysusers, init-system-helpers, util-linux
Section: science
Priority: optional
Description: from camera to action in one process
 A lock-free, low-latency runtime for robots that see, listen and act on a small
 computer. The package holds the service with its rights, the program that keeps
 releases, and a first release that watches the camera and moves nothing.
"""


def version() -> str:
    """Rises with each commit, so that a board's package can be told to be older: `0.1.0+r412.63d773b1c2d3`."""
    count, commit = build.git("rev-list", "--count", "HEAD"), build.commit()
    return build.version() + (f"+r{count}.{commit.replace('-dirty', '.dirty')}" if commit else "")


def epoch() -> int:
    """The time that all files of the package have: `SOURCE_DATE_EPOCH`, else the commit's, else now."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or build.git("log", "-1", "--format=%ct") or time.time())


def digest() -> str:
    """Of all that the package brings besides its first release: the same digest is the same service."""
    total = hashlib.sha256()
    for name in sorted([*PLACES, *SCRIPTS, "pipeline.toml"]):
        total.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    return total.hexdigest()


def make(board: Board, first: Path, into: Path) -> Path:
    """Makes the package; `first` is the folder of its release. Gives its path."""
    if shutil.which("dpkg-deb") is None:
        raise Refusal(
            Code.TOOL_MISSING,
            "`dpkg-deb` is not installed",
            "the package is made with it",
            "install it: apt-get install dpkg",
        )
    into.mkdir(parents=True, exist_ok=True)
    root = into / f".root-{board.debian}"
    shutil.rmtree(root, ignore_errors=True)
    _lay_out(root, first)
    _control(root, board, elf.read(first / "reflexarc").newest())
    _set_times(root, epoch())
    package = into / f"reflexarc_{version()}_{board.debian}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(package)]
    done = subprocess.run(
        command,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Refusal(
            Code.PACKAGE,
            f"dpkg-deb ended with {done.returncode}: {done.stderr.strip()}",
            "without a package a board has neither the service nor its user",
            f"is there room in {into}?",
        )
    shutil.rmtree(root)
    return package


def _lay_out(root: Path, first: Path) -> None:
    factory = root / "usr" / "lib" / "reflexarc" / "factory"
    factory.mkdir(parents=True)
    for file in sorted(first.iterdir()):
        shutil.copyfile(file, factory / file.name)
        (factory / file.name).chmod(0o755 if file.name == "reflexarc" else 0o644)
    for name, place in PLACES.items():
        _copy(SOURCES / name, root / place, 0o755 if name == "release" else 0o644)
    (root / "usr/lib/reflexarc/packaging.sha256").write_text(digest() + "\n", encoding="utf-8")
    (root / "usr/lib/reflexarc/packaging.sha256").chmod(0o644)
    documents = root / "usr" / "share" / "doc" / "reflexarc"
    for name in DOCUMENTS:
        if (build.REPOSITORY / name).is_file():
            _copy(build.REPOSITORY / name, documents / Path(name).name, 0o644)
    _copy(build.REPOSITORY / "LICENSE-MIT", documents / "copyright", 0o644)
    command = root / "usr" / "bin" / "reflexarc"
    command.parent.mkdir(parents=True)
    command.symlink_to("../../opt/reflexarc/current/reflexarc")


def _control(root: Path, board: Board, glibc: str) -> None:
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    text = CONTROL.format(version=version(), architecture=board.debian, size=size // 1024, glibc=glibc or "2.17")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(text, encoding="utf-8")
    for name in SCRIPTS:
        _copy(SOURCES / name, root / "DEBIAN" / name, 0o755)


def _copy(source: Path, to: Path, mode: int) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    to.chmod(mode)


def _set_times(root: Path, when: int) -> None:
    for path in [root, *root.rglob("*")]:
        os.utime(path, (when, when), follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
