"""All vectors that are compared across videos in one memory-mapped file, in half precision.

The Parquet files of the videos stay the truth; this copy of them is cheap to look into and can be made again. It is
two files: `vectors-….f16`, to which rows are only ever appended, and a table of contents that appears by one rename and
says which rows count. So a kill at any time leaves the old contents valid: rows behind them are overwritten by the next
writer. Only the holder of the lock of `unique_frames` writes.
"""

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.records import Floats, check_unit_length
from miner_resources.similarity import Indices
from miner_resources.storage import ArtifactKeys, Storage
from miner_resources.tables import read_metadata, read_table, write_table
from miner_resources.vector_index import Halves

FORMAT: Final = "1"
WASTE: Final = 0.5
"""Share of rows of changed and removed videos above which the file is written anew."""

CONTENTS_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "stamp": pl.String,
        "keys_version": pl.String,
        "digest": pl.String,
        "start": pl.Int64,
        "frame_indexes": pl.Binary,  # of int64: a list column takes twenty times as long to make
    }
)


@dataclass(frozen=True)
class StoredVideo:
    """What the store knows about the embeddings of one video.

    Attributes:
        stamp: of the file they were read from, see `file_stamp`.
        keys_version: its version; None if it is of another model and has no rows here.
        digest: of vectors and frame indexes.
        start: first row.
        frame_indexes: (n,) int64, ascending.
    """

    video_id: str
    stamp: str
    keys_version: str | None
    digest: str
    start: int
    frame_indexes: Indices

    @property
    def rows(self) -> Indices:
        """Where its vectors are."""
        return np.arange(self.start, self.start + len(self.frame_indexes))


@dataclass(frozen=True)
class NewVectors:
    """Vectors to store: (n, D) float32 of unit length, in the order of their `frame_indexes` (n,)."""

    video_id: str
    stamp: str
    keys_version: str | None
    frame_indexes: Indices
    vectors: Floats


def file_stamp(path: Path) -> str | None:
    """Text that changes when the file is replaced or written to; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a third of the time, and it is asked for every video)
    except FileNotFoundError:
        return None
    return stamp_of(status)


def stamp_of(status: os.stat_result) -> str:
    """The stamp of a file that was looked at."""
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


class VectorStore:
    """The vectors of one model in one project.

    Args:
        storage: the output folder.
        model: what made the vectors; a store of another one counts as empty.
    """

    def __init__(self, storage: Storage, model: str) -> None:
        self._storage = storage
        self._model = model
        self.videos: dict[str, StoredVideo] = {}
        self._file = ""
        self._count = 0
        self._width = 0
        self._load()

    @property
    def vectors(self) -> Halves:
        """(R, D) all rows, memory-mapped, also those that count no more."""
        if not self._count:
            return np.empty((0, max(self._width, 1)), np.float16)
        return np.memmap(self._path, np.float16, "r", shape=(self._count, self._width))

    @property
    def index_file(self) -> Path:
        """Where an index over the rows belongs; another path whenever the rows are renumbered."""
        return self._storage.dedup_store / f"{self._file}.faiss"

    def update(self, new: Sequence[NewVectors], keep: Iterable[str]) -> None:
        """Store the vectors of new and changed videos, and forget all but these and the videos in `keep`.

        Raises:
            InvalidData: a vector is not of unit length, or widths differ.
        """
        present = set(keep)
        videos = {key: video for key, video in self.videos.items() if key in present}
        if not new and len(videos) == len(self.videos):
            return
        self._storage.dedup_store.mkdir(parents=True, exist_ok=True)
        live = sum(len(video.frame_indexes) for video in videos.values())
        if live < (1 - WASTE) * self._count or not self._file:
            videos = self._rewritten(videos)
        videos |= self._appended(new)
        self._publish(videos)

    def clear(self) -> None:
        """Forget everything."""
        self.videos, self._file, self._count, self._width = {}, "", 0, 0

    @property
    def _path(self) -> Path:
        return self._storage.dedup_store / f"{self._file}.f16"

    def _load(self) -> None:
        path = self._storage.dedup_contents
        known = read_metadata(path)
        if known.get("format") != FORMAT or known.get("model") != self._model:
            return
        self._file, self._count, self._width = known["file"], int(known["count"]), int(known["width"])
        if self._count and not (self._path.exists() and self._path.stat().st_size >= self._count * self._width * 2):
            self.clear()
            return
        table = read_table(path, CONTENTS_SCHEMA)
        for row in table.iter_rows(named=True):
            row["frame_indexes"] = np.frombuffer(row["frame_indexes"], np.int64)
            self.videos[row["video_id"]] = StoredVideo(**row)

    def _rewritten(self, videos: Mapping[str, StoredVideo]) -> dict[str, StoredVideo]:
        """Begin a new file with the rows that still count, in their order."""
        old, parts = self.vectors, sorted(videos.values(), key=lambda video: video.start)
        self._file, self._count = f"vectors-{uuid.uuid4().hex[:8]}", 0
        moved: dict[str, StoredVideo] = {}
        with self._path.open("wb") as file:
            for video in parts:
                moved[video.video_id] = replace(video, start=self._count)
                file.write(np.ascontiguousarray(old[video.start : video.start + len(video.frame_indexes)]).data)
                self._count += len(video.frame_indexes)
        return moved

    def _appended(self, new: Sequence[NewVectors]) -> dict[str, StoredVideo]:
        added: dict[str, StoredVideo] = {}
        with self._path.open("r+b") as file:
            file.seek(self._count * self._width * 2)
            file.truncate()
            for video in new:
                halves = self._halves(video)
                file.write(halves.tobytes())
                digest = hashlib.blake2b(halves.tobytes() + video.frame_indexes.tobytes(), digest_size=8).hexdigest()
                added[video.video_id] = StoredVideo(
                    video.video_id, video.stamp, video.keys_version, digest, self._count, video.frame_indexes
                )
                self._count += len(halves)
            file.flush()
            os.fsync(file.fileno())
        return added

    def _halves(self, video: NewVectors) -> Halves:
        if not len(video.frame_indexes):
            return np.empty((0, 1), np.float16)
        self._width = self._width if self._count else video.vectors.shape[1]
        if video.vectors.shape != (len(video.frame_indexes), self._width):
            raise InvalidData(
                f"embeddings of {video.video_id}: {video.vectors.shape}, those of other videos are {self._width} wide",
                remedy="embed all videos with the same model; delete the embeddings of the other one",
            )
        return check_unit_length(video.vectors).astype(np.float16)

    def _publish(self, videos: dict[str, StoredVideo]) -> None:
        rows = [(*list(vars(video).values())[:-1], video.frame_indexes.tobytes()) for video in videos.values()]
        metadata = {
            "format": FORMAT,
            "model": self._model,
            "file": self._file,
            "count": str(self._count),
            "width": str(self._width),
        }
        with self._storage.publish_file(self._storage.dedup_contents) as target:
            table = pl.DataFrame(rows, schema=CONTENTS_SCHEMA, orient="row")
            write_table(target, table, ArtifactKeys("", ""), metadata=metadata)
        self.videos = videos
        for path in self._storage.dedup_store.glob("vectors-*"):
            if path.stem != self._file:
                path.unlink(missing_ok=True)
