"""Runs scripts/flash on a loop device, and can kill itself in the middle of a write.

The real command refuses loop devices, and nothing that one can type or set changes that: this program exists so that
it need not. usage: driver.py KILL_AT BOARD [options]; with KILL_AT = n the n-th write to the target is torn in two and
the process killed (SIGKILL) between the halves; 0 is never.
"""

import os
import signal
import sys

from fixture import LOOPS, SEGMENT
from flashing.block_recipe import BlockRecipe
from flashing.cli import main
from flashing.device import Device

kill_at = int(sys.argv[1])
_whole = Device.write
_count = 0


def _torn(device: Device, offset: int, view: memoryview) -> None:
    global _count
    _count += 1
    if _count == kill_at:
        half = len(view) // 2 // device.disk.sector * device.disk.sector
        _whole(device, offset, view[:half])
        os.kill(os.getpid(), signal.SIGKILL)
    _whole(device, offset, view)


if kill_at:
    Device.write = _torn  # type: ignore[method-assign, assignment]

sys.exit(main(sys.argv[2:], lambda board, asked, log: BlockRecipe(board, asked, log, policy=LOOPS, segment=SEGMENT)))
