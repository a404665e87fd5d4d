"""Which models there are: the one table that `--help`, `doctor`, the documentation and the stages use.

Importing it is quick: no torch. To add a model of a known family: a row in `CATALOGUE`. To add a family: an adapter,
its `model_type` in `FAMILIES`, and a loader in `loading.py`.
"""

import difflib
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from miner_resources.errors import InvalidData, NotConfigured, NotFound

TEXT_IMAGE: Final = "text-image"
EMBEDDING: Final = "embedding"
DETECTION: Final = "detection"

CHECKPOINTS: Final = Path(__file__).parents[1] / "demo" / "checkpoints"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model that a configuration can name.

    Attributes:
        hub_id: Hugging Face repository, None for bundled weights.
        folder: bundled weights, None for the hub.
        revision: commit of the repository; None follows its main branch.
        parameters_m: millions.
        input_size: pixels of the square input.
        scores: what a score means: "sigmoid" (0..1 per text or class), "cosine".
        default_threshold: a sensible start; configurations do not take it by themselves.
    """

    name: str
    task: str
    family: str
    licence: str
    input_size: int
    scores: str
    default_threshold: float
    hub_id: str | None = None
    folder: Path | None = None
    revision: str | None = None
    parameters_m: float | None = None
    gated: bool = False
    licence_url: str | None = None


def _siglip2(name: str, hub_id: str, size: int, parameters_m: float) -> ModelEntry:
    return ModelEntry(
        name=name,
        task=TEXT_IMAGE,
        family="siglip",
        licence="Apache-2.0",
        input_size=size,
        scores="sigmoid",
        default_threshold=0.25,
        hub_id=hub_id,
        parameters_m=parameters_m,
    )


def _dinov2(size: str, parameters_m: float) -> ModelEntry:
    return ModelEntry(
        name=f"dinov2-{size}",
        task=EMBEDDING,
        family="dino",
        licence="Apache-2.0",
        input_size=224,
        scores="cosine",
        default_threshold=0.90,
        hub_id=f"facebook/dinov2-{size}",
        parameters_m=parameters_m,
    )


def _demo(task: str, family: str, folder: str, size: int, threshold: float) -> ModelEntry:
    return ModelEntry(
        name="demo",
        task=task,
        family=family,
        licence="Apache-2.0",
        input_size=size,
        scores="cosine" if task == EMBEDDING else "sigmoid",
        default_threshold=threshold,
        folder=CHECKPOINTS / folder,
        parameters_m=0.3,
    )


CATALOGUE: Final = (
    _siglip2("siglip2-base", "google/siglip2-base-patch16-224", 224, 375),
    _siglip2("siglip2-so400m", "google/siglip2-so400m-patch14-384", 384, 1136),
    _siglip2("siglip2-giant", "google/siglip2-giant-opt-patch16-384", 384, 1872),
    _demo(TEXT_IMAGE, "siglip", "siglip", 64, 0.5),
    _dinov2("small", 22),
    _dinov2("base", 87),
    _dinov2("large", 304),
    _dinov2("giant", 1137),
    _demo(EMBEDDING, "dino", "dinov2", 48, 0.90),
    ModelEntry(
        name="owlv2",
        task=DETECTION,
        family="owlv2",
        licence="Apache-2.0",
        input_size=960,
        scores="sigmoid",
        default_threshold=0.2,
        hub_id="google/owlv2-base-patch16-ensemble",
        parameters_m=155,
    ),
    _demo(DETECTION, "owlv2", "owlv2", 96, 0.3),
)

FAMILIES: Final = {
    ("siglip", TEXT_IMAGE): "siglip",
    ("dinov2", EMBEDDING): "dino",
    ("dinov2_with_registers", EMBEDDING): "dino",
    ("owlv2", DETECTION): "owlv2",
}
"""(`model_type` in a checkpoint's config.json, task) → adapter family."""

PLANNED: Final = {
    TEXT_IMAGE: (),
    EMBEDDING: ("siglip", *(f"dinov3-{size}" for size in ("small", "base", "large", "huge", "giant"))),
    DETECTION: ("grounding-dino", "mm-grounding-dino", "llmdet", "florence2", "moondream3", "dino-x"),
}
"""Names that configurations may use one day; today they get an answer that says what to use instead."""

_WEIGHT_SUFFIXES: Final = frozenset({".safetensors", ".json", ".txt", ".model"})


@dataclass(frozen=True)
class ModelSource:
    """Where a model's weights come from.

    Attributes:
        location: hub id, or absolute path of a local folder.
        family: adapter family, "" for a hub id that is not in the catalogue: its config tells, once downloaded.
        identity: changes when the weights do; part of compute keys.
    """

    name: str
    task: str
    location: str
    revision: str | None
    family: str
    identity: str
    entry: ModelEntry | None = None


def names(task: str) -> list[str]:
    """Names of the catalogue for a task."""
    return [entry.name for entry in CATALOGUE if entry.task == task]


def resolve(name: str, task: str) -> ModelSource:
    """Find the model that a configuration names: of the catalogue, a local folder, or a hub id.

    Raises:
        NotFound: there is no such name; with the nearest one.
        NotConfigured: the model is of a family that this version does not support.
        InvalidData: a local folder holds no model for that task.
    """
    entry = next((entry for entry in CATALOGUE if (entry.name, entry.task) == (name, task)), None)
    if entry is not None:
        return _of_entry(entry)
    if Path(name).expanduser().is_dir():
        return _of_folder(name, task, Path(name).expanduser().absolute(), None)
    known = names(task)
    if name in PLANNED[task]:
        raise NotConfigured(
            f"the model {name!r} is not supported by this version", remedy=f"use one of: {', '.join(known)}"
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return ModelSource(name, task, name, None, "", f"{name}@main")
    close = difflib.get_close_matches(name, [*known, *PLANNED[task]], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise NotFound(
        f"there is no {task} model {name!r}",
        remedy=f"{hint}known: {', '.join(known)}; or give a local folder or a hub id such as org/name",
    )


def _of_entry(entry: ModelEntry) -> ModelSource:
    if entry.folder is not None:
        return _of_folder(entry.name, entry.task, entry.folder, entry)
    location = str(entry.hub_id)
    identity = f"{location}@{entry.revision or 'main'}"
    return ModelSource(entry.name, entry.task, location, entry.revision, entry.family, identity, entry)


def _of_folder(name: str, task: str, folder: Path, entry: ModelEntry | None) -> ModelSource:
    config = folder / "config.json"
    try:
        kind = str(json.loads(config.read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError) as error:
        raise InvalidData(
            f"{folder} holds no model: {config.name} cannot be read", remedy="give a folder made by save_pretrained"
        ) from error
    family = FAMILIES.get((kind, task))
    if family is None:
        supported = ", ".join(sorted(model for model, known in FAMILIES if known == task))
        raise NotConfigured(
            f"{folder} holds a {kind!r} model, which this version cannot use for {task}",
            remedy=f"give a model of type {supported}",
        )
    stamp = tuple(
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.suffix in _WEIGHT_SUFFIXES
    )
    return ModelSource(name, task, str(folder), None, family, _folder_identity(str(folder), stamp), entry)


@lru_cache(maxsize=32)
def _folder_identity(folder: str, stamp: tuple[tuple[str, int, int], ...]) -> str:
    """Hash of the contents, so that a copy of the folder is the same model; computed again when a file changes."""
    digest = hashlib.sha256()
    for name, _, _ in stamp:
        digest.update(name.encode())
        with (Path(folder) / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"local:{digest.hexdigest()[:16]}"
