"""Building the binary for a board, and taking out of it what only debuggers read."""

import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from flashing.events import Log

from .board import Board
from .refusal import Code, Refusal

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Build:
    """How to build. `target` is where cargo puts things; None: where it always does."""

    zigbuild: bool = False
    target: Path | None = None


def version() -> str:
    """Of the project, as `0.1.0`."""
    return str(tomllib.loads((REPOSITORY / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"])


def git(*words: str) -> str:
    """What git says; empty without git or outside a repository."""
    try:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit() -> str:
    """The commit, with `-dirty` where files differ from it, as the binary itself says."""
    head = git("rev-parse", "--short=12", "HEAD")
    return head + ("-dirty" if head and git("status", "--porcelain", "--untracked-files=no") else "")


def compile_for(board: Board, how: Build, log: Log) -> Path:
    """Builds in release mode; gives the binary."""
    command, environment = _command(board, how)
    command, environment = _with_gpu(board, command, environment, log)
    log.say(f"  {' '.join(command)}")
    log.event("build", command=command)
    try:
        # What cargo says goes where our own words go: standard output is for results.
        done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | environment, stdout=2, check=False)
    except OSError as error:
        raise _tool_missing("cargo", "https://rustup.rs") from error
    if done.returncode != 0:
        raise Refusal(
            Code.BUILD,
            f"`{' '.join(command)}` ended with {done.returncode}",
            "without a binary there is nothing to bring",
            "read the compiler's words above",
        )
    return output(board, how)


def output(board: Board, how: Build) -> Path:
    """Where cargo puts the binary."""
    base = how.target or Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    crossed = board.machine != os.uname().machine or how.zigbuild
    return base / (board.target if crossed else ".") / "release" / "reflexarc"


def _command(board: Board, how: Build) -> tuple[list[str], dict[str, str]]:
    environment: dict[str, str] = {}
    command = ["cargo", "zigbuild" if how.zigbuild else "build", "--release", "--bin", "reflexarc"]
    if how.target is not None:
        command += ["--target-dir", str(how.target)]
    crossed = board.machine != os.uname().machine
    if not crossed and not how.zigbuild:
        return command, environment
    _add_target(board.target)
    # Zig links against whichever glibc is named behind the target.
    command += ["--target", f"{board.target}.{board.glibc}" if how.zigbuild and board.glibc else board.target]
    if how.zigbuild:
        if shutil.which("cargo-zigbuild") is None:
            raise _tool_missing("cargo-zigbuild", "pip install cargo-zigbuild")
    elif crossed:
        linker = f"{board.gnu}-gcc"
        if shutil.which(linker) is None:
            raise _tool_missing(linker, f"apt-get install gcc-{board.gnu} libc6-dev-{board.debian}-cross")
        variable = board.target.upper().replace("-", "_")
        environment[f"CARGO_TARGET_{variable}_LINKER"] = linker
        # For the C that some crates bring.
        environment[f"CC_{board.target.replace('-', '_')}"] = linker
    return command, environment


def _with_gpu(board: Board, command: list[str], environment: dict[str, str], log: Log) -> tuple[list[str], dict[str, str]]:
    """The kernels of the board's GPU, where nvcc can compile them. Without, the binary has everything else."""
    if not board.cuda:
        return command, environment
    if not _has_nvcc():
        log.say(f"  without kernels for its GPU (sm_{board.cuda}): there is no nvcc; `scripts/cuda-home` brings one")
        return command, environment
    log.say(f"  with kernels for its GPU (sm_{board.cuda})")
    return [*command, "--features", "cuda"], environment | {"REFLEXARC_CUDA_ARCHITECTURES": str(board.cuda)}


def _has_nvcc() -> bool:
    """Where build.rs looks for it."""
    homes = [os.environ.get("CUDA_HOME"), str(REPOSITORY / "target" / "cuda-home"), "/usr/local/cuda"]
    found = any(home and (Path(home) / "bin" / "nvcc").is_file() for home in homes)
    return found or bool(os.environ.get("NVCC")) or shutil.which("nvcc") is not None


def _add_target(target: str) -> None:
    """Rust's library for the board's processor. Without rustup it is taken to be there: the compiler says if it is not."""
    if shutil.which("rustup") is None:
        return
    listed = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True, check=False)
    if target not in listed.stdout.split():
        subprocess.run(["rustup", "target", "add", target], stdout=2, check=False)


def strip(binary: Path, into: Path, board: Board) -> None:
    """Copies the binary without symbols: a third of its size is for debuggers. The one in cargo's folder keeps them."""
    tool = "strip" if board.machine == os.uname().machine else f"{board.gnu}-strip"
    if shutil.which(tool) is None:
        raise _tool_missing(tool, f"apt-get install binutils{'' if tool == 'strip' else '-' + board.gnu}")
    done = subprocess.run([tool, "-o", str(into), str(binary)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(
            Code.BINARY,
            f"{tool} does not take {binary}: {done.stderr.strip()}",
            "what it cannot read is no binary for this board",
            "name a binary that was built for this board, or leave --binary out",
        )
    into.chmod(0o755)


def _tool_missing(tool: str, source: str) -> Refusal:
    return Refusal(
        Code.TOOL_MISSING, f"`{tool}` is not installed", "the binary is built with it", f"install it: {source}"
    )
