"""What this machine must have for making an image, and running its commands."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .board import Board
from .reason import Code, Refusal

# Program to the Debian package that has it.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "sfdisk": "fdisk",
    "fallocate": "util-linux",
    "unshare": "util-linux",
    "zstd": "zstd",
    "bmaptool": "bmap-tools",
    "dpkg-deb": "dpkg",
}

BINFMT = Path("/proc/sys/fs/binfmt_misc")

# How a program of the processor is recognised, as the kernel's binfmt_misc wants it: magic and mask.
# From the ELF header: class, byte order, version, type (executable or shared) and machine (EM_AARCH64 is 183).
_ELF = {
    "arm64": (
        rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
        rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    ),
}
_EMULATORS = {"arm64": "qemu-aarch64-static"}


# What a command mounts goes when its processes do, however they end: `rm` as root would go on into a /proc or /sys that was
# left mounted below a folder.
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private", "--fork", "--kill-child"]


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, unless something is mounted there."""
    inside = f"{folder.resolve()}/"
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    mounted = [line.split()[4] for line in mounts if f"{line.split()[4]}/".startswith(inside)]
    if mounted:
        raise Refusal(
            Code.MOUNTED,
            f"something is mounted at {', '.join(mounted)}",
            f"removing {folder} would go on into it",
            f"see what it is, umount it, and remove {folder}",
        )
    shutil.rmtree(folder)


def check(board: Board) -> None:
    """Everything is here, or how to get it."""
    if os.geteuid() != 0:
        raise Refusal(
            Code.NOT_ROOT,
            "this is not root",
            "the files of a system belong to many users, and its packages run as root while they are installed",
            "run it with sudo",
        )
    _need(TOOLS)
    if board.architecture != architecture():
        _foreign(board.architecture)


def architecture() -> str:
    """This machine's, as Debian names it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _need(tools: dict[str, str]) -> None:
    lacking = sorted({package for tool, package in tools.items() if which(tool) is None})
    if lacking:
        raise Refusal(
            Code.TOOL_MISSING,
            f"not installed: {', '.join(lacking)}",
            "the image is made with them",
            f"apt-get install {' '.join(lacking)}",
        )


def which(tool: str) -> str | None:
    """Where a program is; Debian keeps some outside a user's PATH."""
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _foreign(wanted: str) -> None:
    """Lets the kernel run the board's programs through QEMU. What is registered already is left alone if it works."""
    emulator = _EMULATORS.get(wanted)
    if emulator is None or wanted not in _ELF:
        raise _no_emulation(
            wanted, f"no emulator of {wanted} is known to this program", "make the image on such a machine"
        )
    _need({emulator: "qemu-user-static", "arch-test": "arch-test"})
    if run(["arch-test", wanted], quiet=True).returncode == 0 and _opened_early():
        return
    if not (BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)], quiet=True)
    magic, mask = _ELF[wanted]
    # F: the emulator is opened now, by the kernel, and need not exist inside the board's file system.
    line = b":reflexarc-%s:M::%s:%s:%s:OCF" % (wanted.encode(), magic, mask, (which(emulator) or emulator).encode())
    try:
        (BINFMT / "register").write_bytes(line)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            raise _no_emulation(
                wanted,
                f"binfmt_misc refuses: {error.strerror}",
                "make the image where binfmt_misc is allowed (not in a plain container), or on the board's own processor",
            ) from error
    if run(["arch-test", wanted], quiet=True).returncode != 0:
        raise _no_emulation(wanted, "an emulator is registered and does not run them", "see what `arch-test -v` says")


def _opened_early() -> bool:
    """Whether the emulator that is registered works in another root (flag F) as well."""
    for path in BINFMT.glob("*aarch64*"):
        text = path.read_text(encoding="utf-8")
        if text.startswith("enabled") and re.search(r"^flags: \w*F", text, re.MULTILINE) and "static" in text:
            return True
    return any(BINFMT.glob("reflexarc-*"))


def _no_emulation(wanted: str, why: str, fix: str) -> Refusal:
    return Refusal(
        Code.FOREIGN,
        f"programs for {wanted} do not run on this machine: {why}",
        "the packages of the system run programs while they are installed",
        fix,
    )


def run(
    command: list[str], *, quiet: bool = False, env: dict[str, str] | None = None, feed: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command; what it says is kept for a refusal unless it is shown."""
    command = [which(command[0]) or command[0], *command[1:]]
    environment = (
        os.environ | {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"} | (env or {})
    )
    if quiet:
        return subprocess.run(
            command,
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
        )
    return subprocess.run(command, input=feed, env=environment, check=False)


def must(code: Code, command: list[str], *, env: dict[str, str] | None = None, feed: bytes | None = None) -> bytes:
    """Runs a command that has to succeed; gives its output."""
    done = run(command, quiet=True, env=env, feed=feed)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Refusal(
            code,
            f"{Path(command[0]).name} failed ({done.returncode}): {' | '.join(said[-4:])}",
            "the image would not be whole",
            f"run it by hand to see more: {' '.join(command)[:400]}",
        )
    return done.stdout
