"""A board in QEMU: boots the disk image of a board, with ssh on a local port, and can lose its power at any time.

Where the processor is this machine's and KVM works, it is used; else all is emulated, and no time measured in it means
anything. The disk is a USB stick to the guest, so that a stick written by scripts/flash boots as it would on a board.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# BOUND: emulated on a loaded host, a first boot was seen to take 150 s.
BOOT_S = 600.0
# BOUND: an orderly end stops services first, the longest within 10 s; emulated, several times that.
POWEROFF_S = 120.0


@dataclass(frozen=True)
class Kind:
    """How QEMU shows a board."""

    machine: tuple[str, ...]
    program: str
    host: str
    """The host's processor that runs it itself."""
    firmware: Path
    variables: Path
    packages: str
    processor: str
    """When it is emulated."""


KINDS = {
    # Not `max`: emulating its pointer authentication takes longer than all the rest. Without ACPI: boards of this kind
    # describe themselves by a device tree, and so are recognised.
    "qemu-virt-aarch64": Kind(
        ("-M", "virt,gic-version=max,acpi=off"),
        "qemu-system-aarch64",
        "aarch64",
        Path("/usr/share/AAVMF/AAVMF_CODE.fd"),
        Path("/usr/share/AAVMF/AAVMF_VARS.fd"),
        "qemu-system-arm qemu-efi-aarch64",
        "cortex-a76",
    ),
    "x86-64": Kind(
        ("-M", "q35"),
        "qemu-system-x86_64",
        "x86_64",
        Path("/usr/share/OVMF/OVMF_CODE_4M.fd"),
        Path("/usr/share/OVMF/OVMF_VARS_4M.fd"),
        "qemu-system-x86 ovmf",
        "max",
    ),
}


class Failed(Exception):
    """The emulated board did not do what it should."""


class Machine:
    """An emulated board. As a context: its power is cut at the end if it still has any."""

    def __init__(
        self, board: str, disk: Path, work: Path, *, port: int = 0, cores: int = 4, memory_mib: int = 2048
    ) -> None:
        self.kind = KINDS[board]
        self.disk = disk
        self.work = work
        self.port = port or _free_port()
        self.console = work / "console.log"
        self._cores = cores
        self._memory_mib = memory_mib
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    def start(self) -> None:
        """Switches it on."""
        program = shutil.which(self.kind.program)
        if program is None or not self.kind.firmware.exists():
            raise Failed(f"QEMU or its firmware is not installed: apt-get install {self.kind.packages}")
        self.work.mkdir(parents=True, exist_ok=True)
        variables = self.work / "firmware-variables.fd"
        if not variables.exists():
            shutil.copyfile(self.kind.variables, variables)
        command = [
            program, *self.kind.machine, *self._processor(), "-smp", str(self._cores), "-m", str(self._memory_mib),
            "-nographic", "-nodefaults", "-serial", f"file:{self.console}",
            "-drive", f"if=pflash,format=raw,readonly=on,file={self.kind.firmware}",
            "-drive", f"if=pflash,format=raw,file={variables}",
            "-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,file={self.disk}",
            "-device", "usb-storage,drive=stick,serial=REFLEXARC0001,removable=on,bootindex=1",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip
        # A session of its own: Ctrl-C goes to who asked, who then decides what the board is to see.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=(self.work / "qemu.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def _processor(self) -> list[str]:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        # /dev/kvm alone says little: virtual machines have one that runs nothing.
        capable = os.uname().machine == self.kind.host and os.access("/dev/kvm", os.W_OK)
        if capable and (self.kind.host != "x86_64" or re.search(r"\b(vmx|svm)\b", flags)):
            return ["-accel", "kvm", "-cpu", "host"]
        return ["-accel", "tcg,thread=multi", "-cpu", self.kind.processor]

    @property
    def is_running(self) -> bool:
        """Whether it has power."""
        return self._process is not None and self._process.poll() is None

    def wait_for_ssh(self, limit_s: float = BOOT_S) -> float:
        """Until its ssh greets; gives the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            if not self.is_running:
                raise Failed(f"QEMU ended: {(self.work / 'qemu.log').read_text(errors='replace')[-400:]}")
            if self._greets():
                return time.monotonic() - began
            time.sleep(1)
        raise Failed(f"no ssh within {limit_s:.0f} s; its console is in {self.console}")

    def _greets(self) -> bool:
        """QEMU itself accepts the connection, so only a greeting means that somebody is there."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def cut_power(self) -> None:
        """At once, in the middle of whatever it does. What its disk had been given stays."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def wait_for_end(self, limit_s: float = POWEROFF_S) -> None:
        """Until it has switched itself off."""
        if self._process is None:
            return
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"it did not switch itself off within {limit_s:.0f} s") from error


def _die_with_parent() -> None:
    """PR_SET_PDEATHSIG: a test that is killed leaves no machine running."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _free_port() -> int:
    """Somebody else could take it before QEMU does; QEMU then says so and ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
