"""The folder `frames_deduplicated`: hard links to the unique frames, changed in place when only some frames changed.

`linked_version` says which version of the table the folder shows. It is removed before the first link changes and
written after the table is published, so whatever was killed in between leaves none, and the next run makes the whole
folder anew.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.records import FRAMES_SCHEMA
from miner_resources.storage import Storage, link
from miner_resources.tables import read_table

FILES_AT_ONCE: Final = 500
FRAME: Final = ["video_id", "frame_index"]


class UniqueLinks:
    """Keeps the folder in step with the table of unique frames."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def show(self, version: str) -> bool:
        """Whether the folder shows that version of the table."""
        record = self._storage.linked_version
        return record.exists() and record.read_text() == version and self._storage.deduplicated_frames.is_dir()

    def confirm(self, version: str) -> None:
        """Note that the folder shows that version, which was published."""
        with self._storage.publish_file(self._storage.linked_version) as target:
            target.write_text(version)

    def replace(self, kept: pl.DataFrame) -> None:
        """Make the folder anew with links to these frames (video_id, frame_index)."""
        self._doubt()
        with self._storage.publish_folder(self._storage.deduplicated_frames) as folder:
            for source, name in self._names(kept):
                link(self._storage.root / source, folder / name)

    def change(self, before: pl.DataFrame, kept: pl.DataFrame, renewed: Iterable[str]) -> None:
        """Turn the folder from the frames `before` into the frames `kept`.

        Args:
            before: (video_id, frame_index) that the folder shows.
            kept: (video_id, frame_index) that it has to show.
            renewed: videos whose frames may be other files now.
        """
        old = before.select(FRAME).filter(~pl.col("video_id").is_in(list(renewed)))
        gone = before.select(FRAME).join(old.join(kept, on=FRAME, how="semi"), on=FRAME, how="anti")
        new = kept.select(FRAME).join(old, on=FRAME, how="anti")
        if not len(gone) and not len(new):
            return
        self._doubt()
        folder = self._storage.deduplicated_frames
        stems = {self._storage.deduplicated_name(video_id, index, "") for video_id, index in gone.iter_rows()}
        if stems:
            with os.scandir(folder) as entries:
                doomed = [entry.path for entry in entries if entry.name[: entry.name.rfind(".") + 1] in stems]
            for path in doomed:
                os.unlink(path)  # noqa: PTH108 (there may be a million)
        for source, name in self._names(new):
            link(self._storage.root / source, folder / name)

    def _doubt(self) -> None:
        record = self._storage.linked_version
        if record.exists():
            record.unlink()
            folder = os.open(record.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _names(self, frames: pl.DataFrame) -> Iterator[tuple[str, str]]:
        """Path below the output folder and name in the folder of links of each frame."""
        videos = frames["video_id"].unique(maintain_order=True).to_list()
        for start in range(0, len(videos), FILES_AT_ONCE):
            some = videos[start : start + FILES_AT_ONCE]
            paths = self._paths(some).join(frames, on=FRAME, how="semi")
            for video_id, index, path in paths.select(*FRAME, "path").iter_rows():
                yield path, self._storage.deduplicated_name(video_id, index, path.rpartition(".")[2])

    def _paths(self, videos: list[str]) -> pl.DataFrame:
        tables = [self._storage.frames_table(video_id) for video_id in videos]
        try:
            return pl.scan_parquet(tables).select(*FRAME, "path").collect()
        except (OSError, pl.exceptions.PolarsError):
            for table in tables:
                read_table(table, FRAMES_SCHEMA)  # says which one it is
            raise InvalidData(
                "the tables of frames do not fit together", remedy="run the stage 'extract' again"
            ) from None
