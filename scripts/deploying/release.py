"""A release: a folder with a binary, its configuration, and a list that says what it is and from which its name follows."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remote import Remote

from . import build, pipeline
from .board import Board

SCHEMA = 1
ID_DIGITS = 12


@dataclass(frozen=True)
class Release:
    """A release on this machine."""

    folder: Path
    identifier: str
    models: Mapping[str, Path]
    """Name below the models' folder to where its content lies here."""
    sums: Mapping[str, str]
    """Its names to their SHA-256."""

    @property
    def files(self) -> list[str]:
        """All that is sent, the list last."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != "release.json") + ["release.json"]


def make(binary: Path, config: Path, board: Board, folder: Path) -> Release:
    """Puts a release together in an empty folder."""
    build.strip(binary, folder / "reflexarc", board)
    shutil.copyfile(config, folder / "pipeline.toml")
    models = pipeline.models(pipeline.read(config))
    files = {name: sha256(folder / name) for name in ("reflexarc", "pipeline.toml")}
    sums = {name: sha256(path) for name, path in models.items()}
    identifier = identify(files, sums)
    listing = {
        "schema": SCHEMA,
        "id": identifier,
        "version": build.version(),
        "commit": build.commit(),
        "board": board.name,
        "target": board.target,
        "files": dict(sorted(files.items())),
        "models": dict(sorted(sums.items())),
    }
    # One value to a line: the program on the board reads it with awk.
    (folder / "release.json").write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8")
    for name in files:
        (folder / name).chmod(0o755 if name == "reflexarc" else 0o644)
    return Release(folder, identifier, models, sums)


def fetch(remote: Remote, there: str, folder: Path) -> bool:
    """Brings a release from a board; whether it is whole."""
    for name in ("release.json", "reflexarc", "pipeline.toml"):
        if remote.fetch(f"{there}/{name}", folder / name).code != 0:
            return False
    try:
        listing = json.loads((folder / "release.json").read_text(encoding="utf-8"))
        return all(sha256(folder / name) == total for name, total in listing["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def identify(files: Mapping[str, str], models: Mapping[str, str]) -> str:
    """The same content is the same ID, whoever builds it and when."""
    lines = [f"{total}  {name}\n" for name, total in sorted(files.items())]
    lines += [f"{total}  models/{name}\n" for name, total in sorted(models.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:ID_DIGITS]


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["Release", "identify", "make", "sha256"]
