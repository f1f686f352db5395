"""Can this machine flash a Jetson? Each check names what it found and how to put it right.

NVIDIA's tools boot a Linux on the board over USB and feed it over a USB network by NFS. Most failed flashes are the
host's: a virtual machine loses the board when it changes its USB id, NetworkManager takes the network away, the desktop
mounts the board's disks, power saving puts the bus to sleep.
"""

import mmap
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .system import System

# BOUND: the unpacked folder, the images made from it and a compressed copy, as NVIDIA's flashing notes ask for.
FREE_BYTES = 40 * 10**9
_RELEASES = {"r36": ("20.04", "22.04"), "r38": ("22.04", "24.04"), "r39": ("22.04", "24.04")}
_TOOLS = ("dtc", "sshpass", "xmllint", "exportfs", "lz4", "cpio")


@dataclass(frozen=True)
class Check:
    """One check's outcome: `ok`, `warning` (may go wrong) or `failed` (will go wrong)."""

    name: str
    outcome: str
    found: str
    fix: str = ""


# These fail for most people and not for all; `--accept NAME` takes the blame.
ACCEPTABLE = frozenset({"ubuntu", "virtual-machine", "space"})


def check(system: System, bsp: Path | None) -> list[Check]:
    """All checks. Those of NVIDIA's folder are left out where it is not named."""
    checks: list[Callable[[], Check]] = [
        lambda: _architecture(system),
        lambda: _ubuntu(system, release(bsp) if bsp else ""),
        _virtual_machine,
        _tools,
        lambda: _nfs(system),
        lambda: _exports(system),
        lambda: _autosuspend(system),
        lambda: _network_manager(system),
        lambda: _service("udisks2", "the desktop may mount the board's disks while they are written"),
        lambda: _service("tlp", "it puts USB to sleep"),
    ]
    if bsp is not None:
        checks += [
            lambda: _space(bsp),
            lambda: _prepared(bsp),
            lambda: _flashing_kernel(bsp),
            lambda: _same_kernel(bsp),
        ]
    return [one() for one in checks]


def release(bsp: Path) -> str:
    """NVIDIA's release of a BSP folder, as `r39.2`; empty if it does not say."""
    for name in ("rootfs/etc/nv_tegra_release", "nv_tegra/nv_tegra_release"):
        try:
            text = (bsp / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found = re.search(r"# R(\d+) \(release\), REVISION: ([0-9.]+)", text)
        if found:
            return f"r{found[1]}.{found[2]}"
    return ""


def _architecture(system: System) -> Check:
    machine = system.machine()
    if machine == "x86_64":
        return Check("architecture", "ok", machine)
    return Check("architecture", "failed", f"this is {machine}", "NVIDIA's tools run on x86-64 only: use a PC")


def _ubuntu(system: System, bsp_release: str) -> Check:
    about = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', system.text("/etc/os-release"), re.MULTILINE))
    name = about.get("PRETTY_NAME", "an unknown system")
    wanted = _RELEASES.get(bsp_release.partition(".")[0], ("22.04", "24.04"))
    if about.get("ID") == "ubuntu" and about.get("VERSION_ID") in wanted:
        return Check("ubuntu", "ok", name)
    return Check(
        "ubuntu",
        "failed",
        f"this is {name}, NVIDIA supports Ubuntu {' and '.join(wanted)} for {bsp_release or 'its newest release'}",
        "use one of them, from a USB disk if need be; --accept ubuntu tries it all the same",
    )


def _virtual_machine() -> Check:
    kind = _output("systemd-detect-virt")
    if kind is None:
        return Check("virtual-machine", "warning", "systemd-detect-virt is missing: not known", "flash from a real PC")
    if kind in ("none", ""):
        return Check("virtual-machine", "ok", "a real machine")
    return Check(
        "virtual-machine",
        "failed",
        f"this is a virtual machine or container ({kind})",
        "the board changes its USB id twice, and is lost each time: flash from a real PC; "
        "--accept virtual-machine tries it all the same",
    )


def _tools() -> Check:
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]
    if not missing:
        return Check("tools", "ok", ", ".join(_TOOLS))
    return Check(
        "tools",
        "failed",
        f"{', '.join(missing)} missing",
        "sudo Linux_for_Tegra/tools/l4t_flash_prerequisites.sh installs them",
    )


def _nfs(system: System) -> Check:
    if re.search(r"\bnfsd$", system.text("/proc/filesystems"), re.MULTILINE):
        return Check("nfs", "ok", "the kernel serves NFS")
    # -n: only asks whether it could be loaded.
    if _output("modprobe", "-n", "nfsd") is not None:
        return Check("nfs", "ok", "the kernel can load its NFS server")
    return Check(
        "nfs",
        "failed",
        "the kernel has no NFS server (nfsd)",
        "the board reads its system by NFS: apt-get install nfs-kernel-server, on a kernel with nfsd",
    )


def _exports(system: System) -> Check:
    stale = []
    for line in system.text("/etc/exports").splitlines():
        folder = line.partition("#")[0].split()[:1]
        if folder and "Linux_for_Tegra" in folder[0] and not system.path(folder[0]).is_dir():
            stale.append(folder[0])
    if not stale:
        return Check("exports", "ok", "no stale line in /etc/exports")
    return Check(
        "exports",
        "failed",
        f"/etc/exports names {', '.join(stale)}, which is gone",
        "exportfs then fails for all of them: remove the line, and run exportfs -ra",
    )


def _autosuspend(system: System) -> Check:
    value = system.text("/sys/module/usbcore/parameters/autosuspend")
    if value == "-1":
        return Check("autosuspend", "ok", "USB does not go to sleep")
    return Check(
        "autosuspend",
        "warning",
        f"USB devices go to sleep after {value} s" if value else "not known whether USB goes to sleep",
        "echo -1 | sudo tee /sys/module/usbcore/parameters/autosuspend",
    )


def _network_manager(system: System) -> Check:
    if _output("systemctl", "is-active", "NetworkManager") != "active":
        return Check("network-manager", "ok", "not running")
    for folder in ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"):
        if system.path(f"{folder}/99-l4t-host.rules").exists():
            return Check("network-manager", "ok", "keeps its hands off the board (99-l4t-host.rules)")
    return Check(
        "network-manager",
        "warning",
        "runs, and no rule 99-l4t-host.rules keeps it off the board's USB network",
        "run Linux_for_Tegra/tools/l4t_flash_prerequisites.sh, or: nmcli device set usb0 managed no",
    )


def _service(name: str, why: str) -> Check:
    if _output("systemctl", "is-active", name) != "active":
        return Check(name, "ok", "not running")
    return Check(name, "warning", f"runs: {why}", f"sudo systemctl stop {name}, and start it again afterwards")


def _space(bsp: Path) -> Check:
    about = os.statvfs(bsp)
    free = about.f_bavail * about.f_frsize
    if free >= FREE_BYTES:
        return Check("space", "ok", f"{free / 1e9:.0f} GB free")
    return Check(
        "space",
        "failed",
        f"{free / 1e9:.0f} GB free at {bsp}, {FREE_BYTES / 1e9:.0f} GB are needed",
        "free some, or move the folder; --accept space tries it all the same",
    )


def _prepared(bsp: Path) -> Check:
    if release(bsp):
        return Check("prepared", "ok", f"release {release(bsp)}")
    return Check(
        "prepared",
        "failed",
        f"{bsp}/rootfs has no etc/nv_tegra_release",
        "unpack the sample root file system into rootfs, then: sudo ./apply_binaries.sh (Thor: with --openrm)",
    )


def _flashing_kernel(bsp: Path) -> Check:
    """The kernel in `kernel/` also runs the flash; a real-time one there breaks it."""
    path = bsp / "kernel" / "Image"
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            real_time = content.find(b"PREEMPT_RT") >= 0
    except (OSError, ValueError) as error:
        return Check("flashing-kernel", "failed", f"{path} cannot be read: {error}", "unpack NVIDIA's BSP again")
    if not real_time:
        return Check("flashing-kernel", "ok", "kernel/Image is NVIDIA's, not a real-time one")
    return Check(
        "flashing-kernel",
        "failed",
        f"{path} is a real-time kernel",
        "it runs the flashing itself, which then fails: put NVIDIA's back, and the real-time kernel into "
        "rootfs/boot/Image.real-time",
    )


def _same_kernel(bsp: Path) -> Check:
    flashing, booted = bsp / "kernel" / "Image", bsp / "rootfs" / "boot" / "Image"
    try:
        same = flashing.read_bytes() == booted.read_bytes()
    except OSError as error:
        return Check("same-kernel", "warning", f"not known: {error}", "sudo ./apply_binaries.sh")
    if same:
        return Check("same-kernel", "ok", "rootfs boots the kernel that flashes")
    return Check(
        "same-kernel",
        "warning",
        "kernel/Image and rootfs/boot/Image differ",
        "modules of one do not load in the other: sudo ./apply_binaries.sh makes them the same",
    )


def _path() -> str:
    """Where root's tools are, which a user's path may lack."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _output(*command: str) -> str | None:
    """What a small tool says; None if it is missing or fails without a word."""
    tool = shutil.which(command[0], path=_path())
    if tool is None:
        return None
    try:
        done = subprocess.run([tool, *command[1:]], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.strip()
    return words if words or done.returncode == 0 else None
