"""From a name in the configuration to a loaded adapter: weights on disk or from the hub, or a clear error."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import logging as transformers_logging

from miner_resources.errors import NotConfigured, NotFound
from miner_resources.models.adapter import ImageEmbedder, ObjectDetector, TextImageModel
from miner_resources.models.catalogue import DETECTION, EMBEDDING, TEXT_IMAGE, ModelSource, names, resolve
from miner_resources.models.dino import DinoEmbedder
from miner_resources.models.owlv2 import Owlv2Detector
from miner_resources.models.runtime import choose_device, choose_dtype
from miner_resources.models.siglip import SiglipTextImageModel

PATTERNS: Final = ["*.json", "*.safetensors", "*.txt", "*.model"]
"""What a model needs; no pickled weights and no code."""


def load_text_image_model(name: str, *, device: str, precision: str, batch_size: object) -> TextImageModel:
    """Load the model that `filter.model` names.

    Raises:
        MinerError: no such model, no weights, or no such device.
    """
    folder, chosen = _prepare(name, TEXT_IMAGE), choose_device(device)
    with _quiet():
        return SiglipTextImageModel(folder, device=chosen, dtype=choose_dtype(precision, chosen), batch_size=batch_size)


def load_embedder(name: str, *, device: str, precision: str, batch_size: object) -> ImageEmbedder:
    """Load the model that `dedup.model` names; errors as in `load_text_image_model`."""
    folder, chosen = _prepare(name, EMBEDDING), choose_device(device)
    with _quiet():
        return DinoEmbedder(folder, device=chosen, dtype=choose_dtype(precision, chosen), batch_size=batch_size)


def load_detector(name: str, *, device: str, precision: str, batch_size: object) -> ObjectDetector:
    """Load the model that `detection.detector` names; errors as in `load_text_image_model`."""
    folder, chosen = _prepare(name, DETECTION), choose_device(device)
    with _quiet():
        return Owlv2Detector(folder, device=chosen, dtype=choose_dtype(precision, chosen), batch_size=batch_size)


def fetch_weights(source: ModelSource) -> Path:
    """The folder of a model's files, downloading them if they are not in the Hugging Face cache.

    Raises:
        NotConfigured: they cannot be had; the message names the model and the ways to provide it.
        NotFound: the hub has no such repository.
    """
    if Path(source.location).is_dir():
        return Path(source.location)
    try:
        return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=PATTERNS))
    except GatedRepoError as error:
        raise NotConfigured(
            f"the licence of {source.location} must be accepted first",
            remedy=f"accept it at https://huggingface.co/{source.location} and set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotFound(
            f"Hugging Face has no model {source.location}", remedy=f"known names: {', '.join(names(source.task))}"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise NotConfigured(
            f"the weights of {source.name} ({source.location}) are not here and cannot be downloaded{offline}",
            remedy=f"run `video-miner models download {source.name}` with a network, or put the path of a folder with "
            "the weights into the configuration; `video-miner doctor` says what is missing",
        ) from error


def weights_present(source: ModelSource) -> bool:
    """Whether the model can be loaded without a network."""
    if Path(source.location).is_dir():
        return True
    try:
        snapshot_download(source.location, revision=source.revision, allow_patterns=PATTERNS, local_files_only=True)
    except (LocalEntryNotFoundError, OSError):
        return False
    return True


def _prepare(name: str, task: str) -> Path:
    source = resolve(name, task)
    folder = fetch_weights(source)
    # A hub id that is not in the catalogue shows its family only now.
    return Path(resolve(str(folder), task).location)


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
