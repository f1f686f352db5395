"""From the command line to the exit code."""

from contextlib import ExitStack

from flashing.events import Log
from program import run
from remote import Trouble, Unreachable

from . import options
from .flow import Deploy
from .options import Options
from .refusal import Code, Refusal

_TROUBLES = {
    Trouble.NO_SSH: (Code.TOOL_MISSING, "install it: apt-get install openssh-client"),
    Trouble.NO_CONNECTION: (Code.NO_CONNECTION, "is it on, on this network, and is ssh running there?"),
    Trouble.AUTHENTICATION: (
        Code.AUTHENTICATION,
        "name a key with --identity, and put its .pub into authorized_keys there",
    ),
    Trouble.LOST: (Code.NO_CONNECTION, "look with --status what runs there, and deploy again"),
}


def main(words: list[str], ssh: str = "ssh") -> int:
    """Deploys; the exit code is the refusal's. `ssh` is for the tests."""
    asked = options.parse(words)
    log = Log()

    def work() -> None:
        with ExitStack() as stack:
            if asked.events:
                log.write_to(asked.events)
            log.event("begin", board=asked.board, host=asked.host, words=words)
            Deploy(asked, log, stack, ssh).run()

    return run("deploy", log, work, lambda error: _explain(error, asked))


def _explain(error: BaseException, asked: Options) -> Refusal:
    if isinstance(error, Unreachable):
        return _of_connection(error, asked)
    if isinstance(error, KeyboardInterrupt):
        why = "somebody or something stopped it; a trial under way goes on and ends by itself"
        return Refusal(Code.INTERRUPTED, "stopped by a signal", why, "look with --status")
    why = "it is a mistake of this program, or the board does something that it does not know"
    fix = "please report it, with the lines above and the event log"
    return Refusal(Code.UNFORESEEN, f"{type(error).__name__}: {error}", why, fix)


def _of_connection(error: Unreachable, asked: Options) -> Refusal:
    if error.trouble is Trouble.HOST_KEY:
        return Refusal(
            Code.HOST_KEY,
            f"{asked.host} has another host key than the one in {asked.known_hosts}",
            "either the board was flashed anew, or something else answers in its place",
            f"if it was flashed: take its line out of {asked.known_hosts}; if not: find out who answers",
        )
    code, fix = _TROUBLES[error.trouble]
    return Refusal(code, f"{asked.host}: {error}", "nothing can be done there without a connection", fix)
