"""From what a configuration names to where the weights are: a row of the catalogue, a local folder, or a hub id.

Importing it is quick: no torch.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from miner_resources.errors import NotConfigured, NotFound
from miner_resources.models.catalogue import (
    CATALOGUE,
    DETECTION,
    EMBEDDING,
    FILTER_MODEL,
    TEXT_IMAGE,
    ModelEntry,
    names,
)
from miner_resources.models.checkpoints import content_hash, model_type

ADAPTER_VERSION: Final = 1
"""Part of every identity: raise it when the same weights and the same picture would give other numbers."""

FAMILIES: Final = {
    ("siglip", TEXT_IMAGE): "siglip",
    ("siglip", EMBEDDING): "siglip",
    ("siglip2", TEXT_IMAGE): "naflex",
    ("siglip2", EMBEDDING): "naflex",
    ("dinov2", EMBEDDING): "dino",
    ("dinov2_with_registers", EMBEDDING): "dino",
    ("dinov3_vit", EMBEDDING): "dino",
    ("grounding-dino", DETECTION): "grounding",
    ("mm-grounding-dino", DETECTION): "grounding",
    ("owlv2", DETECTION): "owlv2",
    ("florence2", DETECTION): "florence2",
    ("sam3", DETECTION): "sam3",
    ("sam3_video", DETECTION): "sam3",  # what the released repository calls itself
    ("rf_detr", DETECTION): "closed-set",
    ("rt_detr", DETECTION): "closed-set",
    ("rt_detr_v2", DETECTION): "closed-set",
    ("d_fine", DETECTION): "closed-set",
}
"""(`model_type` in a checkpoint's config.json, task) → adapter family."""

SERVICES: Final = frozenset({"moondream", "dino-x"})
"""Families whose weights are not ours to fetch."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model's weights come from.

    Attributes:
        location: hub id, absolute path of a local folder, or the name of a service.
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

    @property
    def is_hub(self) -> bool:
        """Whether the weights come from the Hugging Face hub."""
        return not self.is_service and not Path(self.location).is_absolute()

    @property
    def reads_text(self) -> bool:
        """Whether it is sure to need a tokenizer."""
        return self.task == TEXT_IMAGE or (self.task == DETECTION and self.family not in {"", "closed-set"})

    @property
    def is_service(self) -> bool:
        """Whether there are no weights to fetch."""
        return self.family in SERVICES


def candidates(names_by_preference: str) -> list[str]:
    """The models of a list such as `dinov3-base, dinov2-base`; usually it is one."""
    return [name.strip() for name in names_by_preference.split(",") if name.strip()] or [names_by_preference]


def resolve(name: str, task: str) -> ModelSource:
    """Find the model that a configuration names: of the catalogue, a local folder, or a hub id.

    `NAME@COMMIT` is one commit of a hub repository. A SigLIP model also serves as image embedder.

    Raises:
        NotFound: there is no such name; with the nearest one.
        NotConfigured: the model is of a family that this version does not support, or bundled weights are gone.
        InvalidData: a local folder holds no model.
    """
    folder = Path(name).expanduser()
    base, _, commit = (name, "", "") if _entry(name, task) or folder.is_dir() else name.partition("@")
    if (entry := _entry(base, task)) is not None and (entry.hub_id or not commit):
        return _of_entry(replace(entry, revision=commit or entry.revision), name, task)
    if name and folder.is_dir():
        return _of_folder(name, task, folder.absolute(), None)
    if base.count("/") == 1 and not base.startswith((".", "/", "~")):
        return ModelSource(name, task, base, commit or None, "", _hub_identity(base, commit))
    close = difflib.get_close_matches(name, names(task), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise NotFound(
        f"there is no {task} model {name!r}",
        remedy=f"{hint}available: {', '.join(names(task))}; or give a local folder or a hub id such as org/name",
    )


def family_of(folder: Path, task: str) -> str:
    """The adapter family of the checkpoint in a folder, by its `model_type`.

    Raises:
        InvalidData: the folder holds no readable config.json.
        NotConfigured: no adapter of this version reads such a model for that task.
    """
    kind = model_type(folder)
    family = FAMILIES.get((kind, task))
    if family is None:
        supported = ", ".join(sorted(model for model, known in FAMILIES if known == task))
        raise NotConfigured(
            f"{folder} holds a model of type {kind!r}, which this version cannot use for {task}",
            remedy=f"give a model of type {supported}",
        )
    return family


SIGLIP_COSINE: Final = 0.95
"""For near-duplicates by SigLIP features, whose cosines run higher than DINO's. A start, not measured."""


def default_threshold(name: str, task: str) -> float:
    """What a threshold of `auto` means for a model: its row's, else that of another model of its family or task.

    0 for models without scores: every box counts.

    Raises:
        NotConfigured: several models are named, and they do not agree.
    """
    found = {each: _default_threshold(each, task) for each in candidates(name)}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{each} {threshold:g}" for each, threshold in found.items())
        raise NotConfigured(f"the models have different thresholds: {listed}", remedy="set a number")
    return next(iter(found.values()))


def _default_threshold(name: str, task: str) -> float:
    name = name if Path(name).expanduser().is_dir() else name.partition("@")[0]
    if (name, task) == (FILTER_MODEL, EMBEDDING):
        return SIGLIP_COSINE
    entry = _entry(name, task)
    folder = Path(name).expanduser()
    family = entry.family if entry else family_of(folder.absolute(), task) if folder.is_dir() else ""
    if task == EMBEDDING and family in _TEXT_IMAGE_FAMILIES:
        return SIGLIP_COSINE
    if entry is None:
        alike = [row for row in CATALOGUE if row.task == task and row.folder is None]
        entry = next((row for row in alike if row.family == family), alike[0])
    return entry.default_threshold or 0.0


_TEXT_IMAGE_FAMILIES: Final = frozenset({"siglip", "naflex"})


def _entry(name: str, task: str) -> ModelEntry | None:
    """The row of that name or hub id; a SigLIP row also for embedding."""
    rows = [entry for entry in CATALOGUE if name in (entry.name, entry.hub_id)]
    own = next((entry for entry in rows if entry.task == task), None)
    if own is None and task == EMBEDDING:
        return next((entry for entry in rows if (entry.task, entry.folder) == (TEXT_IMAGE, None)), None)
    return own


def _of_entry(entry: ModelEntry, name: str, task: str) -> ModelSource:
    if entry.folder is not None:
        if not entry.folder.is_dir():
            raise NotConfigured(
                f"the bundled weights of the {task} model {name!r} are missing: there is no {entry.folder}",
                remedy="install the package again, or take a complete checkout",
            )
        return _of_folder(name, task, entry.folder, entry)
    location = str(entry.hub_id or entry.service)
    identity = _hub_identity(location if entry.hub_id else f"{location}/{entry.name}", entry.revision)
    return ModelSource(name, task, location, entry.revision, entry.family, identity, entry)


def _of_folder(name: str, task: str, folder: Path, entry: ModelEntry | None) -> ModelSource:
    family = family_of(folder, task)
    identity = f"local:{content_hash(folder)}#{ADAPTER_VERSION}"
    return ModelSource(name, task, str(folder), None, family, identity, entry)


def _hub_identity(location: str, revision: str | None) -> str:
    return f"{location}@{revision or 'main'}#{ADAPTER_VERSION}"
