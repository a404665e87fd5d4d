"""Which models there are: the one table that `--help`, `models list`, `doctor`, docs/models.md and the stages use.

Importing it is quick: no torch. To add a model of a known family: a row in `CATALOGUE`. To add a family: an adapter, a
loader in `loading.py`, and its checkpoints' `model_type` in `sources.py`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

TEXT_IMAGE: Final = "text-image"
EMBEDDING: Final = "embedding"
DETECTION: Final = "detection"

FILTER_MODEL: Final = "siglip"
"""As `dedup.model`: the filter's own model."""

CHECKPOINTS: Final = Path(__file__).parents[1] / "demo" / "checkpoints"

APACHE: Final = "https://www.apache.org/licenses/LICENSE-2.0"
HUB: Final = "https://huggingface.co/"

SIGMOID: Final = "sigmoid"
COSINE: Final = "cosine"
NO_SCORES: Final = "none"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model that a configuration can name. Its weights are in one of `hub_id`, `folder` and `service`.

    Attributes:
        hub_id: Hugging Face repository.
        folder: bundled weights.
        service: for what fetches or keeps its weights itself: the package or web service.
        revision: commit of the repository; None follows its main branch.
        parameters_m: millions.
        input_size: pixels of the square input, or of the shorter side; None: as large as the picture.
        scores: what a score means: "sigmoid" (0..1 per text or class), "cosine", or "none": every box counts.
        default_threshold: what the setting `auto` of a threshold stands for; None where there are no scores.
        classes: "open" finds what any text describes, "coco" the 80 classes of COCO; "" for what is no detector.
        gated: whether a licence must be accepted at `licence_url` before the hub hands out the weights.
    """

    name: str
    task: str
    family: str
    licence: str
    licence_url: str
    input_size: int | None
    scores: str
    default_threshold: float | None
    hub_id: str | None = None
    folder: Path | None = None
    service: str | None = None
    revision: str | None = None
    parameters_m: float | None = None
    classes: str = ""
    gated: bool = False


def _siglip2(name: str, checkpoint: str, size: int, parameters_m: float, family: str = "siglip") -> ModelEntry:
    return ModelEntry(
        name=f"siglip2-{name}",
        task=TEXT_IMAGE,
        family=family,
        licence="Apache-2.0",
        licence_url=APACHE,
        input_size=size,
        scores=SIGMOID,
        default_threshold=0.25,
        hub_id=f"google/siglip2-{checkpoint}",
        parameters_m=parameters_m,
    )


def _dinov2(size: str, parameters_m: float, registers: bool = False) -> ModelEntry:
    variant = "dinov2-with-registers" if registers else "dinov2"
    return ModelEntry(
        name=f"{variant}-{size}",
        task=EMBEDDING,
        family="dino",
        licence="Apache-2.0",
        licence_url=APACHE,
        input_size=224,
        scores=COSINE,
        default_threshold=0.90,
        hub_id=f"facebook/{variant}-{size}",
        parameters_m=parameters_m,
    )


def _dinov3(size: str, checkpoint: str, parameters_m: float) -> ModelEntry:
    hub_id = f"facebook/dinov3-{checkpoint}-pretrain-lvd1689m"
    return ModelEntry(
        name=f"dinov3-{size}",
        task=EMBEDDING,
        family="dino",
        licence="DINOv3 License",
        licence_url=HUB + hub_id,
        gated=True,
        input_size=224,
        scores=COSINE,
        default_threshold=0.90,
        hub_id=hub_id,
        parameters_m=parameters_m,
    )


def _detector(name: str, family: str, hub_id: str, size: int, parameters_m: float) -> ModelEntry:
    return ModelEntry(
        name=name,
        task=DETECTION,
        family=family,
        licence="Apache-2.0",
        licence_url=APACHE,
        input_size=size,
        scores=SIGMOID,
        default_threshold=0.3,
        hub_id=hub_id,
        parameters_m=parameters_m,
        classes="open",
    )


def _owlv2(name: str, hub_id: str, size: int, parameters_m: float) -> ModelEntry:
    return replace(_detector(name, "owlv2", hub_id, size, parameters_m), default_threshold=0.2)


def _florence2(name: str, hub_id: str, parameters_m: float) -> ModelEntry:
    entry = _detector(name, "florence2", hub_id, 768, parameters_m)
    return replace(entry, scores=NO_SCORES, default_threshold=None, licence="MIT", licence_url=HUB + hub_id)


def _coco_detector(name: str, hub_id: str, size: int, parameters_m: float) -> ModelEntry:
    return replace(_detector(name, "closed-set", hub_id, size, parameters_m), classes="coco")


def _moondream(name: str, licence: str, licence_url: str, parameters_m: float) -> ModelEntry:
    return ModelEntry(
        name=name,
        task=DETECTION,
        family="moondream",
        licence=licence,
        licence_url=licence_url,
        input_size=None,
        scores=NO_SCORES,
        default_threshold=None,
        service="package moondream",
        parameters_m=parameters_m,
        classes="open",
    )


def _demo(task: str, family: str, folder: str, size: int, threshold: float) -> ModelEntry:
    return ModelEntry(
        name="demo",
        task=task,
        family=family,
        licence="Apache-2.0",
        licence_url=APACHE,
        input_size=size,
        scores=COSINE if task == EMBEDDING else SIGMOID,
        default_threshold=threshold,
        folder=CHECKPOINTS / folder,
        parameters_m=0.3,
        classes="open" if task == DETECTION else "",
    )


REVISIONS: Final = {
    "google/siglip2-so400m-patch14-384": "e8e487298228002f3d8a82e0cd5c8ea9c567f57f",
    "google/siglip2-giant-opt-patch16-384": "a713301b217d38485fb2204c808367d10bc3cc40",
    "facebook/dinov2-base": "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    "facebook/dinov2-large": "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
    "IDEA-Research/grounding-dino-base": "12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
    "IDEA-Research/grounding-dino-tiny": "a2bb814dd30d776dcf7e30523b00659f4f141c71",
    "google/owlv2-base-patch16-ensemble": "cfd3195ba4ea9592eec887ded089f4c08eff231d",
    "facebook/sam3": "3c879f39826c281e95690f02c7821c4de09afae7",
}
"""Hub id → the commit that several independent projects have published as the one they use. The others follow their
main branch until a project pins the commit that it began with."""


def _pinned(entry: ModelEntry) -> ModelEntry:
    return replace(entry, revision=REVISIONS.get(entry.hub_id or ""))


_ROWS: Final = (
    _siglip2("base", "base-patch16-224", 224, 375),
    _siglip2("so400m", "so400m-patch14-384", 384, 1136),
    _siglip2("giant", "giant-opt-patch16-384", 384, 1872),
    _siglip2("base-naflex", "base-patch16-naflex", 256, 375, "naflex"),
    _siglip2("so400m-naflex", "so400m-patch16-naflex", 256, 1136, "naflex"),
    _demo(TEXT_IMAGE, "siglip", "siglip", 64, 0.5),
    _dinov2("small", 22),
    _dinov2("base", 87),
    _dinov2("large", 304),
    _dinov2("giant", 1137),
    _dinov2("small", 22, registers=True),
    _dinov2("base", 87, registers=True),
    _dinov2("large", 304, registers=True),
    _dinov2("giant", 1137, registers=True),
    _dinov3("small", "vits16", 22),
    _dinov3("small-plus", "vits16plus", 29),
    _dinov3("base", "vitb16", 86),
    _dinov3("large", "vitl16", 303),
    _dinov3("huge", "vith16plus", 841),
    _dinov3("giant", "vit7b16", 6716),
    _demo(EMBEDDING, "dino", "dinov2", 48, 0.90),
    _detector("grounding-dino", "grounding", "IDEA-Research/grounding-dino-base", 800, 233),
    _detector("grounding-dino-tiny", "grounding", "IDEA-Research/grounding-dino-tiny", 800, 172),
    _detector(
        "mm-grounding-dino", "grounding", "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", 800, 173
    ),
    _detector("llmdet", "grounding", "iSEE-Laboratory/llmdet_base", 800, 233),
    _detector("llmdet-tiny", "grounding", "iSEE-Laboratory/llmdet_tiny", 800, 173),
    _detector("llmdet-large", "grounding", "iSEE-Laboratory/llmdet_large", 800, 344),
    _owlv2("owlv2", "google/owlv2-base-patch16-ensemble", 960, 155),
    _owlv2("owlv2-large", "google/owlv2-large-patch14-ensemble", 1008, 437),
    _florence2("florence2", "florence-community/Florence-2-large-ft", 823),
    _florence2("florence2-base", "florence-community/Florence-2-base-ft", 232),
    replace(
        _detector("sam3", "sam3", "facebook/sam3", 1008, 840),
        licence="SAM License",
        licence_url=HUB + "facebook/sam3",
        gated=True,
    ),
    _moondream("moondream3", "BSL-1.1 with a usage grant", HUB + "moondream/moondream3-preview", 9270),
    _moondream("moondream2", "Apache-2.0", APACHE, 1930),
    ModelEntry(
        name="dino-x",
        task=DETECTION,
        family="dino-x",
        licence="commercial service",
        licence_url="https://cloud.deepdataspace.com",
        input_size=None,
        scores=SIGMOID,
        default_threshold=0.3,
        service="api.deepdataspace.com",
        classes="open",
    ),
    _coco_detector("rf-detr", "Roboflow/rf-detr-base", 560, 29),
    _coco_detector("rt-detr", "PekingU/rtdetr_v2_r50vd", 640, 43),
    _coco_detector("d-fine", "ustc-community/dfine-xlarge-coco", 640, 62),
    _demo(DETECTION, "owlv2", "owlv2", 96, 0.3),
)

CATALOGUE: Final = tuple(_pinned(entry) for entry in _ROWS)


def names(task: str) -> list[str]:
    """Names of the catalogue for a task."""
    return [entry.name for entry in CATALOGUE if entry.task == task]
