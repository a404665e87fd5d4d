"""What a folder with a checkpoint says about itself, without torch: the type, whether it is complete, its identity."""

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from miner_resources.errors import InvalidData

PREPROCESSING: Final = ("preprocessor_config.json", "processor_config.json")
"""Where checkpoints say how to prepare pictures; the first that exists counts."""

_WEIGHTS: Final = "model.safetensors"
_SHARD: Final = re.compile(r"[\w-][\w.-]*\.safetensors")
_SUFFIXES: Final = frozenset({".safetensors", ".json", ".txt", ".model"})
"""Files that can change what a model computes."""


def model_type(folder: Path) -> str:
    """What config.json calls the model.

    Raises:
        InvalidData: the folder holds no readable config.json.
    """
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidData(
            f"{folder} holds no model: config.json cannot be read or has no model_type",
            remedy="give a folder made by save_pretrained, or a hub id",
        ) from error


def is_complete(folder: Path) -> bool:
    """Whether configuration and all weights are there; only safetensors count, as pickled weights can run code.

    An index decides which files transformers reads, so it may name nothing else, and nothing outside the folder.
    """
    index = folder / f"{_WEIGHTS}.index.json"
    try:
        named = json.loads(index.read_bytes())["weight_map"].values() if index.exists() else [_WEIGHTS]
        shards = {str(name) for name in named}
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    plain = all(map(_SHARD.fullmatch, shards))
    return plain and all((folder / name).is_file() for name in ("config.json", *shards))


def content_hash(folder: Path) -> str:
    """16 hex digits of the contents: a copy of the folder is the same model, changed weights are another one."""
    stamp = tuple(
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES and path.is_file()
    )
    return _hash(str(folder), stamp)


@lru_cache(maxsize=32)
def _hash(folder: str, stamp: tuple[tuple[str, int, int], ...]) -> str:
    """Gigabytes are read once in a process, and again only when size or time of a file changes."""
    digest = hashlib.sha256()
    for name, _, _ in stamp:
        digest.update(name.encode())
        with (Path(folder) / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
