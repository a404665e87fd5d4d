"""What is compared across videos: the embeddings of all videos in canonical order, read once into the vector store."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from miner_assets.stored_vectors import MODEL
from miner_assets.workspace import Workspace
from miner_resources.errors import InvalidData
from miner_resources.records import Status
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import COMPUTE_KEY, DECISION_KEY, read_metadata
from miner_resources.vector_store import NewVectors, StoredVideo, VectorStore, file_stamp, stamp_of

FILES_AT_ONCE: Final = 500
BYTES_AT_ONCE: Final = 64 << 20


@dataclass(frozen=True)
class Input:
    """One video's embeddings, by the version of their file."""

    video_id: str
    version: str


@dataclass(frozen=True)
class _File:
    """The content of an embeddings file, as it was at one moment."""

    video_id: str
    stamp: str
    version: str | None
    content: bytes


class UniqueInputs:
    """The embeddings of one model in canonical order: when the video was added, then its id.

    Args:
        workspace: the project.
        model: identity of the model; files of other models are passed over.
    """

    def __init__(self, workspace: Workspace, model: str) -> None:
        self._storage = workspace.storage
        self._catalog = workspace.catalog
        self._model = model
        self.store = VectorStore(workspace.storage, model)

    def scan(self) -> list[Input]:
        """Which embeddings there are; opens only files that the store does not know."""
        found: list[Input] = []
        for video_id, path in self._files():
            stamp = file_stamp(path)
            known = self.store.videos.get(video_id)
            if known is not None and known.stamp == stamp:
                version = known.keys_version
            else:
                version = self._version(read_metadata(path)) if stamp else None
            if version is not None:
                found.append(Input(video_id, version))
        return found

    def load(self) -> list[StoredVideo]:
        """Bring the store up to date; returns the videos to compare.

        Raises:
            InvalidData: a file cannot be read, or its vectors cannot be compared with the others.
        """
        order: list[str] = []
        changed: list[tuple[str, Path]] = []
        for video_id, path in self._files():
            stamp = file_stamp(path)
            if stamp is not None:
                order.append(video_id)
                known = self.store.videos.get(video_id)
                if known is None or known.stamp != stamp:
                    changed.append((video_id, path))
        new = [video for chunk in self._read(changed) for video in self._parsed(chunk)]
        self.store.update(new, set(order) - {video_id for video_id, _ in changed})
        videos = (self.store.videos.get(video_id) for video_id in order)
        return [video for video in videos if video is not None and video.keys_version is not None]

    def _files(self) -> list[tuple[str, Path]]:
        videos = (video for video in self._catalog.videos() if video.status is not Status.SKIPPED)
        return [(video.video_id, self._storage.embeddings_table(video.video_id)) for video in videos]

    def _version(self, metadata: dict[str, str]) -> str | None:
        if metadata.get(MODEL) != self._model or COMPUTE_KEY not in metadata or DECISION_KEY not in metadata:
            return None
        return ArtifactKeys(metadata[COMPUTE_KEY], metadata[DECISION_KEY]).version

    def _read(self, files: Sequence[tuple[str, Path]]) -> Iterator[list[_File]]:
        """Contents of files, some at a time; a file may be replaced meanwhile, so each is opened once."""
        chunk: list[_File] = []
        size = 0
        for video_id, path in files:
            try:
                with path.open("rb") as file:
                    stamp, content = stamp_of(os.fstat(file.fileno())), file.read()
            except FileNotFoundError:
                continue
            try:
                metadata = dict(pl.read_parquet_metadata(io.BytesIO(content)))
            except pl.exceptions.PolarsError:
                metadata = {}
            version = self._version(metadata)
            chunk.append(_File(video_id, stamp, version, content if version else b""))
            size += len(content)
            if len(chunk) == FILES_AT_ONCE or size > BYTES_AT_ONCE:
                yield chunk
                chunk, size = [], 0
        yield chunk

    def _parsed(self, files: Sequence[_File]) -> Iterator[NewVectors]:
        tables = _tables([file for file in files if file.version])
        nothing = np.empty(0, np.int64), np.empty((0, 1), np.float32)
        for file in files:
            table = tables.get(file.video_id)
            indexes, vectors = (
                (table["frame_index"].to_numpy(), table["embedding"].to_numpy())
                if table is not None and len(table)
                else nothing
            )
            yield NewVectors(file.video_id, file.stamp, file.version, indexes, vectors)


def _tables(files: Sequence[_File]) -> dict[str, pl.DataFrame]:
    """(frame_index, embedding) of the frames that are unique in their video, by video: many files in one query."""
    groups: dict[pl.DataType, list[_File]] = {}
    for file in files:
        # Tables without rows do not know how long the vectors are, and one query wants one type.
        groups.setdefault(_schema(file)["embedding"], []).append(file)
    tables: dict[str, pl.DataFrame] = {}
    for group in groups.values():
        whole = pl.scan_parquet([io.BytesIO(file.content) for file in group]).filter("kept").select(_COLUMNS)
        parts = whole.sort("video_id", "frame_index").collect().partition_by("video_id", as_dict=True)
        tables |= {str(key[0]): part for key, part in parts.items()}
    return tables


def _schema(file: _File) -> pl.Schema:
    schema = pl.Schema(pl.read_parquet_schema(io.BytesIO(file.content)))
    if not {*_COLUMNS, "kept"} <= set(schema):
        raise InvalidData(
            f"embeddings of {file.video_id} lack columns: {', '.join(schema)}",
            remedy=f"delete embeddings/{file.video_id}.parquet and run the stage 'embed' again",
        )
    return schema


_COLUMNS: Final = ["video_id", "frame_index", "embedding"]
