"""What the stages have left on disk, as a few tables over all videos. Only columns that pages need are read.

Nothing is written, and the registry is opened behind its lock for as long as a query takes.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from miner_resources.catalog import Catalog
from miner_resources.errors import MinerError
from miner_resources.records import StageRecord, Video
from miner_resources.registry.records import SearchResult
from miner_resources.registry.views import VIEWS, view_files
from miner_resources.storage import Storage
from miner_resources.video_facts import read_facts

REGISTRY_TIMEOUT_S: Final = 10.0

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "frames": ("video_id", "frame_index", "timestamp_s", "width", "height", "path"),
    "scores": ("video_id", "frame_index", "best_class", "score", "kept", "reason"),
    "embeddings": ("video_id", "frame_index", "kept", "duplicate_of", "similarity"),
    "detections": ("video_id", "frame_index", "category", "score", "x", "y", "w", "h"),
    "unique_frames": ("frame_id", "kept", "duplicate_of", "similarity"),
}

_FACTS: Final = ".info.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifacts:
    """All of a project that can be looked at.

    Attributes:
        tables: view of `registry/views.py` → its rows over all videos, with the columns pages need.
        videos: in the order in which they were added.
        found: what searches found.
        failures: the failed stages of failed videos.
        splits: video → split, of the videos in the dataset.
        downloaded: videos that are complete on disk.
        versions: video → text that changes when its frames are extracted again.
        problems: what could not be read, one line each.
    """

    tables: dict[str, pl.DataFrame]
    videos: list[Video]
    found: list[SearchResult]
    failures: list[StageRecord]
    splits: dict[str, str]
    downloaded: set[str]
    versions: dict[str, str]
    problems: list[str] = field(default_factory=list[str])


def signature(storage: Storage) -> tuple[int, ...]:
    """Numbers that change whenever an artifact appears, changes or goes: each does so by a rename in its folder."""
    folders = {folder for folder, _ in view_files(storage).values()}
    watched = [*sorted(folders), storage.root / "videos", storage.root, storage.dataset, storage.registry]
    return tuple(_changed_ns(path) for path in watched)


def read_artifacts(storage: Storage) -> Artifacts:
    """Read everything. What cannot be read is left out and named."""
    problems: list[str] = []
    tables = {name: _read_all(storage, name, problems) for name in _COLUMNS}
    videos, found, failures = _read_registry(storage, problems)
    downloaded = {path.name.removesuffix(_FACTS) for path in _facts(storage)}
    return Artifacts(tables, videos, found, failures, _read_splits(storage), downloaded, _versions(storage), problems)


def _read_all(storage: Storage, name: str, problems: list[str]) -> pl.DataFrame:
    schema = {column: VIEWS[name][column] for column in _COLUMNS[name]}
    folder, pattern = view_files(storage)[name]
    files = sorted(folder.glob(pattern))
    if not files:
        return pl.DataFrame(schema=schema)
    try:
        return _scan(files, schema)
    except (OSError, pl.exceptions.PolarsError):
        return pl.concat([pl.DataFrame(schema=schema), *_readable(files, schema, problems)])


def _readable(files: Sequence[Path], schema: dict[str, pl.DataType], problems: list[str]) -> list[pl.DataFrame]:
    tables: list[pl.DataFrame] = []
    for file in files:
        try:
            tables.append(_scan([file], schema))
        except (OSError, pl.exceptions.PolarsError) as error:
            _log.warning("%s cannot be read: %s", file, error)
            problems.append(f"{file.parent.name}/{file.name} cannot be read: delete it and run that stage again")
    return tables


def _scan(files: Sequence[Path], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.scan_parquet(
        list(files), schema=schema, extra_columns="ignore", glob=False, hive_partitioning=False
    ).collect()


def _read_registry(storage: Storage, problems: list[str]) -> tuple[list[Video], list[SearchResult], list[StageRecord]]:
    """From the registry, or as far as possible from the facts beside the videos: a missing one is not made here."""
    if storage.registry.exists():
        catalog = Catalog(storage, timeout_s=REGISTRY_TIMEOUT_S)
        try:
            return catalog.videos(), catalog.search_results(), catalog.failures()
        except (MinerError, OSError) as error:
            _log.warning("the registry cannot be read: %s", error)
            problems.append(f"the registry cannot be read, keywords are missing: {error}")
    return _videos_beside(storage), [], []


def _videos_beside(storage: Storage) -> list[Video]:
    videos: list[Video] = []
    for path in _facts(storage):
        try:
            facts = read_facts(storage, path.name.removesuffix(_FACTS))
        except MinerError:
            continue
        if facts is not None:
            videos.append(facts.video)
    return sorted(videos, key=lambda video: (video.added_at, video.video_id))


def _facts(storage: Storage) -> Iterator[Path]:
    return storage.info("any-id").parent.glob(f"*{_FACTS}")


def _read_splits(storage: Storage) -> dict[str, str]:
    try:
        record = json.loads((storage.dataset / "made_from.json").read_text(encoding="utf-8"))
        return {str(video): str(split) for video, split in record["splits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _versions(storage: Storage) -> dict[str, str]:
    folder, pattern = view_files(storage)["frames"]
    return {file.parent.name: f"{_changed_ns(file):x}" for file in folder.glob(pattern)}


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
