"""From the command line to the exit code."""

import signal
import sys
import traceback
from contextlib import ExitStack
from types import FrameType

from flashing.events import Log
from remote import Trouble, Unreachable

from . import options
from .flow import BenchOnBoard
from .refusal import Code, Refusal

_TROUBLES = {
    Trouble.NO_SSH: (Code.TOOL_MISSING, "install it: apt-get install openssh-client"),
    Trouble.NO_CONNECTION: (Code.NO_CONNECTION, "is it on, on this network, and is ssh running there?"),
    Trouble.AUTHENTICATION: (Code.AUTHENTICATION, "name a key with --identity, and put its .pub into authorized_keys there"),
    Trouble.HOST_KEY: (Code.HOST_KEY, "if the board was flashed anew, take its line out of the file of --known-hosts"),
    Trouble.LOST: (Code.LOST, "wait until the board has ended the bench, and measure again"),
}


def main(words: list[str], ssh: str = "ssh") -> int:
    """Measures a board; the exit code is the refusal's. `ssh` is for the tests."""
    asked = options.parse(words)
    log = Log()
    # Of the two signals that people and systems send, Python turns only the first into an exception.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            if asked.events:
                log.write_to(asked.events)
            log.event("begin", board=asked.board, host=asked.host, words=words)
            BenchOnBoard(asked, log, stack, ssh).run()
        return 0
    except Refusal as refusal:
        return _refused(refusal, log)
    except Unreachable as error:
        code, fix = _TROUBLES[error.trouble]
        return _refused(Refusal(code, f"{asked.host}: {error}", "nothing can be measured without a connection", fix), log)
    except KeyboardInterrupt:
        why = "somebody or something stopped it; the board ends the bench, sets its clocks back and starts its service again"
        return _refused(Refusal(Code.INTERRUPTED, "stopped by a signal", why, "start it again"), log)
    except Exception as error:
        traceback.print_exc()
        why = "it is a mistake of this program, or the board does something that it does not know"
        fix = "please report it, with the lines above and the event log"
        return _refused(Refusal(Code.UNFORESEEN, f"{type(error).__name__}: {error}", why, fix), log)


def _refused(refusal: Refusal, log: Log) -> int:
    log.event(
        "refused",
        code=refusal.code.title,
        exit=refusal.code.exit_code,
        what=refusal.what,
        why=refusal.why,
        fix=refusal.fix,
    )
    log.say(f"\nbench-on-board: {refusal}")
    sys.stderr.flush()
    return refusal.code.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
