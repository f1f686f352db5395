"""Every reason to stop a bench, with its name and its exit code.

A number is never given to another reason later; those that `scripts/deploy` has too are the same there.
"""

from refusals import Reason, Refusal
from refusals import table as lines

__all__ = ["Code", "Refusal", "table"]


class Code(Reason):
    """A reason to stop: exit code and meaning."""

    MISSED = (1, "measured, and a limit of the board or a goal of the configuration is missed, or something does not work")
    USAGE = (2, "the command line is not understood")
    PYTHON = (10, "Python is older than 3.11")
    BOARD_UNKNOWN = (11, "there is no board of that name")
    BOARD_FILE = (12, "the board file lacks something that is needed, or cannot be read")
    TOOL_MISSING = (15, "a program that is needed is not installed")
    WORSE = (17, "measured, and worse than the last run of this board")
    STATE = (18, "the results cannot be written here")
    NO_CONNECTION = (30, "the board cannot be reached by ssh")
    HOST_KEY = (31, "the board has another host key than before")
    AUTHENTICATION = (32, "the board lets nobody in with this key")
    NOT_PERMITTED = (33, "the user there may not become root without a password")
    WRONG_BOARD = (34, "the host is another board than the one named")
    LOST = (35, "the connection was lost; the board ends the bench and starts its service again by itself")
    BUSY = (36, "a bench runs on the board already")
    NO_RELEASE = (37, "no release is deployed there")
    DOCTOR = (40, "a check of the doctor fails on the board")
    NOT_BACK = (44, "measured, and the service that ran before does not run again")
    REMOTE = (46, "a command on the board failed")
    BENCH = (47, "the bench ended without results")
    UNFORESEEN = (99, "something happened that this program does not know")
    INTERRUPTED = (130, "stopped by a signal; the board starts its service again")


def table() -> str:
    """The exit codes as lines, for `--help`; docs/benchmarking.md has the same, and a test compares them."""
    return lines(Code, "measured, and every limit that was judged is kept")
