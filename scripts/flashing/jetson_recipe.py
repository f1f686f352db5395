"""NVIDIA Jetson: the board waits in recovery mode on USB, and NVIDIA's own tools write it."""

import hashlib
import os
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path

from . import board as boards
from . import jetson_host, jetson_log, jetson_module, usb, vendor
from .board import Board
from .confirm import Resolution
from .events import Log
from .flow import TargetState
from .options import Options
from .refusal import Code, Refusal
from .system import System
from .usb import UsbDevice
from .vendor import Transcript

# BOUND: a whole flash takes 10 to 20 minutes by USB 2. Its quietest part, unpacking the root file system on the board,
# was reported with some minutes of silence.
FLASH_LIMIT_S = 3600.0
FLASH_SILENCE_S = 900.0
IDENTIFY_LIMIT_S = 120.0
# BOUND: when the tool has ended, the board may not have left the bus yet; what NVIDIA's own script waits for is longer.
SETTLE_S = 2.0
# BOUND: the board leaves the bus and comes back within seconds when it restarts into recovery.
RETURN_LIMIT_S = 30.0
# BOUND: the first boot resizes its file system, makes keys and restarts once.
BOOT_LIMIT_S = 600.0


class JetsonRecipe:
    """See the module, and `flow.Recipe`. The limits are the class's, so that tests need not wait for them."""

    flash_limit_s = FLASH_LIMIT_S
    flash_silence_s = FLASH_SILENCE_S
    settle_s = SETTLE_S
    return_limit_s = RETURN_LIMIT_S
    boot_limit_s = BOOT_LIMIT_S

    def __init__(self, board: Board, options: Options, log: Log, system: System | None = None) -> None:
        self.target: TargetState = "unchanged"
        self._board = board
        self._options = options
        self._log = log
        self._system = system or System()
        self._bsp: Path
        self._command: list[str]
        self._device: UsbDevice
        self._transcript: Transcript
        self._booted = False
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._keep = options.state / "logs" / f"{board.name}-{stamp}.log"

    def plan(self) -> None:
        if self._options.image or self._options.device:
            raise Refusal(
                Code.USAGE,
                "--image and --device are not for a Jetson",
                "NVIDIA's tools make its image from the folder that --bsp names, and write it over USB",
                f"scripts/flash {self._board.name} --bsp Linux_for_Tegra",
            )
        if self._options.resume:
            raise Refusal(
                Code.RECIPE,
                "a flash of a Jetson cannot be resumed",
                "NVIDIA's tools write it from the beginning each time",
                "leave out --resume",
            )
        self._bsp = self._folder()
        self._command = self._resolve()
        forbidden = [word for word in self._command if word in self._board.avoid]
        if forbidden:
            raise Refusal(
                Code.BOARD_FILE,
                f"the board's command has {', '.join(forbidden)}, which its own file says to avoid",
                "it does harm on this board",
                f"correct flash.command in boards/{self._board.name}/board.toml",
            )
        self._log.say(f"  {self._bsp}: NVIDIA's release {jetson_host.release(self._bsp) or 'is not known'}")

    def _folder(self) -> Path:
        bsp = self._options.bsp
        if bsp is None or not (bsp / "flash.sh").is_file():
            raise Refusal(
                Code.BSP,
                f"{bsp} has no flash.sh" if bsp else "--bsp DIR is missing",
                "NVIDIA's tools do the writing; they may not be passed on with this project",
                "unpack Jetson Linux and its sample root file system, run sudo ./apply_binaries.sh in it, and name the "
                "folder: --bsp Linux_for_Tegra; docs/flashing.md has the steps",
            )
        return bsp.resolve()

    def _resolve(self) -> list[str]:
        """The command of the board file that is for this release, with the tool's path in this folder."""
        release = jetson_host.release(self._bsp).partition(".")[0]
        words = shlex.split(self._board.older_commands.get(release, self._board.command))
        if words[:1] == ["sudo"]:
            words = words[1:]
        if not words:
            raise Refusal(
                Code.BOARD_FILE,
                f"boards/{self._board.name}/board.toml has no flash.command",
                "which of NVIDIA's tools writes it, and how, is not known",
                "add it, with its source",
            )
        for place in (words[0], f"tools/kernel_flash/{Path(words[0]).name}"):
            if (self._bsp / place).is_file():
                return [f"./{Path(place)}", *words[1:]]
        raise Refusal(
            Code.BSP,
            f"{self._bsp} has no {words[0]}",
            f"{self._board.title} is written with it",
            "unpack NVIDIA's Jetson Linux of the release that the board file names",
        )

    def host(self) -> None:
        refuse_failed(jetson_host.check(self._system, self._bsp), self._options, self._log)
        if os.geteuid() != 0 and not self._options.dry_run and self._system.is_real:
            raise Refusal(Code.NOT_ROOT, "this is not run by root", "NVIDIA's tools need root", "run it with sudo")

    def detect(self) -> None:
        self._device = usb.waiting(self._system, self._board, boards.all_boards(), self._options.usb_instance)
        self._log.event("usb", instance=self._device.instance, id=self._device.identifier)
        self._log.say(f"  {self._device.described}")
        if "." in self._device.instance:
            self._log.warn("hub", "the board is behind a hub, which often loses it: use a port of the machine itself")

    def identify(self) -> None:
        """Reading the EEPROM restarts the board into recovery; a dry run leaves it alone."""
        if self._options.dry_run:
            self._log.say("  the module's EEPROM is not read in a dry run: that restarts the board")
            return
        recovering = {identifier for board in boards.all_boards() for identifier in board.recovery}
        if len([device for device in usb.devices(self._system) if device.identifier in recovering]) > 1:
            self._log.warn("module", "several boards wait: NVIDIA's tool reads the EEPROM only where there is one")
            return
        command = ["./nvautoflash.sh", "--print_boardid"]
        transcript = vendor.run(
            command,
            self._log,
            cwd=self._bsp,
            keep=self._keep,
            limit_s=IDENTIFY_LIMIT_S,
            silence_s=IDENTIFY_LIMIT_S,
            show=False,
        )
        if transcript.returncode != 0:
            jetson_log.judge(transcript, 0.0)
        module = jetson_module.parse(transcript.text)
        self._log.event("module", identity=module.identity, configuration=module.configuration)
        self._log.say(f"  the module says: {module.identity or 'no id'}, {module.configuration or 'no configuration'}")
        jetson_module.refuse_disagreement(module, self._board)
        self._await_recovery()

    def _await_recovery(self) -> None:
        time.sleep(self.settle_s)
        back = usb.await_device(self._system, self._device.instance, self._board.recovery, self.return_limit_s)
        if back is None:
            raise Refusal(
                Code.USB_LOST,
                f"the board did not come back on port {self._device.instance} within {self.return_limit_s:.0f} s",
                "it restarts when its EEPROM has been read; a hub or power saving often loses it then",
                "take its power away for ten seconds, put it into recovery again, on a port of the machine itself",
            )

    def _pinned(self) -> list[str]:
        """NVIDIA's tools take the first board that they find, unless they are told."""
        return ["--usb-instance", self._options.usb_instance] if self._options.usb_instance else []

    def resolution(self) -> Resolution:
        return [
            ("board", f"{self._board.name} ({self._board.title})"),
            ("on USB", self._device.described),
            ("modules", ", ".join(self._board.modules) or "any"),
            ("configuration", self._board.configuration),
            ("NVIDIA's folder", f"{self._bsp}, release {jetson_host.release(self._bsp) or 'not known'}"),
            ("command", shlex.join(self._full_command())),
            ("erased", "all that is on the board's boot flash and on its disk"),
        ]

    def _full_command(self) -> list[str]:
        return [self._command[0], *self._pinned(), *self._command[1:]]

    def steps(self) -> list[str]:
        last = (
            "wait until the board has booted"
            if self._board.reset == "automatic"
            else "say that the board has to be started by hand"
        )
        return [
            f"read the module's EEPROM: cd {self._bsp} && ./nvautoflash.sh --print_boardid",
            f"write the board: cd {self._bsp} && {shlex.join(self._full_command())}",
            f"read its log: a boot flash `erased` in less than {self._board.erase_s:.0f} s is write-protected",
            last,
        ]

    def write(self) -> None:
        self.target = "incomplete"
        self._log.event("target_incomplete")
        self._transcript = vendor.run(
            self._full_command(),
            self._log,
            cwd=self._bsp,
            keep=self._keep,
            limit_s=self.flash_limit_s,
            silence_s=self.flash_silence_s,
        )

    def verify(self) -> None:
        self._log.say(f"  the log is in {self._keep}")
        took = jetson_log.judge(self._transcript, self._board.erase_s)
        self._log.event("judged", erase_s=took, sha256=hashlib.sha256(self._transcript.text.encode()).hexdigest())
        self._log.say("  the boot flash was not erased as a whole" if took is None else f"  erased in {took:.0f} s")

    def finalise(self) -> None:
        self.target = "complete"
        self._log.event("target_complete")
        if self._board.reset != "automatic":
            return
        self._log.say("  waiting for the board to boot")
        # By any port: it may come back with another speed, and so on another bus.
        self._booted = usb.await_device(self._system, "", self._board.booted, self.boot_limit_s) is not None
        if not self._booted:
            self._log.warn("not_booted", f"the board was not seen to boot within {self.boot_limit_s:.0f} s")

    def report(self) -> list[str]:
        name = self._board.title
        if self._board.reset != "automatic":
            return [
                f"{name} is written. It does not start by itself: take its power away, and give it again.",
                "If it comes back in recovery mode, take the recovery jumper off first.",
            ]
        if self._booted:
            return [f"{name} is written and has booted: ssh USER@192.168.55.1 reaches it over the same cable."]
        return [
            f"{name} is written, but was not seen to boot.",
            "Take the recovery jumper off, and its power away for ten seconds; its serial console says more.",
        ]

    def close(self) -> None:
        """Nothing is held."""


def refuse_failed(checks: list[jetson_host.Check], options: Options, log: Log) -> None:
    """Shows the checks; raises if one failed that was not accepted."""
    failed = []
    for check in checks:
        log.event("check", name=check.name, outcome=check.outcome, found=check.found, fix=check.fix)
        log.say(f"  {check.outcome:<8} {check.name}: {check.found}")
        if check.outcome != "ok":
            log.say(f"           fix: {check.fix}")
        if check.outcome == "failed" and check.name not in options.accept:
            failed.append(check)
    if failed:
        raise Refusal(
            Code.HOST,
            f"this machine is not ready: {', '.join(check.name for check in failed)}",
            "; ".join(check.found for check in failed),
            failed[0].fix if len(failed) == 1 else "each check above says its own",
        )
