"""What the log of NVIDIA's flash tools really says.

Two things they get wrong. They say success when the boot flash (QSPI) was not erased, because a write-protected chip
takes the command and does nothing: only the time tells, a second instead of minutes. And their last line seldom names
the cause.
"""

import re

from .refusal import Code, Refusal
from .vendor import Line, Transcript

# tegraflash stamps its lines with seconds; flash_erase, on the board, does not.
_STAMP = re.compile(r"^\[\s*(\d+\.\d+)\s*\]")
_ERASE = re.compile(r"Erasing (?:spi\b|(\d+) Kibyte @ ([0-9a-fA-F]+))", re.IGNORECASE)

# BOUND: below this it is not the whole chip that is erased, and any time is right.
_WHOLE_KIB = 16 * 1024


def erase_time(lines: list[Line]) -> float | None:
    """The longest that the erase of the boot flash can have taken, in seconds; None if there was none.

    From the line before the first that speaks of it to the line after the last: it is not known whether the tool speaks
    before or after it works. So a chip that was erased is never suspected; one that was not is found, as
    the lines around it come at once.
    """
    about = [number for number, line in enumerate(lines) if _ERASE.search(line.text)]
    if not about or _erased_kib([lines[number].text for number in about]) < _WHOLE_KIB:
        return None
    before = lines[max(0, about[0] - 1)]
    after = lines[min(len(lines) - 1, about[-1] + 1)]
    stamps = _STAMP.match(before.text), _STAMP.match(after.text)
    if stamps[0] and stamps[1] and float(stamps[1][1]) >= float(stamps[0][1]):
        return float(stamps[1][1]) - float(stamps[0][1])
    # Without stamps, or where another tool began to count anew in between.
    return after.at_s - before.at_s


def _erased_kib(texts: list[str]) -> int:
    """How much was erased, as far as it is said; a line that names no size is for the whole chip."""
    total = 0
    for text in texts:
        found = _ERASE.search(text)
        if found and found[1] is None:
            return _WHOLE_KIB
        if found:
            total = max(total, int(found[1]) + int(found[2], 16) // 1024)
    return total


_CAUSES = (
    (
        Code.PING,
        re.compile(r"Device ping failed|Waiting for target to boot-up.*timeout|Error: Timeout", re.IGNORECASE),
        "the board was started for flashing and did not answer over the USB network",
        "its USB went through a hub, NetworkManager took usb0, a firewall, or the wrong configuration: the "
        "flashing system then does not start",
        "use a port of the machine itself and another cable; see `scripts/flash BOARD --check-host`; the board's "
        "serial console says how far it came",
    ),
    (
        Code.USB_TRANSFER,
        re.compile(r"timeout in USB (write|read)|Return value 3\b|Write failed", re.IGNORECASE),
        "data got lost between this machine and the board",
        "a cable, a hub or power saving of USB; or a module other than the configuration is for",
        "take the board's power away for ten seconds, put it into recovery again, use another cable and a USB 2 port "
        "of the machine itself; echo -1 > /sys/module/usbcore/parameters/autosuspend",
    ),
)


def judge(transcript: Transcript, erase_s: float) -> float | None:
    """Raises what went wrong; returns how long the erase took. `erase_s` is the shortest that is possible."""
    took = erase_time(transcript.lines)
    if transcript.returncode != 0:
        for code, pattern, what, why, fix in _CAUSES:
            if pattern.search(transcript.text):
                raise Refusal(code, what, why, fix)
        raise Refusal(
            Code.VENDOR_FAILED,
            f"NVIDIA's tool ended with {transcript.returncode}; its last words: {transcript.tail() or 'none'}",
            "what it was to do is not done",
            "read the whole log, whose path is above; take the board's power away before the next try",
        )
    if took is not None and took < erase_s:
        raise Refusal(
            Code.WRITE_PROTECTED,
            f"the boot flash was `erased` in {took:.2f} s, which takes {erase_s:.0f} s at least",
            "it is write-protected and ignored the command, so that the old and the new boot loader are mixed; the "
            "tool says success all the same, and the board goes back to recovery",
            "flash again with l4t_initrd_flash.sh, whose Linux takes the protection off; see docs/flashing.md",
        )
    return took
