"""Saves the target's partition table before it is overwritten.

The first and the last MiB hold it: MBR and GPT are at the beginning, GPT's copy at the end. They do not bring back
the files, but they are what one needs to find them again after the wrong disk was confirmed.
"""

import os
from pathlib import Path

from .device import Device, buffer
from .refusal import Code, Refusal

END = 1 << 20


def save(device: Device, folder: Path, name: str) -> Path:
    """Writes both ends to `folder/NAME.table`, the first MiB and then the last; refuses if that does not work."""
    path = folder / f"{name}.table"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for offset in (0, last(device)):
                view = buffer(min(END, device.disk.size))
                device.read(offset, view)
                file.write(view)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Refusal(
            Code.BACKUP,
            f"cannot save the partition table to {path}: {error.strerror}",
            "it is the way back if the wrong disk was confirmed",
            "name a folder that may be written and has space, with --state DIR",
        ) from error
    return path


def last(device: Device) -> int:
    """Where the last MiB begins."""
    return max(0, device.disk.size - END)


def commands(path: Path, device: Device) -> tuple[str, str]:
    """How a person puts the table back."""
    disk = device.disk
    seek = last(device) // disk.sector
    count = min(END, disk.size) // disk.sector
    both = f"bs={disk.sector} count={count} conv=fsync"
    return (
        f"dd if={path} of={disk.path} {both}",
        f"dd if={path} of={disk.path} {both} skip={count} seek={seek}",
    )
