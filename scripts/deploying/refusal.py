"""Every reason to stop a deploy or a package, with its name and its exit code.

A number is never given to another reason later; those that `scripts/flash` has too are the same there.
"""

from refusals import Reason, Refusal
from refusals import table as lines

__all__ = ["Code", "Refusal", "table"]


class Code(Reason):
    """A reason to stop: exit code and meaning."""

    USAGE = (2, "the command line is not understood")
    # This machine and the board file.
    PYTHON = (10, "Python is older than 3.11")
    BOARD_UNKNOWN = (11, "there is no board of that name")
    BOARD_FILE = (12, "the board file lacks something that is needed, or cannot be read")
    TOOL_MISSING = (15, "a program that is needed is not installed")
    STATE = (18, "the event log or the file of host keys cannot be written")
    # The release.
    BUILD = (20, "it could not be built")
    BINARY = (21, "the binary is none for this board")
    GLIBC = (22, "the binary needs a newer glibc than the board has")
    LIBRARY = (23, "the binary needs a library that the board lacks")
    CONFIG = (24, "the configuration is not one that this release takes")
    MODELS = (25, "a model that the configuration needs is not here")
    PACKAGE = (26, "the Debian package could not be made, or not be installed")
    # The connection and who is there.
    NO_CONNECTION = (30, "the board cannot be reached by ssh")
    HOST_KEY = (31, "the board has another host key than before")
    AUTHENTICATION = (32, "the board lets nobody in with this key")
    NOT_PERMITTED = (33, "the user there may not become root without a password")
    WRONG_BOARD = (34, "the host is another board than the one named")
    LOST = (35, "the connection was lost while a release was on trial; the board ends it by itself")
    BUSY = (36, "somebody else changes this board's release right now")
    NO_SPACE = (37, "the board's disk is full")
    TRANSFER = (38, "what arrived is not what was sent")
    # The release on the board. After each of these the old release runs, unless it is said otherwise.
    CHECK = (40, "the release does not run on the board: its version, its doctor or its five seconds")
    CRASHED = (41, "the release ended after it was started; the old one runs again")
    NEVER_READY = (42, "the release never became ready; the old one runs again")
    NO_BEATS = (43, "the release stopped giving signs of life; the old one runs again")
    NOT_BACK = (44, "the release failed, and the old one does not become ready either")
    NOTHING_BEFORE = (45, "there is no release to go back to")
    REMOTE = (46, "a command on the board failed")
    UNFORESEEN = (99, "something happened that this program does not know")
    INTERRUPTED = (130, "stopped by a signal")


def table() -> str:
    """The exit codes as lines, for `--help`; docs/deploying.md has the same, and a test compares them."""
    return lines(Code, "done, nothing to do, or the dry run came to its end")
