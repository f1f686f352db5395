"""USB devices that this kernel gives to itself: gadgets (configfs) on the ports of dummy_hcd.

To the programs above they are devices as any other: they appear on the bus, are asked for their names, and a disk among
them is a disk of the SCSI layer that can be mounted, partitioned and written.
"""

import time
from collections.abc import Callable
from pathlib import Path

GADGETS = Path("/sys/kernel/config/usb_gadget")
# BOUND: an emulated processor on a busy host takes some seconds to find a device.
PATIENCE_S = 60.0


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    """Waits until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


class Gadget:
    """A USB device on one of the ports, 0 to 2."""

    def __init__(self, port: int, identifier: str, maker: str, product: str, serial: str = "") -> None:
        self.port = port
        self.folder = GADGETS / f"port{port}"
        (self.folder / "strings/0x409").mkdir(parents=True)
        (self.folder / "configs/c.1").mkdir()
        self.identify(identifier)
        for name, text in (("manufacturer", maker), ("product", product), ("serialnumber", serial)):
            if text:
                (self.folder / "strings/0x409" / name).write_text(text)

    def identify(self, identifier: str) -> None:
        """Gives it a vendor and product such as `0955:7523`."""
        vendor, product = identifier.split(":")
        (self.folder / "idVendor").write_text("0x" + vendor)
        (self.folder / "idProduct").write_text("0x" + product)

    def add(self, function: str) -> Path:
        """Adds a function such as `acm.0`."""
        made = self.folder / "functions" / function
        made.mkdir()
        (self.folder / "configs/c.1" / function).symlink_to(made)
        return made

    @property
    def plugged(self) -> bool:
        """Whether it is in its port."""
        return bool((self.folder / "UDC").read_text().strip())

    def plug_in(self) -> None:
        """Puts it into its port, and waits until it is on the bus."""
        (self.folder / "UDC").write_text(f"dummy_udc.{self.port}")
        wait_until(f"the device in port {self.port}", lambda: self.instance != "")

    def pull_out(self) -> None:
        """Takes it out, and waits until it is gone."""
        if self.plugged:
            (self.folder / "UDC").write_text("\n")
        wait_until(f"the end of the device in port {self.port}", lambda: self.instance == "")

    @property
    def instance(self) -> str:
        """Bus and port as in /sys/bus/usb/devices; empty while it is not there."""
        root = Path(f"/sys/devices/platform/dummy_hcd.{self.port}")
        return next((found.name for found in root.glob("usb*/*-1") if (found / "idVendor").exists()), "")

    def remove(self) -> None:
        """Takes it out and away; configfs wants that piece by piece."""
        self.pull_out()
        for link in (self.folder / "configs/c.1").iterdir():
            if link.is_symlink():
                link.unlink()
        for made in (self.folder / "functions").iterdir():
            made.rmdir()
        (self.folder / "configs/c.1").rmdir()
        (self.folder / "strings/0x409").rmdir()
        self.folder.rmdir()


class Stick(Gadget):
    """A USB disk. Its medium is a file, or a block device."""

    def __init__(self, port: int, serial: str) -> None:
        super().__init__(port, "18d1:4e40", "TestVendor", "FakeSD", serial)
        self.unit = self.add("mass_storage.0") / "lun.0"

    def insert(self, medium: Path | None, *, read_only: bool = False, removable: bool = True) -> None:
        """Plugs it in anew with a medium, or with none. That is another appearance of the disk."""
        self.pull_out()
        (self.unit / "file").write_text("\n")
        (self.unit / "ro").write_text(str(int(read_only)))
        (self.unit / "removable").write_text(str(int(removable)))
        if medium is not None:
            (self.unit / "file").write_text(str(medium))
        self.plug_in()
        wait_until("the disk", lambda: self.path is not None)
        # Of a disk that is there the size is read a moment later.
        if medium is not None:
            wait_until("the disk's size", lambda: self._sectors() > 0)

    def _block(self) -> Path | None:
        root = Path(f"/sys/devices/platform/dummy_hcd.{self.port}")
        return next(iter(root.glob("usb*/*-1/*/host*/target*/*/block/*")), None)

    def _sectors(self) -> int:
        block = self._block()
        return 0 if block is None else int((block / "size").read_text())

    @property
    def path(self) -> Path | None:
        """Its node in /dev, once it is there."""
        block = self._block()
        node = None if block is None else Path("/dev") / block.name
        return node if node is not None and node.exists() else None
