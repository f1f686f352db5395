"""What a deploy reads out of a configuration: which models it needs. All else in it is checked by the binary on the board."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .refusal import Code, Refusal

# As src/models/mod.rs has them, below the models' folder.
ENCODER = "efficientnet-lite0.safetensors"
TEXT_ENCODER = ("all-minilm-l6-v2/model.safetensors", "all-minilm-l6-v2/tokenizer.json")
CLASS_NAMES = "imagenet-classes.json"
PHOTOS = "photos"
# Follows from the others; without it a board computes it at each start.
CLASS_EMBEDDINGS = "class-embeddings.safetensors"


def read(path: Path) -> dict[str, Any]:
    """The configuration as it is written."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refusal(
            Code.CONFIG,
            f"{path} cannot be read: {error}",
            "a release is a binary and its configuration",
            f"`reflexarc check --config {path}` says what is wrong with it",
        ) from error


def models(asked: Mapping[str, Any]) -> dict[str, Path]:
    """The models that it needs, by name, and where they lie here. The rule is that of `models_used` in src/run/parts.rs."""
    names: list[str] = []
    encoder = asked.get("encoder", {})
    if encoder.get("name", "efficientnet-lite0") == "efficientnet-lite0" and "weights" not in encoder:
        names.append(ENCODER)
    store = folder()
    if asked.get("policy", {}).get("name", "gaze") == "gaze":
        names += [*TEXT_ENCODER, CLASS_NAMES]
        names += [CLASS_EMBEDDINGS] if (store / CLASS_EMBEDDINGS).is_file() else []
    if str(asked.get("camera", {}).get("source", "scene")).partition(":")[0] == "scene":
        names += sorted(f"{PHOTOS}/{path.name}" for path in (store / PHOTOS).glob("*")) or [f"{PHOTOS}/chelsea.png"]
    lacking = [name for name in names if not (store / name).is_file()]
    if lacking:
        raise Refusal(
            Code.MODELS,
            f"{store} lacks {', '.join(lacking)}",
            "the configuration needs it, and the board may have no network to fetch it",
            "fetch it on this machine: cargo run --release -- models fetch run",
        )
    return {name: store / name for name in names}


def own_files(asked: Mapping[str, Any]) -> list[str]:
    """Files of the user's own that the configuration names and that a release does not bring."""
    named = [asked.get("encoder", {}).get("weights"), asked.get("language", {}).get("script")]
    named += [str(each.get("source", "")).removeprefix("csv:") for each in asked.get("sensor", [])
              if str(each.get("source", "")).startswith("csv:")]  # fmt: skip
    kind, _, words = str(asked.get("camera", {}).get("source", "")).partition(":")
    named += [words.split(",")[0]] if kind == "file" else []
    return [str(name) for name in named if name]


def folder() -> Path:
    """Where the models lie on this machine, as `models::cache_dir` finds it."""
    if chosen := os.environ.get("REFLEXARC_MODELS"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "reflexarc" / "models"
