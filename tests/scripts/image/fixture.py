"""What the tests of scripts/image share."""

import contextlib
import io
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from imaging import cli  # noqa: E402

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvcnRlc3Rzb25seWZvcnRlc3Rzb25seWZvcnRlc3Rz you@laptop\n"


def image(*words: str) -> tuple[int, str]:
    """Runs scripts/image in this process: exit code, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = cli.main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, said.getvalue()


def bsp(folder: Path) -> Path:
    """A folder of the shape of NVIDIA's Linux_for_Tegra, with tools that write down how they were called."""
    for name in ("flash.sh", "kernel/Image"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Linux version 5.15 SMP PREEMPT\n")
    _program(
        folder / "apply_binaries.sh",
        'echo "apply $*" >>calls; mkdir -p rootfs/boot/extlinux; cp extlinux.conf rootfs/boot/extlinux/\n'
        'echo "# R36 (release), REVISION: 4.3" >rootfs/etc/nv_tegra_release',
    )
    _program(
        folder / "tools/l4t_create_default_user.sh",
        'echo "user $*" >>calls; echo "$2:x:1000:1000::/home/$2:/bin/bash" >>rootfs/etc/passwd',
    )
    (folder / "extlinux.conf").write_text(EXTLINUX)
    (folder / "rootfs/etc").mkdir(parents=True)
    (folder / "rootfs/etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    return folder


EXTLINUX = """\
TIMEOUT 30
DEFAULT primary

MENU TITLE L4T boot options

LABEL primary
      MENU LABEL primary kernel
      LINUX /boot/Image
      INITRD /boot/initrd
      APPEND ${cbootargs} root=PARTUUID=1234 rw rootwait

# When testing a custom kernel, it is recommended that you create a backup of
# the original kernel and add a new entry to this file.
"""


def _program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nset -e\n{body}\n")
    path.chmod(0o755)
