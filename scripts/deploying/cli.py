"""From the command line to the exit code."""

import signal
import sys
import traceback
from contextlib import ExitStack
from types import FrameType

from flashing.events import Log
from remote import Trouble, Unreachable

from . import options
from .flow import Deploy
from .refusal import Code, Refusal

_TROUBLES = {
    Trouble.NO_SSH: (Code.TOOL_MISSING, "install it: apt-get install openssh-client"),
    Trouble.NO_CONNECTION: (Code.NO_CONNECTION, "is it on, on this network, and is ssh running there?"),
    Trouble.AUTHENTICATION: (Code.AUTHENTICATION, "name a key with --identity, and put its .pub into authorized_keys there"),
    Trouble.LOST: (Code.NO_CONNECTION, "look with --status what runs there, and deploy again"),
}


def main(words: list[str], ssh: str = "ssh") -> int:
    """Deploys; the exit code is the refusal's. `ssh` is for the tests."""
    asked = options.parse(words)
    log = Log()
    # Of the two signals that people and systems send, Python turns only the first into an exception.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            if asked.events:
                log.write_to(asked.events)
            log.event("begin", board=asked.board, host=asked.host, words=words)
            Deploy(asked, log, stack, ssh).run()
        return 0
    except Refusal as refusal:
        return _refused(refusal, log)
    except Unreachable as error:
        return _refused(_of_connection(error, asked.host, asked.known_hosts), log)
    except KeyboardInterrupt:
        why = "somebody or something stopped it; a trial under way goes on and ends by itself"
        return _refused(Refusal(Code.INTERRUPTED, "stopped by a signal", why, "look with --status"), log)
    except Exception as error:
        traceback.print_exc()
        why = "it is a mistake of this program, or the board does something that it does not know"
        fix = "please report it, with the lines above and the event log"
        return _refused(Refusal(Code.UNFORESEEN, f"{type(error).__name__}: {error}", why, fix), log)


def _of_connection(error: Unreachable, host: str, known_hosts: object) -> Refusal:
    if error.trouble is Trouble.HOST_KEY:
        return Refusal(
            Code.HOST_KEY,
            f"{host} has another host key than the one in {known_hosts}",
            "either the board was flashed anew, or something else answers in its place",
            f"if it was flashed: take its line out of {known_hosts}; if not: find out who answers",
        )
    code, fix = _TROUBLES[error.trouble]
    return Refusal(code, f"{host}: {error}", "nothing can be done there without a connection", fix)


def _refused(refusal: Refusal, log: Log) -> int:
    log.event(
        "refused",
        code=refusal.code.title,
        exit=refusal.code.exit_code,
        what=refusal.what,
        why=refusal.why,
        fix=refusal.fix,
    )
    log.say(f"\ndeploy: {refusal}")
    sys.stderr.flush()
    return refusal.code.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
