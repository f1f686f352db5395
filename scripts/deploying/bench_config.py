"""The configuration of a release's five seconds on the board, before it replaces the one that runs.

Its own encoder, policy and limits, but nothing that the running release holds: no camera, no sensor's port, no instruction's
socket, no actions to the robot, no real-time priority, no locked memory. A camera of arithmetic gives frames of its camera's
size, rate and format.
"""

import json
from collections.abc import Mapping
from typing import Any

# What a release keeps of its own for its five seconds.
_KEPT = ("encoder", "policy", "action", "history", "goals")
# Of the formats that both cameras know, the first that its camera may give.
_SIZES = {"width": 640, "height": 480, "rate": 30.0}


def text(asked: Mapping[str, Any]) -> str:
    """As TOML."""
    config: dict[str, Any] = {"sink": "null", "camera": {"source": "synthetic", "synthetic": _camera(asked)}}
    config |= {key: asked[key] for key in _KEPT if key in asked}
    config["real_time"] = {"fifo": False, "lock_memory": False, "keep_cores_awake": False}
    return "# Made by a deploy out of pipeline.toml, for five seconds beside the running release.\n" + toml(config)


def _camera(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A camera of arithmetic like the one that is asked for."""
    camera = asked.get("camera", {})
    kind, _, words = str(camera.get("source", "scene")).partition(":")
    said = dict(camera.get(kind, {}))
    sizes = {key: said.get(key, otherwise) for key, otherwise in _SIZES.items()}
    if kind == "scene":
        sizes = {"width": said.get("width", 1920), "height": said.get("height", 1080), "rate": said.get("rate", 30.0)}
    form = (said.get("formats") or ["YUYV"])[0]
    # The short form, such as `v4l2:/dev/video0,1280x720@30,format=NV12`, is on top of the table.
    for word in words.split(","):
        size, _, rate = word.partition("@")
        width, cross, height = size.partition("x")
        if cross and width.isdigit() and height.isdigit():
            sizes |= {"width": int(width), "height": int(height)}
            sizes |= {"rate": float(rate)} if rate else {}
        elif word.startswith("format="):
            form = word.removeprefix("format=")
    return sizes | {"format": form}


def toml(tables: Mapping[str, Any], path: str = "") -> str:
    """Writes what tomllib reads. Plain values first: after a table's head they would be that table's."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in tables.items() if not _is_table(value)]
    for key, value in tables.items():
        if not _is_table(value):
            continue
        name = f"{path}{_key(key)}"
        for table in value if isinstance(value, list) else [value]:
            head = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            lines += ["", head, toml(table, f"{name}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    # Text, numbers and truth are written alike in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)
