"""NVIDIA Jetson: its system is NVIDIA's own, so no image is made; its BSP is checked and prepared for scripts/flash.

The steps are those of NVIDIA's guide, "Quick Start" and "Setting up your file system". None was run against a real BSP
by this project: it is not free to be fetched without an account. The tests run them against a folder of that shape.
"""

import re
import secrets
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from . import host
from .board import Board
from .options import Options
from .reason import Code, Refusal
from .rootfs import Root, authorise, install_reflexarc, public_key

LABEL = "reflexarc"


def prepare(board: Board, options: Options, package: Path, epoch: int, say: Callable[[str], None]) -> None:
    """Goes through the steps. Each is left out where its result is there, so it can be called again."""
    bsp = _checked(options)
    root = Root(bsp / "rootfs", epoch)
    _apply_binaries(board, bsp, root, say)
    _user(options, bsp, root, say)
    say("installing reflexarc into rootfs/")
    install_reflexarc(root, package)
    arguments = isolation(board, options)
    say(f"boot entry `{LABEL}`: {' '.join(arguments) or 'no isolated cores'}")
    add_entry(
        root.path / "boot/extlinux/extlinux.conf", arguments, real_time=(root.path / "boot/Image.real-time").exists()
    )
    if not (root.path / "boot/Image.real-time").exists():
        say(
            "  warning: rootfs/boot has no Image.real-time, so the board starts NVIDIA's ordinary kernel.\n"
            f"  Its real-time kernel comes from NVIDIA's apt archive, on the board: {' '.join(next(reversed(board.kernels.values()), ()))}"
        )
    say(f"Prepared. Next: scripts/flash {board.name} --bsp {bsp}")


def isolation(board: Board, options: Options) -> list[str]:
    """The kernel's arguments that isolate cores, as asked or as in the board's file."""
    if options.isolate == "none":
        return []
    if not options.isolate:
        return list(board.arguments)
    cores = options.isolate
    # Interrupts go to core 0, which is never isolated; the doctor tells of better sets once the machine runs.
    return [f"isolcpus=managed_irq,domain,{cores}", f"nohz_full={cores}", f"rcu_nocbs={cores}", "irqaffinity=0"]


def _checked(options: Options) -> Path:
    bsp = options.bsp
    if bsp is None:
        raise Refusal(
            Code.BSP,
            "no --bsp was given",
            "a Jetson's system is made of NVIDIA's own files",
            "fetch and unpack the Jetson Linux release for the board, and name its Linux_for_Tegra with --bsp",
        )
    for name in ("flash.sh", "apply_binaries.sh", "tools/l4t_create_default_user.sh", "kernel/Image"):
        if not (bsp / name).is_file():
            raise Refusal(
                Code.BSP,
                f"{bsp} has no {name}",
                "it is not NVIDIA's Linux_for_Tegra, or not all of it",
                "unpack the release's Jetson_Linux archive again",
            )
    if not (bsp / "rootfs/etc/passwd").is_file():
        raise Refusal(
            Code.BSP,
            f"{bsp}/rootfs is empty",
            "the board's system is unpacked there",
            f"sudo tar -xpf Tegra_Linux_Sample-Root-Filesystem_*.tbz2 -C {bsp}/rootfs",
        )
    if b"PREEMPT_RT" in (bsp / "kernel/Image").read_bytes():
        raise Refusal(
            Code.BSP,
            f"{bsp}/kernel/Image is a real-time kernel",
            "it is the one that runs while flashing, and NVIDIA's tools fail with it",
            "put NVIDIA's own Image back; a real-time kernel belongs to rootfs/boot/Image.real-time",
        )
    return bsp.resolve()


def _apply_binaries(board: Board, bsp: Path, root: Root, say: Callable[[str], None]) -> None:
    if (root.path / "etc/nv_tegra_release").is_file():
        say("NVIDIA's files are in rootfs/ already")
        return
    # Thor's open driver: without it there is no CUDA on the board.
    command = ["./apply_binaries.sh", *(["--openrm"] if board.name == "jetson-thor" else [])]
    say(f"running {shlex.join(command)}")
    _step(bsp, command)
    if not (root.path / "etc/nv_tegra_release").is_file():
        raise Refusal(
            Code.BSP_STEP,
            "apply_binaries.sh ended well and rootfs/etc/nv_tegra_release is not there",
            "NVIDIA's files did not get into the system",
            f"run it by hand in {bsp} and read what it says",
        )


def _user(options: Options, bsp: Path, root: Root, say: Callable[[str], None]) -> None:
    known = re.search(
        rf"^{re.escape(options.user)}:", (root.path / "etc/passwd").read_text(encoding="utf-8"), re.MULTILINE
    )
    if known:
        say(f"the user {options.user} is there already")
    else:
        if not options.accept_license:
            raise Refusal(
                Code.BSP,
                "NVIDIA's licence was not accepted",
                "making a user ahead of the first boot accepts it, which only you can do",
                "read NVIDIA's licence, which comes with the BSP, and add --accept-license",
            )
        # Never used: keys log in, and nothing shows it. NVIDIA's tool wants one.
        password = secrets.token_urlsafe(24)
        say(f"making the user {options.user}")
        _step(
            bsp,
            [
                "./tools/l4t_create_default_user.sh",
                "-u",
                options.user,
                "-p",
                password,
                "-n",
                options.hostname,
                "--accept-license",
            ],
        )
    if options.ssh_key:
        authorise(root, options.user, public_key(options.ssh_key))


def _step(bsp: Path, command: list[str]) -> None:
    done = host.run(["env", "--chdir", str(bsp), *command], quiet=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
        raise Refusal(
            Code.BSP_STEP,
            f"{command[0]} failed ({done.returncode}): {' | '.join(said[-4:])}",
            "the system would not be whole",
            f"run it by hand in {bsp}",
        )


def add_entry(path: Path, arguments: list[str], *, real_time: bool) -> None:
    """Adds our entry to an extlinux.conf and makes it the default. The one that was there stays, for a way back.

    NVIDIA's loader reads the file with a parser of its own: absolute paths, LINUX and not KERNEL, one APPEND.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Refusal(
            Code.BSP,
            f"{path} cannot be read: {error.strerror}",
            "the kernel's arguments stand there",
            "run apply_binaries.sh first",
        ) from error
    lines = _without(lines, LABEL)
    default = next((line.split()[1] for line in lines if line.split()[:1] == ["DEFAULT"] and len(line.split()) > 1), "")
    entry = _entry(lines, default) or _entry(lines, "primary")
    if not entry:
        raise Refusal(
            Code.BSP,
            f"{path} has no entry `{default or 'primary'}`",
            "ours is made from it",
            "put NVIDIA's own extlinux.conf back",
        )
    ours = [f"LABEL {LABEL}"]
    for line in entry[1:]:
        word = line.split()[0] if line.split() else ""
        if word == "MENU":
            ours.append("      MENU LABEL reflexarc, cores isolated")
        elif word == "LINUX" and real_time:
            ours.append("      LINUX /boot/Image.real-time")
        elif word == "INITRD" and real_time:
            ours.append(
                "      INITRD /boot/initrd.img.real-time"
                if (path.parents[1] / "initrd.img.real-time").exists()
                else line
            )
        elif word == "APPEND":
            ours.append(" ".join([line.rstrip(), *arguments]))
        elif line.strip() and not line.lstrip().startswith("#"):
            ours.append(line)
    changed = [f"DEFAULT {LABEL}" if line.split()[:1] == ["DEFAULT"] else line for line in lines]
    copy = path.with_name(path.name + ".nvidia")
    if not copy.exists():
        shutil.copyfile(path, copy)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("\n".join([*changed, "", *ours]) + "\n", encoding="utf-8")
    fresh.replace(path)


def _entry(lines: list[str], label: str) -> list[str]:
    """The lines of an entry, from its LABEL to the next."""
    found: list[str] = []
    for line in lines:
        if line.split()[:1] == ["LABEL"]:
            if found:
                break
            if line.split()[1:] == [label]:
                found.append(line)
        elif found:
            found.append(line)
    return found


def _without(lines: list[str], label: str) -> list[str]:
    entry = _entry(lines, label)
    if not entry:
        return lines
    begin = lines.index(entry[0])
    kept = lines[:begin] + lines[begin + len(entry) :]
    while kept and not kept[-1].strip():
        kept.pop()
    # An earlier run of ours set it; the entry that ours was made from is NVIDIA's.
    return ["DEFAULT primary" if line.split() == ["DEFAULT", label] else line for line in kept]
