"""The stages of a flash, the same for every board.

A dry run ends before `confirm`: the stages until there only look.
"""

from typing import Literal, Protocol

from . import confirm
from .confirm import Resolution
from .events import Log
from .options import Options

STAGES = ("plan", "host", "detect", "identify", "confirm", "write", "verify", "finalise", "report")


TargetState = Literal["unchanged", "incomplete", "complete"]


class Recipe(Protocol):
    """How a kind of board is flashed. Each stage raises a Refusal to end the flash."""

    target: TargetState
    """Said with every refusal: `incomplete` was changed and does not boot."""

    def plan(self) -> None:
        """What was asked for makes sense, going by the options, the board file and the image's name."""

    def host(self) -> None:
        """This machine has what is needed."""

    def detect(self) -> None:
        """The target is there."""

    def identify(self) -> None:
        """The target is the right one, and may be written."""

    def resolution(self) -> Resolution:
        """What will be written to what, for a person to confirm."""

    def steps(self) -> list[str]:
        """What will be done, in order, with the commands of vendors' tools as they will run."""

    def write(self) -> None:
        """Changes the target."""

    def verify(self) -> None:
        """Proves that the target has what was written, as far as that can be proven."""

    def finalise(self) -> None:
        """Makes the target bootable, or waits until it has booted."""

    def report(self) -> list[str]:
        """What a person does next."""

    def close(self) -> None:
        """Lets go of the target, also after a refusal."""


def run(recipe: Recipe, options: Options, log: Log) -> None:
    """Goes through the stages."""
    try:
        _stages(recipe, options, log)
    finally:
        recipe.close()


def _stages(recipe: Recipe, options: Options, log: Log) -> None:
    for stage in STAGES:
        log.enter(stage)
        if stage == "confirm":
            _show(recipe, log)
            if options.dry_run:
                log.event("dry_run")
                log.say("This was a dry run: nothing was changed.")
                return
            confirm.ask(recipe.resolution(), options.token, log)
        elif stage == "report":
            lines = recipe.report()
            log.event("done", report=lines)
            for line in lines:
                log.say(line)
        else:
            log.say(f"{stage}:")
            getattr(recipe, stage)()
        log.event("leave")


def _show(recipe: Recipe, log: Log) -> None:
    resolution, steps = recipe.resolution(), recipe.steps()
    token = confirm.token(resolution)
    log.event("plan", resolution=dict(resolution), steps=steps, token=token)
    width = max(len(key) for key, _ in resolution)
    log.say("\nThe plan:")
    for key, value in resolution:
        log.say(f"  {key:<{width}}  {value}")
    log.say("\nThe steps:")
    for number, step in enumerate(steps, start=1):
        log.say(f"  {number}. {step}")
    log.say(f"\nThe plan's token: {token}\n")
