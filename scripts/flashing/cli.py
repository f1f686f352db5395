"""From the command line to the exit code."""

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from . import board as boards
from . import flow, jetson_host, options
from .block_recipe import BlockRecipe
from .board import Board
from .events import Log
from .flow import Recipe
from .jetson_recipe import JetsonRecipe, refuse_failed
from .options import Options
from .refusal import Code, Refusal
from .rockusb_recipe import RockusbRecipe
from .system import System


def main(words: list[str], choice: Callable[[Board, Options, Log], Recipe] | None = None) -> int:
    """Flashes a board; the exit code is the refusal's. `choice` is for the tests' own driver."""
    asked = options.parse(words)
    log = Log()
    # Of the two signals that people and systems send, Python turns only the first into an exception.
    signal.signal(signal.SIGTERM, _interrupt)
    recipe: Recipe | None = None
    try:
        if asked.events:
            log.write_to(asked.events)
        board = boards.load(asked.board)
        log.event("begin", board=board.name, recipe=board.recipe, words=words)
        if asked.check_host:
            return _check_host(board, asked, log)
        recipe = (choice or choose)(board, asked, log)
        flow.run(recipe, asked, log)
        return 0
    except Refusal as refusal:
        return _refused(refusal, recipe, log)
    except KeyboardInterrupt:
        return _refused(
            Refusal(Code.INTERRUPTED, "stopped by a signal", "somebody or something stopped it", "start it again"),
            recipe,
            log,
        )
    except Exception as error:
        # Whatever it is, the state of the target has to be said.
        traceback.print_exc()
        return _refused(
            Refusal(
                Code.UNFORESEEN,
                f"{type(error).__name__}: {error}",
                "it is a mistake of this program, or this machine does something that it does not know",
                "please report it, with the lines above and the event log",
            ),
            recipe,
            log,
        )


def choose(board: Board, asked: Options, log: Log) -> Recipe:
    """How this board is flashed, going by its file, and by the options where there are two ways."""
    # A board of Rockchip's boots from a card as well, and that is a plain image.
    if board.recipe == "block-image" or (board.recipe == "rockusb" and asked.device is not None):
        return BlockRecipe(board, asked, log)
    if board.recipe == "rockusb":
        return RockusbRecipe(board, asked, log)
    if board.recipe == "l4t-initrd":
        return JetsonRecipe(board, asked, log)
    raise Refusal(
        Code.RECIPE,
        f"{board.title} is not flashed (recipe `{board.recipe}`)",
        "its file says so",
        "boards/README.md says what a board file may say about flashing",
    )


def _check_host(board: Board, asked: Options, log: Log) -> int:
    log.enter("host")
    if board.recipe == "l4t-initrd":
        refuse_failed(jetson_host.check(System(), asked.bsp), asked, log)
    else:
        recipe = choose(board, asked, log)
        recipe.host()
        recipe.close()
    log.say("This machine can flash the board.")
    log.event("done")
    return 0


def _refused(refusal: Refusal, recipe: Recipe | None, log: Log) -> int:
    target = recipe.target if recipe else "unchanged"
    log.event(
        "refused",
        code=refusal.code.title,
        exit=refusal.code.exit_code,
        what=refusal.what,
        why=refusal.why,
        fix=refusal.fix,
        target=target,
    )
    log.say(f"\nflash: {refusal}")
    if target == "incomplete":
        log.say(
            "  THE TARGET IS INCOMPLETE: it does not boot. "
            + ("Go on with --resume, or write it anew." if isinstance(recipe, BlockRecipe) else "Flash it again.")
        )
    else:
        log.say(f"  The target is {target}.")
    sys.stderr.flush()
    return refusal.code.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
