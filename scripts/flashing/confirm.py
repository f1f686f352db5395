"""A person confirms a resolution, not a command: what will be written, to what, as it was found.

The token is made of the resolution. A script can run the dry run, show it to somebody and hand the token on; if
anything is different by then (another card, another image), the token is no longer right.
"""

import hashlib
import sys
from collections.abc import Callable

from .events import Log
from .refusal import Code, Refusal

Resolution = list[tuple[str, str]]


def token(resolution: Resolution) -> str:
    """Eight hexadecimal digits, as `3f9a-c21e`."""
    text = "\n".join(f"{key}={value}" for key, value in resolution)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest[:4]}-{digest[4:8]}"


def ask(resolution: Resolution, given: str, log: Log, prompt: Callable[[str], str] = input) -> None:
    """Returns if the plan is confirmed, by `--yes` or at the terminal."""
    wanted = token(resolution)
    if not given:
        if not sys.stdin.isatty():
            raise Refusal(
                Code.NOT_CONFIRMED,
                "nobody is there to confirm the plan",
                "what is written over is lost",
                f"read the plan above; if it is right, add --yes {wanted}",
            )
        try:
            given = prompt(f"type {wanted} to go on: ").strip()
        except EOFError:
            given = ""
    if given != wanted:
        raise Refusal(
            Code.WRONG_TOKEN,
            f"`{given}` is not this plan's token",
            "the token stands for exactly what the plan shows; if it was right before, something changed since",
            "read the plan above again; its token is printed with it",
        )
    log.event("confirmed", token=wanted)
