"""The loop of scripts/vm/state: boots, listens to what the guest commands, cuts the power, and judges what the next boot says."""

import argparse
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# BOUND: emulated on a loaded host, from power on to the first action takes about a minute.
BOOT_S = 300.0
# How far the gap that a run says may be from the silence that was heard: a guest's clock of the day counts whole seconds when it boots, and a
# run that is emulated listens some time before its first action. Also what the last commit had not brought to the disk.
GAP_APART_S = 4.0
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0}


@dataclass
class Boot:
    """What one boot said and sent."""

    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    first: float | None = None
    """When its first action was heard."""
    last: float | None = None

    def state(self) -> list[str]:
        """What the run said about its state."""
        return [line.removeprefix("state: ") for line in self.lines if line.startswith("state: ")]


class Cuts:
    """The guest, and what is known of it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.dice = random.Random(asked.seed)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.boots: list[Boot] = []
        self.sent: set[int] = set()

    def run(self) -> int:
        """All cuts, and a run that comes to its end."""
        right = 0
        for number in range(self.asked.cuts + 1):
            is_last = number == self.asked.cuts
            boot = self.boot(None if is_last else self.moment())
            wrong = self.judge(boot)
            if is_last and not any(line.startswith("guest: ended with ") for line in boot.lines):
                wrong.append("the run that was not cut did not come to its end")
            said = boot.state()
            sent = f"{len(boot.numbers)} actions" + (f" from {boot.numbers[0]} on" if boot.numbers else "")
            print(
                f"{'FAIL' if wrong else 'ok  '} boot {number + 1:3}: {said[0] if said else 'cut before it had a state'}; {sent}"
                + "".join(f"\n      {why}" for why in wrong),
                flush=True,
            )
            right += not wrong
            self.boots.append(boot)
        total = self.asked.cuts + 1
        print(f"{right} of {total} boots to a valid state, {len(self.sent)} actions heard, seed {self.asked.seed}", flush=True)
        return 0 if right == total else 1

    def moment(self) -> float:
        """How long after the program begins the power is cut: while it starts, or while it runs."""
        return self.dice.uniform(0.0, 3.0) if self.dice.random() < 0.3 else self.dice.uniform(3.0, 12.0)

    def boot(self, cut_after: float | None) -> Boot:
        """One boot, to the cut or to its end."""
        boot = Boot()
        port = self.socket.getsockname()[1]
        *command, append = self.asked.command
        duration = "0s" if cut_after is not None else "3s"
        command.append(f"{append} port={port} duration={duration}")
        with (
            self.asked.console.open("ab") as console,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
        ):
            reader = threading.Thread(target=self.read, args=(process, boot, console))
            reader.start()
            deadline = time.monotonic() + BOOT_S
            cut_at = None
            while process.poll() is None and time.monotonic() < deadline:
                self.listen(boot)
                if cut_after is not None and cut_at is None and "guest: begins" in boot.lines:
                    cut_at = time.monotonic() + cut_after
                if cut_at is not None and time.monotonic() >= cut_at:
                    break
            process.send_signal(signal.SIGKILL)
            process.wait()
            reader.join()
        # What was on its way.
        while self.listen(boot):
            pass
        return boot

    @staticmethod
    def read(process: "subprocess.Popen[bytes]", boot: Boot, console: object) -> None:
        """The console."""
        for raw in process.stdout or ():
            console.write(raw)  # type: ignore[attr-defined]
            boot.lines.append(raw.decode(errors="replace").strip())

    def listen(self, boot: Boot) -> bool:
        """One datagram, if one comes."""
        try:
            datagram = self.socket.recv(256)
        except TimeoutError:
            return False
        magic, _, kind, _, _, number = struct.unpack_from("<4s4BI", datagram)
        if magic == b"RFLX" and kind == 1:
            now = time.monotonic()
            boot.first = boot.first or now
            boot.last = now
            boot.numbers.append(number)
        return True

    def judge(self, boot: Boot) -> list[str]:
        """What is wrong with a boot."""
        wrong = []
        again = self.sent.intersection(boot.numbers)
        if again or len(set(boot.numbers)) < len(boot.numbers):
            wrong.append(f"actions were sent under numbers that had been sent: {sorted(again)[:5]}")
        if any(number < max(self.sent, default=-1) for number in boot.numbers):
            wrong.append("numbers of actions went back")
        self.sent.update(boot.numbers)
        said = boot.state()
        if any("panicked" in line or "does not mount" in line for line in boot.lines):
            wrong.append(f"the guest said: {boot.lines[-5:]}")
        if not said:
            if boot.numbers:
                wrong.append("actions before a word about the state")
            return wrong
        had_state = any(earlier.state() for earlier in self.boots)
        text = "\n".join(said)
        # Before the first run has said that it has a state there may be none.
        if "cold start" in text or ("begun anew" in text and had_state):
            wrong.append(f"no state was found: {said}")
        if "were cut off" not in text and "was cut off" not in text and had_state:
            wrong.append(f"the cut was not noticed: {said}")
        wrong.extend(self.judge_gap(boot, text))
        return wrong

    def judge_gap(self, boot: Boot, said: str) -> list[str]:
        """The gap that the run says, and the silence that was heard."""
        before = next((earlier for earlier in reversed(self.boots) if earlier.state()), None)
        match = re.search(r"; ([0-9.]+) ?([a-z]+) of input are lost", said)
        if before is None or boot.first is None:
            return []
        if match is None:
            return [] if "begun anew" in said else [f"no gap is said: {said}"]
        gap = float(match[1]) * UNITS[match[2]]
        # A run that was cut before its first action has left no mark outside: the gap is then at most the silence.
        if before.last is None:
            return []
        silence = boot.first - before.last
        if abs(gap - silence) > GAP_APART_S:
            return [f"a gap of {gap:.1f} s is said, and {silence:.1f} s were silent"]
        boot.lines.append(f"gap {gap:.2f} silence {silence:.2f}")
        return []


def main() -> int:
    """From the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--console", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    asked.console.unlink(missing_ok=True)
    return Cuts(asked).run()


if __name__ == "__main__":
    sys.exit(main())
