"""From a name in the configuration to a loaded adapter: weights on disk or from the hub, or a clear error.

To add a family: its adapter in the table of its task.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from huggingface_hub import hf_hub_download, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] (the base of transport errors; its package is not ours)
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import logging as transformers_logging

from miner_resources.errors import NotConfigured, NotFound, Unavailable
from miner_resources.models.adapter import ImageEmbedder, ObjectDetector, TextImageModel
from miner_resources.models.catalogue import (
    CATALOGUE,
    DETECTION,
    EMBEDDING,
    TEXT_IMAGE,
    ModelSource,
    family_of,
    names,
    resolve,
)
from miner_resources.models.checkpoints import is_complete
from miner_resources.models.dino import DinoEmbedder
from miner_resources.models.loaded import Checkpoint
from miner_resources.models.owlv2 import Owlv2Detector
from miner_resources.models.preprocess import PREPROCESSING
from miner_resources.models.runtime import choose_dtype, devices
from miner_resources.models.siglip import SiglipTextImageModel

PATTERNS: Final = ["*.json", "*.safetensors", "*.txt", "*.model"]
"""What a model needs; no pickled weights and no code."""

M = TypeVar("M")


def load_text_image_model(name: str, *, device: str, precision: str, batch_size: int | str) -> TextImageModel:
    """Load the model that `filter.model` names.

    Args:
        name: of the catalogue, a local folder, or a hub id.
        device: "auto" takes every visible GPU.
        precision: "auto", "fp32", "bf16" or "fp16".
        batch_size: pictures per forward pass and device, or "auto".

    Raises:
        MinerError: no such model, no weights, or no such device.
    """
    families: dict[str, Callable[[Checkpoint], TextImageModel]] = {"siglip": SiglipTextImageModel}
    return _load(families, resolve(name, TEXT_IMAGE), device, precision, batch_size)


def load_embedder(name: str, *, device: str, precision: str, batch_size: int | str) -> ImageEmbedder:
    """Load the model that `dedup.model` names; as `load_text_image_model`."""
    families: dict[str, Callable[[Checkpoint], ImageEmbedder]] = {"dino": DinoEmbedder, "siglip": SiglipTextImageModel}
    return _load(families, resolve(name, EMBEDDING), device, precision, batch_size)


def load_detector(name: str, *, device: str, precision: str, batch_size: int | str) -> ObjectDetector:
    """Load the model that `detection.detector` names; as `load_text_image_model`."""
    families: dict[str, Callable[[Checkpoint], ObjectDetector]] = {"owlv2": Owlv2Detector}
    return _load(families, resolve(name, DETECTION), device, precision, batch_size)


def fetch_weights(model: str | ModelSource) -> Path:
    """The folder of a model's files, downloading them if they are not in the Hugging Face cache.

    Args:
        model: a source, or a name of the catalogue or hub id, whatever its task.

    Raises:
        NotConfigured: they cannot be had; the message names the model and the ways to provide it.
        NotFound: the hub has no such repository.
        Unavailable: the hub answers, but not with the files.
    """
    source = resolve(model, _task_of(model)) if isinstance(model, str) else model
    folder = _present(source)
    if folder is None:
        with _translated(source):
            folder = Path(snapshot_download(source.location, revision=source.revision, allow_patterns=PATTERNS))
    if not is_complete(folder):
        raise NotConfigured(
            f"{folder} lacks weights of {source.name}: model.safetensors, or a file that its index names",
            remedy="give a complete folder with safetensors weights; save_pretrained writes them",
        )
    return folder


def weights_present(source: ModelSource) -> bool:
    """Whether the model can be loaded without a network."""
    folder = _present(source)
    return folder is not None and is_complete(folder)


def _load(
    families: Mapping[str, Callable[[Checkpoint], M]],
    source: ModelSource,
    device: str,
    precision: str,
    batch_size: int | str,
) -> M:
    on = devices(device)
    dtype = choose_dtype(precision, on[0])
    if not source.family:
        _check_family(source)
    folder = fetch_weights(source)
    adapter = families[family_of(folder, source.task)]
    checkpoint = Checkpoint(
        name=source.name,
        folder=folder,
        identity=source.identity,
        devices=on,
        dtype=dtype,
        batch_size=batch_size,
    )
    with _quiet():
        return adapter(checkpoint)


def _check_family(source: ModelSource) -> None:
    """Refuse a hub model that no adapter can read before its gigabytes are downloaded."""
    with _translated(source):
        config = hf_hub_download(source.location, "config.json", revision=source.revision)
    family_of(Path(config).parent, source.task)


def _present(source: ModelSource) -> Path | None:
    """The local folder, or the complete copy in the Hugging Face cache: then the hub is not even asked."""
    if Path(source.location).is_dir():
        return Path(source.location)
    try:
        folder = snapshot_download(
            source.location, revision=source.revision, allow_patterns=PATTERNS, local_files_only=True
        )
    except (HFValidationError, OSError):
        return None
    # Another program may have cached the weights and nothing else.
    prepared = any((Path(folder) / name).exists() for name in PREPROCESSING)
    return Path(folder) if prepared and is_complete(Path(folder)) else None


def _task_of(name: str) -> str:
    return next((entry.task for entry in CATALOGUE if name in (entry.name, entry.hub_id)), TEXT_IMAGE)


@contextmanager
def _translated(source: ModelSource) -> Generator[None]:
    """The hub's errors as ours."""
    where = f"https://huggingface.co/{source.location}"
    try:
        yield
    except GatedRepoError as error:
        licence = source.entry.licence_url if source.entry and source.entry.licence_url else where
        raise NotConfigured(
            f"{source.location} is handed out only to those who accept its licence",
            remedy=f"read {licence}, accept it at {where}, and set HF_TOKEN to a token of that account",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError, HFValidationError) as error:
        raise NotFound(
            f"Hugging Face has no model {source.location} that your account can see",
            remedy=f"available: {', '.join(names(source.task))}; for a private model set HF_TOKEN",
        ) from error
    except HTTPError as error:
        raise Unavailable(f"{where} answered with an error: {error}", remedy="try again later") from error
    except OSError as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise Unavailable(f"{where} answered with an error: {error.__cause__}", remedy="try again later") from error
        offline = " because HF_HUB_OFFLINE is set" if is_offline_mode() else ""
        raise NotConfigured(
            f"the weights of {source.name} ({source.location}) are not here and cannot be downloaded{offline}",
            remedy=f"run `video-miner models download {source.name}` with a network, or put the path of a folder with "
            "the weights into the configuration; `video-miner doctor` says what is missing",
        ) from error


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
