"""Weights on disk: from the Hugging Face cache or hub, or a clear error that says how to get them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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

from miner_resources.errors import MinerError, NotConfigured, NotFound, Unavailable
from miner_resources.models.catalogue import CATALOGUE, TEXT_IMAGE, names
from miner_resources.models.checkpoints import PREPROCESSING, is_complete
from miner_resources.models.sources import ModelSource, candidates, family_of, resolve

TOKENIZERS: Final = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
PATTERNS: Final = ["*.json", "*.safetensors", "*.txt", "*.model"]
"""What a model needs; no pickled weights and no code."""


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
    if source.is_service:
        raise NotConfigured(
            f"{source.name} has no weights to fetch: it comes with {source.location}",
            remedy="see docs/models.md for what it needs",
        )
    folder = _present(source)
    if folder is None:
        if not source.family:
            check_family(source)
        with _translated(source):
            folder = Path(snapshot_download(source.location, revision=source.revision, allow_patterns=PATTERNS))
    if not is_complete(folder):
        raise NotConfigured(
            f"{folder} lacks weights of {source.name}: model.safetensors, or a file that its index names",
            remedy="give a complete folder with safetensors weights; save_pretrained writes them",
        )
    return folder


def weights_present(source: ModelSource) -> bool:
    """Whether the model can be loaded without a network; services are always there."""
    if source.is_service:
        return True
    folder = _present(source)
    return folder is not None and is_complete(folder)


def settle(names_by_preference: str, task: str, *, fetch: bool) -> str:
    """Of several models the first whose weights are here, else the first that can be fetched.

    Args:
        names_by_preference: separated by commas.
        task: what they are for.
        fetch: whether to download; without it the first one is meant when none is here.

    Raises:
        NotConfigured: none can be had; with the reason for each.
    """
    wanted = candidates(names_by_preference)
    sources = [resolve(name, task) for name in wanted]
    here = next((source.name for source in sources if weights_present(source)), None)
    if here is not None or not fetch:
        return here or wanted[0]
    reasons: list[str] = []
    for source in sources:
        try:
            fetch_weights(source)
        except MinerError as error:
            reasons.append(f"{source.name}: {error.message}")
        else:
            return source.name
    raise NotConfigured(
        f"none of the models can be had: {'; '.join(reasons)}",
        remedy=f"run `video-miner models download {wanted[-1]}` with a network, or give a folder with weights",
    )


def check_family(source: ModelSource) -> None:
    """Refuse a hub model that no adapter can read before its gigabytes are downloaded."""
    with _translated(source):
        config = hf_hub_download(source.location, "config.json", revision=source.revision)
    family_of(Path(config).parent, source.task)


def _present(source: ModelSource) -> Path | None:
    """The local folder, or the complete copy in the Hugging Face cache: then the hub is not even asked."""
    if not source.is_hub:
        return Path(source.location)
    try:
        folder = snapshot_download(
            source.location, revision=source.revision, allow_patterns=PATTERNS, local_files_only=True
        )
    except (HFValidationError, OSError):
        return None
    # Another program may have cached the weights and nothing else, or what it needs for pictures only.
    needed = [PREPROCESSING, *([TOKENIZERS] if source.reads_text else [])]
    prepared = all(any((Path(folder) / name).exists() for name in names) for names in needed)
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
