"""Which models there are: the one table that `--help`, `doctor`, the documentation and the stages use.

Importing it is quick: no torch. To add a model of a known family: a row in `CATALOGUE`. To add a family: an adapter,
its `model_type` in `FAMILIES`, and a loader in `loading.py`.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from miner_resources.errors import NotConfigured, NotFound
from miner_resources.models.checkpoints import content_hash, model_type

TEXT_IMAGE: Final = "text-image"
EMBEDDING: Final = "embedding"
DETECTION: Final = "detection"

CHECKPOINTS: Final = Path(__file__).parents[1] / "demo" / "checkpoints"

ADAPTER_VERSION: Final = 1
"""Part of every identity: raise it when the same weights and the same picture would give other numbers."""

APACHE: Final = "https://www.apache.org/licenses/LICENSE-2.0"


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
        gated: whether a licence must be accepted at `licence_url` before the hub hands out the weights.
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
        licence_url=APACHE,
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
        licence_url=APACHE,
        input_size=224,
        scores="cosine",
        default_threshold=0.90,
        hub_id=f"facebook/dinov2-{size}",
        parameters_m=parameters_m,
    )


def _dinov3(size: str, checkpoint: str, parameters_m: float) -> ModelEntry:
    hub_id = f"facebook/dinov3-{checkpoint}-pretrain-lvd1689m"
    return ModelEntry(
        name=f"dinov3-{size}",
        task=EMBEDDING,
        family="dino",
        licence="DINOv3 License",
        licence_url=f"https://huggingface.co/{hub_id}",
        gated=True,
        input_size=224,
        scores="cosine",
        default_threshold=0.90,
        hub_id=hub_id,
        parameters_m=parameters_m,
    )


def _demo(task: str, family: str, folder: str, size: int, threshold: float) -> ModelEntry:
    return ModelEntry(
        name="demo",
        task=task,
        family=family,
        licence="Apache-2.0",
        licence_url=APACHE,
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
    _dinov3("small", "vits16", 22),
    _dinov3("base", "vitb16", 86),
    _dinov3("large", "vitl16", 303),
    _dinov3("huge", "vith16plus", 841),
    _dinov3("giant", "vit7b16", 6716),
    _demo(EMBEDDING, "dino", "dinov2", 48, 0.90),
    ModelEntry(
        name="owlv2",
        task=DETECTION,
        family="owlv2",
        licence="Apache-2.0",
        licence_url=APACHE,
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
    ("siglip", EMBEDDING): "siglip",
    ("dinov2", EMBEDDING): "dino",
    ("dinov2_with_registers", EMBEDDING): "dino",
    ("dinov3_vit", EMBEDDING): "dino",
    ("owlv2", DETECTION): "owlv2",
}
"""(`model_type` in a checkpoint's config.json, task) → adapter family."""

PLANNED: Final = {
    TEXT_IMAGE: (),
    EMBEDDING: ("siglip",),
    DETECTION: ("grounding-dino", "mm-grounding-dino", "llmdet", "florence2", "moondream3", "dino-x"),
}
"""Names that configurations may use one day; today they get an answer that says what to use instead."""

_INSTEAD: Final = {
    ("siglip", EMBEDDING): "give the name, folder or hub id of the filter model itself, such as siglip2-base; or ",
    ("siglip2", TEXT_IMAGE): "NaFlex checkpoints are not supported: take one of fixed resolution, such as "
    "google/siglip2-so400m-patch14-384; or ",
}
"""(planned name or foreign model type, task) → how to get the nearest thing; the known names follow."""


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

    A SigLIP model also serves as image embedder.

    Raises:
        NotFound: there is no such name; with the nearest one.
        NotConfigured: the model is of a family that this version does not support, or bundled weights are gone.
        InvalidData: a local folder holds no model.
    """
    if (entry := _entry(name, task)) is not None:
        return _of_entry(entry, name, task)
    known = ", ".join(names(task))
    if name in PLANNED[task]:
        raise NotConfigured(
            f"the {task} model {name!r} is not supported by this version",
            remedy=f"{_INSTEAD.get((name, task), '')}available: {known}",
        )
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _of_folder(name, task, folder.absolute(), None)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return ModelSource(name, task, name, None, "", _hub_identity(name, None))
    close = difflib.get_close_matches(name, [*names(task), *PLANNED[task]], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise NotFound(
        f"there is no {task} model {name!r}",
        remedy=f"{hint}available: {known}; or give a local folder or a hub id such as org/name",
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
            remedy=f"{_INSTEAD.get((kind, task), '')}give a model of type {supported}",
        )
    return family


def _entry(name: str, task: str) -> ModelEntry | None:
    """The row of that name or hub id; a SigLIP row also for embedding."""
    rows = [entry for entry in CATALOGUE if name in (entry.name, entry.hub_id)]
    own = next((entry for entry in rows if entry.task == task), None)
    if own is None and task == EMBEDDING:
        return next((entry for entry in rows if entry.family == "siglip"), None)
    return own


def _of_entry(entry: ModelEntry, name: str, task: str) -> ModelSource:
    if entry.folder is not None:
        if not entry.folder.is_dir():
            raise NotConfigured(
                f"the bundled weights of the {task} model {name!r} are missing: there is no {entry.folder}",
                remedy="install the package again, or take a complete checkout",
            )
        return _of_folder(name, task, entry.folder, entry)
    location = str(entry.hub_id)
    identity = _hub_identity(location, entry.revision)
    return ModelSource(name, task, location, entry.revision, entry.family, identity, entry)


def _of_folder(name: str, task: str, folder: Path, entry: ModelEntry | None) -> ModelSource:
    family = family_of(folder, task)
    identity = f"local:{content_hash(folder)}#{ADAPTER_VERSION}"
    return ModelSource(name, task, str(folder), None, family, identity, entry)


def _hub_identity(location: str, revision: str | None) -> str:
    return f"{location}@{revision or 'main'}#{ADAPTER_VERSION}"
