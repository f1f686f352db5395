"""Every reason to stop flashing, with its name and its exit code."""

from refusals import Reason, Refusal
from refusals import table as lines

__all__ = ["Code", "Refusal", "table"]


class Code(Reason):
    """A reason to stop: exit code and meaning."""

    USAGE = (2, "the command line is not understood")
    # The host and the board file.
    PYTHON = (10, "Python is older than 3.11")
    BOARD_UNKNOWN = (11, "there is no board of that name")
    BOARD_FILE = (12, "the board file lacks something that flashing needs, or cannot be read")
    RECIPE = (13, "this board is not flashed, or not in the way that the options ask for")
    NOT_ROOT = (14, "writing needs root")
    TOOL_MISSING = (15, "a program that is needed is not installed")
    HOST = (16, "a check of the host failed")
    BSP = (17, "the folder given by --bsp is not NVIDIA's, or not prepared")
    STATE = (18, "the folder for logs, backups and journals cannot be written")
    # The image.
    IMAGE_MISSING = (20, "there is no such image")
    IMAGE_FORMAT = (21, "the image is of no kind that can be written")
    IMAGE_CHECKSUM = (22, "the image is not what its .sha256 says, or is damaged")
    BMAP = (23, "the .bmap is damaged or belongs to another image")
    IMAGE_CHANGED = (24, "the image changed while it was written: the image or the host is at fault, not the target")
    # The target disk.
    NO_DEVICE = (30, "there is no such device")
    NOT_BLOCK = (31, "the target is a file or something else that is no block device")
    PARTITION = (32, "the target is a partition, not a whole disk")
    VIRTUAL = (33, "the target is made by this machine (loop, dm, md, zram), not a disk")
    SYSTEM_DISK = (34, "the target carries this system")
    MOUNTED = (35, "something on the target is mounted")
    SWAP = (36, "this machine swaps to the target")
    HOLDERS = (37, "LVM, LUKS, RAID or the like uses the target")
    IMAGE_ON_TARGET = (38, "the image lies on the target")
    READ_ONLY = (39, "the target is read-only")
    NOT_REMOVABLE = (40, "the target is not a removable disk")
    WRONG_SERIAL = (41, "the target's serial number is not the one asked for")
    TOO_SMALL = (42, "the target is smaller than the image")
    LARGE_DISK = (43, "the target is too large to be a card, and no serial number was given")
    IN_USE = (44, "the kernel does not give the target exclusively")
    CHANGED = (45, "another disk is in the target's place since the plan was made")
    NO_MEDIUM = (46, "the reader has no card in it")
    # Boards on a USB cable.
    NO_BOARD = (50, "no board of this kind waits on USB to be flashed")
    SEVERAL_BOARDS = (51, "several boards wait, and none was named")
    BOOTED = (52, "the board runs its system instead of waiting to be flashed")
    FLASHING = (53, "the board is in the middle of a flash, or hangs in one")
    OTHER_BOARD = (54, "a board waits, but of another kind")
    WRONG_MODULE = (55, "the module's EEPROM disagrees with the board file")
    USB_LOST = (56, "the board did not come back on USB")
    # Consent and resuming.
    NOT_CONFIRMED = (60, "nobody confirmed the plan")
    WRONG_TOKEN = (61, "the token is not that of this plan")
    NOTHING_TO_RESUME = (62, "no interrupted flash of this target is known")
    OTHER_JOB = (63, "the interrupted flash was of another image or board")
    # Writing and verifying.
    WRITE_FAILED = (70, "the target did not take the data")
    READ_FAILED = (71, "the target could not be read back")
    BACKUP = (72, "the partition table could not be saved, so nothing was written")
    VERIFY_CARD = (80, "the target holds other data than was written: the card is at fault")
    VERIFY_READER = (81, "the target gives other data at each reading: reader, cable or hub is at fault")
    # Vendors' tools.
    VENDOR_FAILED = (90, "the vendor's tool failed")
    VENDOR_TIMEOUT = (91, "the vendor's tool took too long, or fell silent")
    PING = (92, "the board did not answer over the USB network after it was started for flashing")
    WRITE_PROTECTED = (93, "the boot flash was not erased although the tool says so: it is write-protected")
    USB_TRANSFER = (94, "data got lost on the USB cable")
    UNFORESEEN = (99, "something happened that this program does not know")
    INTERRUPTED = (130, "stopped by a signal")


def table() -> str:
    """The exit codes as lines, for `--help`; docs/flashing.md has the same, and a test compares them."""
    return lines(Code, "done, or the dry run came to its end")
