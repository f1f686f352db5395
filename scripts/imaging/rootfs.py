"""The root file system: Debian by mmdebstrap, what is laid over it, and reflexarc's package.

Nothing of this machine gets into it: no name, key, log, cache or address of a mirror.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path

from . import host
from .board import Board
from .options import Options
from .reason import Code, Refusal

SUITE = "trixie"
OVERLAY = Path(__file__).resolve().parent / "overlay"

# What a machine that is reached over the network needs, and nothing that runs without being asked.
PACKAGES = (
    "systemd-sysv", "systemd-repart", "systemd-resolved", "systemd-timesyncd", "udev", "dbus", "kmod", "iproute2",
    "openssh-server", "sudo", "ca-certificates", "e2fsprogs", "dosfstools", "zstd", "initramfs-tools",
)  # fmt: skip
# What `reflexarc bench` measures the machine with, and what tells of a camera's plug.
MEASURING = ("rt-tests", "rtla", "stress-ng", "usbutils")

# Read by nobody on a board; and the compiler of Mesa's software renderer, which only one load of stress-ng would start.
EXCLUDED = (
    "/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*",
    "/usr/lib/*/libLLVM*", "/usr/lib/*/libgallium*", "/usr/lib/*/libz3*",
)  # fmt: skip

# Made by installing, different each time, and made again on the board when they are needed.
TRACES = (
    "etc/machine-id", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/systemd/catalog/database",
    "var/cache/ldconfig/aux-cache", "var/log/bootstrap.log", "var/log/dpkg.log", "var/log/alternatives.log",
    "etc/resolv.conf", "etc/hostname", "etc/.pwd.lock",
)  # fmt: skip


_INITRAMFS = "/usr/sbin/update-initramfs"
_LATER = "/usr/sbin/update-initramfs.later"


class Root:
    """A root file system in a folder, of which programs can be run."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path = path
        self.epoch = epoch

    def run(self, *command: str, feed: bytes | None = None) -> bytes:
        """Runs a program of the system in it."""
        # /proc for the packages' scripts; without /sys and /dev nothing of this machine can be changed from inside.
        environment = {"SOURCE_DATE_EPOCH": str(self.epoch), "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        inside = ["sh", "-c", 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', str(self.path), *command]
        return host.must(Code.CUSTOMISE, [*host.OWN_MOUNTS, *inside], env=environment, feed=feed)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Writes a file below it."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def lay(self, name: str) -> None:
        """Lays a folder of `overlay/` over it. Programs keep that they are; no owner but root, no other right."""
        source = OVERLAY / name
        for path in sorted(source.rglob("*")):
            if path.is_dir():
                continue
            target = self.path / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
            os.chown(target, 0, 0)

    def kernel(self) -> str:
        """The version of the one kernel in it."""
        versions = sorted(path.name for path in (self.path / "usr/lib/modules").glob("*") if (path / "kernel").is_dir())
        if len(versions) != 1:
            raise Refusal(
                Code.KERNEL,
                f"the system has these kernels: {', '.join(versions) or 'none'}",
                "which of them boots would be a matter of luck",
                "see `kernel.packages` in the board file",
            )
        return versions[0]

    def packages(self) -> dict[str, str]:
        """Every package with its version."""
        listed = self.run("dpkg-query", "-W", "-f", "${Package}:${Architecture} ${Version}\\n").decode()
        return dict(line.split(" ", 1) for line in listed.splitlines())


def bootstrap(board: Board, options: Options, extra: tuple[str, ...], path: Path, epoch: int) -> Root:
    """Installs Debian with the board's real-time kernel into an empty folder."""
    mirror = options.mirror or _mirror()
    command = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--architectures={board.architecture}",
        "--format=directory",
        f"--include={','.join((*PACKAGES, *MEASURING, *extra))}",
        '--aptopt=Apt::Install-Recommends "false"',
        # One initramfs at the end: under an emulator each takes minutes, and the kernel and others would make their own.
        f'--essential-hook=chroot "$1" dpkg-divert --quiet --local --rename --add --divert {_LATER} {_INITRAMFS}',
        f'--essential-hook=ln -s /bin/true "$1{_INITRAMFS}"',
        *(f"--dpkgopt=path-exclude={excluded}" for excluded in EXCLUDED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-include=/usr/share/doc/reflexarc/*",
        SUITE,
        str(path),
        *_sources(mirror, board, options),
    ]
    # Beside the image, not in the folder that goes away with a failure.
    log = path.parent.parent / f"{board.name}.mmdebstrap.log"
    with log.open("wb") as file:
        command = [*host.OWN_MOUNTS, *command]
        program = host.which(command[0]) or command[0]
        environment = os.environ | {
            "SOURCE_DATE_EPOCH": str(epoch),
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        }
        done = subprocess.run(
            [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, check=False
        )
    if done.returncode != 0:
        said = [
            line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith(("E:", "W:", "dpkg"))
        ]
        raise Refusal(
            Code.BOOTSTRAP,
            f"mmdebstrap failed ({done.returncode}): {' | '.join(said[-3:])}",
            "without it there is no system",
            f"all that it said is in {log}; is {mirror} a Debian archive with {SUITE} for {board.architecture}?",
        )
    return Root(path, epoch)


def _sources(mirror: str, board: Board, options: Options) -> list[str]:
    lines = [f"deb {mirror} {SUITE} main non-free-firmware"]
    if board.boot == "rpi-cmdline" and options.repository_key:
        lines.append(
            f"deb [signed-by={options.repository_key.resolve()}] http://archive.raspberrypi.com/debian {SUITE} main"
        )
    return lines


def _mirror() -> str:
    """Where this machine's own apt gets Debian."""
    done = host.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"], quiet=True
    )
    for line in done.stdout.decode().splitlines():
        origin, _, address = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise Refusal(
        Code.MIRROR,
        "this machine's apt knows no Debian archive",
        "the packages come from one",
        "name one with --mirror, such as http://deb.debian.org/debian",
    )


def install_reflexarc(root: Root, package: Path) -> None:
    """Puts reflexarc's package into the system."""
    inside = root.path / "var/tmp" / package.name
    shutil.copyfile(package, inside)
    try:
        root.run("dpkg", "--install", f"/var/tmp/{package.name}")
    finally:
        inside.unlink()


def settle(root: Root, options: Options) -> None:
    """Users, names, network, and who may log in."""
    root.lay("common")
    root.write("etc/apt/sources.list.d/debian.sources", _apt_sources(options.archive))
    (root.path / "etc/apt/sources.list").unlink(missing_ok=True)
    for leftover in (root.path / "etc/apt/sources.list.d").glob("0000*"):
        leftover.unlink()
    root.write("etc/hostname", options.hostname + "\n")
    root.write("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {options.hostname}\n")
    root.run("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo,video", options.user)
    root.write(f"etc/sudoers.d/{options.user}", f"{options.user} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    root.write("etc/reflexarc/user", options.user + "\n")
    if options.ssh_key:
        authorise(root, options.user, public_key(options.ssh_key))
    for unit in (
        "systemd-networkd",
        "systemd-resolved",
        "systemd-timesyncd",
        "ssh",
        "reflexarc-firstboot",
        "reflexarc-tune",
    ):
        root.run("systemctl", "enable", f"{unit}.service")


def public_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            Code.NO_LOGIN,
            f"{path} cannot be read: {error}",
            "this key is to log in",
            "name the file of a public key, such as ~/.ssh/id_ed25519.pub",
        ) from error
    if not text.startswith(("ssh-", "ecdsa-", "sk-")) or "\n" in text:
        private = "PRIVATE" in text
        raise Refusal(
            Code.NO_LOGIN,
            f"{path} is {'a private key' if private else 'no public key'}",
            "whoever has the image would have it" if private else "this key is to log in",
            "name the file that ends in .pub",
        )
    return text


def authorise(root: Root, user: str, key: str) -> None:
    root.write(f"home/{user}/.ssh/authorized_keys", key + "\n", 0o600)
    (root.path / f"home/{user}/.ssh").chmod(0o700)
    root.run("chown", "-R", f"{user}:{user}", f"/home/{user}/.ssh")


def _apt_sources(archive: str) -> str:
    keys = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    main = f"Types: deb\nURIs: {archive}\nSuites: {SUITE} {SUITE}-updates\nComponents: main non-free-firmware\n{keys}"
    if "deb.debian.org" not in archive:
        return main
    security = (
        f"Types: deb\nURIs: http://security.debian.org/debian-security\nSuites: {SUITE}-security\n"
        f"Components: main non-free-firmware\n{keys}"
    )
    return f"{main}\n{security}"


def make_initramfs(root: Root, modules: tuple[str, ...]) -> Path:
    """The initramfs; with `modules`, of these alone. Gives its path."""
    version = root.kernel()
    root.write("etc/initramfs-tools/conf.d/reflexarc", f"MODULES={'list' if modules else 'most'}\nCOMPRESS=zstd\n")
    if modules:
        root.write("etc/initramfs-tools/modules", "\n".join(modules) + "\n")
    (root.path / _INITRAMFS.lstrip("/")).unlink()
    root.run("dpkg-divert", "--quiet", "--local", "--rename", "--remove", _INITRAMFS)
    root.run("update-initramfs", "-c", "-k", version)
    return root.path / f"boot/initrd.img-{version}"


def forget_traces(root: Root) -> None:
    """Removes what tells one run from another, and makes no file younger than the image."""
    for name in TRACES:
        (root.path / name).unlink(missing_ok=True) if name not in ("etc/hostname",) else None
    for key in (root.path / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log", "tmp", "var/tmp", "run"):
        for path in sorted((root.path / folder).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                # Folders of packages in /var/log stay: their services write there.
                if folder != "var/log":
                    path.rmdir()
            else:
                path.unlink()
    # Empty: the board gets an identity of its own at its first boot.
    root.write("etc/machine-id", "")
    (root.path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    # The day of the last change of a password; the day of installing otherwise.
    days = str(root.epoch // 86400)
    for name in ("etc/shadow", "etc/shadow-"):
        path = root.path / name
        if path.exists():
            lines = [line.split(":") for line in path.read_text(encoding="utf-8").splitlines()]
            path.write_text(
                "".join(":".join([*words[:2], days, *words[3:]]) + "\n" for words in lines), encoding="utf-8"
            )
    for path in (root.path, *root.path.rglob("*")):
        found = path.lstat()
        if found.st_mtime > root.epoch:
            os.utime(path, (root.epoch, root.epoch), follow_symlinks=False)
