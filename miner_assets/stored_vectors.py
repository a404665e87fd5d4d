"""The vectors that the filter and the embedder have stored for every frame, to search without a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.vector_search import VectorTable
from miner_assets.model_choice import model_identity
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DedupConfig
from miner_resources.records import Floats, Stage
from miner_resources.storage import ArtifactKeys, Storage, stable_hash
from miner_resources.tables import read_keys, read_metadata, read_table

MODEL: Final = "video_miner.model"
"""Parquet metadata of embeddings: which model and precision made the vectors; only alike ones can be compared."""

Track = Callable[[list[Path]], Iterator[Path]]
"""Goes through files and may show how far it is."""


def filter_identity(workspace: Workspace) -> str:
    """What makes image features comparable: the filter's model and its number format."""
    return model_identity(workspace.config, Stage.FILTER, workspace.config.filter.model)


def embedder_identity(workspace: Workspace, config: DedupConfig) -> str:
    """What makes embeddings comparable: the model, its number format and how pictures become square."""
    return model_identity(workspace.config, Stage.EMBED, config.model, config.resize)


def features_key(identity: str, frames: ArtifactKeys) -> str:
    """The compute key of a video's features: by which model, of which pictures."""
    return stable_hash("features", identity, frames.compute)


def read_features(storage: Storage, identity: str, video_id: str) -> pl.DataFrame | None:
    """(video_id, frame_index, feature), None if that model has not looked at the frames of that video."""
    path = storage.features_table(video_id)
    keys, frames = read_keys(path), read_keys(storage.frames_table(video_id))
    current = keys is not None and frames is not None and keys.compute == features_key(identity, frames)
    return read_table(path) if current else None


@dataclass(frozen=True)
class StoredVectors:
    """One vector for each of N frames, and which frame each row is.

    Attributes:
        videos: V ids, in the order of their rows.
        starts: V + 1 row numbers; a video's rows are those from its start to the next one.
        indexes: V arrays of frame indexes.
        left_out: videos whose vectors are of another model, or of frames that have changed since.
    """

    table: VectorTable
    videos: list[str] = field(default_factory=list[str])
    starts: list[int] = field(default_factory=lambda: [0])
    indexes: list[np.ndarray] = field(default_factory=list[np.ndarray])
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def frame_at(self, row: int) -> tuple[str, int]:
        """Video and frame index of a row."""
        video = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.videos[video], int(self.indexes[video][row - self.starts[video]])

    def row_of(self, video_id: str, frame_index: int) -> int | None:
        """The row of a frame, None if it has no vector."""
        if video_id not in self.videos:
            return None
        video = self.videos.index(video_id)
        found = np.flatnonzero(self.indexes[video] == frame_index)
        return self.starts[video] + int(found[0]) if len(found) else None


def load_features(storage: Storage, identity: str, track: Track = iter) -> StoredVectors:
    """The features of all frames that the filter has looked at with that model, kept or not.

    Raises:
        InvalidData: a file cannot be read.
    """
    return _load(
        storage.features_tables(), lambda path: read_features(storage, identity, path.parent.name), "feature", track
    )


def load_embeddings(storage: Storage, identity: str, track: Track = iter) -> StoredVectors:
    """The embeddings by that model: of frames that passed the filter, repeats among them.

    Raises:
        InvalidData: a file cannot be read.
    """
    paths = storage.embeddings_tables()

    def read(path: Path) -> pl.DataFrame | None:
        return read_table(path) if read_metadata(path).get(MODEL) == identity else None

    return _load(paths, read, "embedding", track)


def _load(paths: list[Path], read: Callable[[Path], pl.DataFrame | None], column: str, track: Track) -> StoredVectors:
    found = StoredVectors(VectorTable())
    left_out = 0
    for path in track(paths):
        rows = read(path)
        if rows is None:
            left_out += 1
        elif len(rows):
            vectors: Floats = rows[column].to_numpy()
            found.table.add(vectors)
            found.videos.append(str(rows["video_id"][0]))
            found.starts.append(len(found.table))
            found.indexes.append(rows["frame_index"].to_numpy())
    return StoredVectors(found.table, found.videos, found.starts, found.indexes, left_out)
