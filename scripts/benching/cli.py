"""From the command line to the exit code."""

from contextlib import ExitStack

from flashing.events import Log
from program import run
from remote import Trouble, Unreachable

from . import options
from .flow import BenchOnBoard
from .options import Options
from .refusal import Code, Refusal

_TROUBLES = {
    Trouble.NO_SSH: (Code.TOOL_MISSING, "install it: apt-get install openssh-client"),
    Trouble.NO_CONNECTION: (Code.NO_CONNECTION, "is it on, on this network, and is ssh running there?"),
    Trouble.AUTHENTICATION: (
        Code.AUTHENTICATION,
        "name a key with --identity, and put its .pub into authorized_keys there",
    ),
    Trouble.HOST_KEY: (Code.HOST_KEY, "if the board was flashed anew, take its line out of the file of --known-hosts"),
    Trouble.LOST: (Code.LOST, "wait until the board has ended the bench, and measure again"),
}


def main(words: list[str], ssh: str = "ssh") -> int:
    """Measures a board; the exit code is the refusal's. `ssh` is for the tests."""
    asked = options.parse(words)
    log = Log()

    def work() -> None:
        with ExitStack() as stack:
            if asked.events:
                log.write_to(asked.events)
            log.event("begin", board=asked.board, host=asked.host, words=words)
            BenchOnBoard(asked, log, stack, ssh).run()

    return run("bench-on-board", log, work, lambda error: _explain(error, asked))


def _explain(error: BaseException, asked: Options) -> Refusal:
    if isinstance(error, Unreachable):
        return _of_connection(error, asked)
    if isinstance(error, KeyboardInterrupt):
        why = "somebody or something stopped it; the board ends the bench, sets its clocks back and starts its service again"
        return Refusal(Code.INTERRUPTED, "stopped by a signal", why, "start it again")
    why = "it is a mistake of this program, or the board does something that it does not know"
    fix = "please report it, with the lines above and the event log"
    return Refusal(Code.UNFORESEEN, f"{type(error).__name__}: {error}", why, fix)


def _of_connection(error: Unreachable, asked: Options) -> Refusal:
    code, fix = _TROUBLES[error.trouble]
    return Refusal(code, f"{asked.host}: {error}", "nothing can be measured without a connection", fix)
