"""Where the runs of a board are kept, and which was the last."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from .refusal import Code, Refusal

_REPOSITORY = Path(__file__).resolve().parents[2]


def folder(board: str, is_emulated: bool, keep: bool) -> Path:
    """The folder of a board's runs. What was emulated says nothing about a board, and is kept apart."""
    if is_emulated and not keep:
        return _REPOSITORY / "target" / "bench-runs" / board
    return _REPOSITORY / "boards" / board / "runs"


def last(runs: Path) -> Path | None:
    """The newest run's bench.json. Names begin with the time."""
    found = [path / "bench.json" for path in sorted(runs.glob("*")) if (path / "bench.json").is_file()]
    return found[-1] if found else None


def keep(packed: bytes, into: Path) -> None:
    """Unpacks the results. Nothing can be written outside the folder, whatever the archive says."""
    try:
        into.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            archive.extractall(into, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise Refusal(
            Code.STATE,
            f"the results cannot be kept in {into}: {error}",
            "a bench without its raw numbers proves nothing",
            "free some space, or name another folder with --runs DIR; they are still on the board until its next bench",
        ) from error


def read(run: Path) -> dict[str, Any] | None:
    """The bench.json of a run, if there is one."""
    path = run / "bench.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def failed_checks(run: Path) -> list[str]:
    """What the doctor found wrong."""
    path = run / "doctor.json"
    if not path.is_file():
        return []
    checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
    return [f"{each['id']} {each['title']}: {each['effective']}" for each in checks if each["status"] == "fail"]
