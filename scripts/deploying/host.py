"""What is at the other end: which board, which glibc, which libraries. One question, so that a slow line is asked once."""

import re
from dataclasses import dataclass

from remote import Remote

from .board import Board
from .refusal import Code, Refusal

# Parts of the answer begin with a line of `==`. /sbin is not on everybody's path.
_QUESTION = r"""
echo "== machine"; uname -m
echo "== kernel"; uname -r
echo "== glibc"; getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>/dev/null | head -n 1
echo "== compatible"; tr '\0' '\n' </proc/device-tree/compatible 2>/dev/null
echo "== model"; tr -d '\0' </proc/device-tree/model 2>/dev/null; echo
echo "== libraries"; PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null
echo "== end"
"""


@dataclass(frozen=True)
class Host:
    """What was found."""

    machine: str
    kernel: str
    glibc: str
    compatible: tuple[str, ...]
    model: str
    libraries: frozenset[str]

    def named(self) -> str:
        """For people."""
        return self.model or (", ".join(self.compatible) or f"a machine without a device tree, {self.machine}")


def ask(remote: Remote) -> Host:
    """Asks the host about itself."""
    done = remote.run(["sh", "-c", _QUESTION])
    parts: dict[str, list[str]] = {}
    for line in done.text.splitlines():
        if line.startswith("== "):
            parts[line[3:]] = []
        elif parts and line.strip():
            parts[list(parts)[-1]].append(line.strip())
    if "end" not in parts:
        raise Refusal(
            Code.REMOTE,
            f"the host does not answer as a Linux machine does: {(done.said or done.text).strip()[:200]}",
            "which board it is has to be known before anything is changed",
            "log in by hand and look whether the shell there says or asks something",
        )
    found = re.search(r"(\d+\.\d+)\s*$", " ".join(parts["glibc"]))
    return Host(
        machine=" ".join(parts["machine"]),
        kernel=" ".join(parts["kernel"]),
        glibc=found[1] if found else "",
        compatible=tuple(parts["compatible"]),
        model=" ".join(parts["model"]),
        libraries=frozenset(line.split()[0] for line in parts["libraries"] if "=>" in line),
    )


def differs(host: Host, board: Board) -> str:
    """Why this is not that board; empty if it may be. The rule is that of `reflexarc board detect`."""
    if host.machine != board.machine:
        return f"its processor is {host.machine or 'unknown'}, and {board.title} has {board.machine}"
    if board.compatible and not set(board.compatible) & set(host.compatible):
        return f"its device tree says {', '.join(host.compatible) or 'nothing'}, and not {' or '.join(board.compatible)}"
    if board.model and board.model not in host.model:
        return f"its model is `{host.model or 'unknown'}`, in which there is no `{board.model}`"
    return ""
