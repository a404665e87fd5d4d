"""From a name in the configuration to a loaded adapter.

To add a family: its adapter in the table of its task.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from transformers.utils import logging as transformers_logging

from miner_resources.models.adapter import ImageEmbedder, ObjectDetector, TextImageModel
from miner_resources.models.catalogue import DETECTION, EMBEDDING, TEXT_IMAGE
from miner_resources.models.closed_set import ClosedSetDetector
from miner_resources.models.dino import DinoEmbedder
from miner_resources.models.dinox import DinoxDetector
from miner_resources.models.florence2 import Florence2Detector
from miner_resources.models.grounding import GroundingDetector
from miner_resources.models.loaded import Checkpoint
from miner_resources.models.moondream import MoondreamDetector
from miner_resources.models.naflex import NaflexTextImageModel
from miner_resources.models.owlv2 import Owlv2Detector
from miner_resources.models.preprocess import SQUASH
from miner_resources.models.runtime import choose_dtype, devices
from miner_resources.models.sam3 import Sam3Detector
from miner_resources.models.siglip import SiglipTextImageModel
from miner_resources.models.sources import ModelSource, family_of, resolve
from miner_resources.models.weights import fetch_weights

M = TypeVar("M")

TEXT_IMAGE_MODELS: Final[Mapping[str, Callable[[Checkpoint], TextImageModel]]] = {
    "naflex": NaflexTextImageModel,
    "siglip": SiglipTextImageModel,
}
EMBEDDERS: Final[Mapping[str, Callable[[Checkpoint], ImageEmbedder]]] = {
    "dino": DinoEmbedder,
    "naflex": NaflexTextImageModel,
    "siglip": SiglipTextImageModel,
}
DETECTORS: Final[Mapping[str, Callable[[Checkpoint], ObjectDetector]]] = {
    "closed-set": ClosedSetDetector,
    "florence2": Florence2Detector,
    "grounding": GroundingDetector,
    "owlv2": Owlv2Detector,
    "sam3": Sam3Detector,
}
SERVICES: Final[Mapping[str, type[DinoxDetector | MoondreamDetector]]] = {
    "dino-x": DinoxDetector,
    "moondream": MoondreamDetector,
}
"""Adapter family → its adapter."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to load a model.

    Attributes:
        device: "auto" takes every visible GPU.
        precision: "auto", "fp32", "bf16" or "fp16".
        batch_size: pictures per forward pass and device, or "auto".
        resize: how embedders make pictures square: "squash", "crop" or "pad".
        compiled: whether to compile the model: some minutes for a faster long run.
    """

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | str = "auto"
    resize: str = SQUASH
    compiled: bool = False


def load_text_image_model(name: str, settings: Settings) -> TextImageModel:
    """Load the model that `filter.model` names.

    Args:
        name: of the catalogue, a local folder, or a hub id.
        settings: device, number format, batches.

    Raises:
        MinerError: no such model, no weights, or no such device.
    """
    return _load(TEXT_IMAGE_MODELS, resolve(name, TEXT_IMAGE), settings)


def load_embedder(name: str, settings: Settings) -> ImageEmbedder:
    """Load the model that `dedup.model` names; as `load_text_image_model`."""
    return _load(EMBEDDERS, resolve(name, EMBEDDING), settings)


def check_service(source: ModelSource, device: str) -> None:
    """Find out whether a service can be used, without starting or asking it.

    Raises:
        NotConfigured: a package, a device, or a key is missing.
    """
    SERVICES[source.family].check(source.name, device)


def load_detector(name: str, settings: Settings) -> ObjectDetector:
    """Load the model that `detection.detector` names; as `load_text_image_model`."""
    source = resolve(name, DETECTION)
    if source.is_service:
        return SERVICES[source.family](source, settings.device, settings.batch_size)
    return _load(DETECTORS, source, settings)


def _load(families: Mapping[str, Callable[[Checkpoint], M]], source: ModelSource, settings: Settings) -> M:
    on = devices(settings.device)
    dtype = choose_dtype(settings.precision, on[0])
    folder = fetch_weights(source)
    adapter = families[family_of(folder, source.task)]
    checkpoint = Checkpoint(
        name=source.name,
        folder=folder,
        identity=source.identity,
        devices=on,
        dtype=dtype,
        batch_size=settings.batch_size,
        resize=settings.resize,
        compiled=settings.compiled,
    )
    with _quiet():
        return adapter(checkpoint)


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars and no advice about processors that we do not use."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
