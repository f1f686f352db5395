"""Every reason not to make an image, with its name and its exit code."""

from refusals import Reason, Refusal
from refusals import table as lines

__all__ = ["Code", "Refusal", "table"]


class Code(Reason):
    """A reason to stop: exit code and meaning."""

    USAGE = (2, "the command line is not understood")
    PYTHON = (10, "Python is older than 3.11")
    BOARD_UNKNOWN = (11, "there is no board of that name")
    BOARD_FILE = (12, "the board file lacks something that an image needs, or cannot be read")
    RECIPE = (13, "no image is made for this board")
    NOT_ROOT = (14, "making file systems with their owners needs root")
    TOOL_MISSING = (15, "a program that is needed is not installed")
    FOREIGN = (16, "programs of the board's processor do not run here")
    NO_LOGIN = (17, "nobody could log in to the system")
    PACKAGE = (20, "the Debian package of reflexarc could not be made or read")
    MIRROR = (30, "no Debian archive is known or reached")
    BOOTSTRAP = (31, "mmdebstrap failed")
    CUSTOMISE = (32, "something could not be put into the system")
    KERNEL = (33, "the system has no kernel that fits the board")
    BSP = (40, "the folder given by --bsp is not NVIDIA's, or not prepared")
    BSP_STEP = (41, "a step of NVIDIA's failed")
    FILE_SYSTEM = (50, "a file system could not be made")
    TOO_SMALL = (51, "the system does not fit into the size asked for")
    OUTPUT = (52, "the image could not be written")
    MOUNTED = (53, "something is mounted in a folder that is to be removed")
    UNFORESEEN = (99, "something happened that this program does not know")
    INTERRUPTED = (130, "stopped by a signal")


def table() -> str:
    """The exit codes as lines, for `--help`; docs/images.md has the same, and a test compares them."""
    return lines(Code, "done")
