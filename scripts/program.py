"""From a program's work to its exit code: whatever ends it is said to people and written into the event log."""

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from flashing.events import Log
from refusals import Refusal
from remote import Unreachable


def run(name: str, log: Log, work: Callable[[], None], explain: Callable[[BaseException], Refusal]) -> int:
    """Does the work; gives the exit code. `explain` makes refusals of a lost board, a signal, the unforeseen."""
    # Of the two signals that people and systems send, Python makes an exception of the first alone.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        work()
        return 0
    except Refusal as refusal:
        found = refusal
    except (Unreachable, KeyboardInterrupt) as error:
        found = explain(error)
    except Exception as error:
        traceback.print_exc()
        found = explain(error)
    log.event(
        "refused",
        code=found.code.title,
        exit=found.code.exit_code,
        what=found.what,
        why=found.why,
        fix=found.fix,
    )
    log.say(f"\n{name}: {found}")
    sys.stderr.flush()
    return found.code.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
