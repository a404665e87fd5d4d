"""What the filter has stored about all videos of a project, to look at without a model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.threshold_preview import ShownFrame, StoredScores
from miner_resources.records import FRAMES_SCHEMA, Floats
from miner_resources.storage import Storage
from miner_resources.tables import read_table

_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "classes": pl.List(pl.String),
        "logits": pl.List(pl.Float32),
        "negative_logits": pl.List(pl.Float32),
    }
)
_PICTURED: Final = ("video_id", "frame_index", "timestamp_s", "path")


def read_scores(
    storage: Storage, classes: Sequence[str], *, track: Callable[[list[Path]], Iterator[Path]]
) -> StoredScores:
    """The logits of every frame that the filter has looked at.

    Args:
        storage: of the project.
        classes: columns of the result; a frame that was not scored for one has -inf there.
        track: goes through the files and may show how far it is.

    Raises:
        InvalidData: a table cannot be read.
    """
    frames: list[pl.DataFrame] = []
    parts: tuple[list[Floats], list[Floats]] = ([], [])
    for path in track(storage.scores_tables()):
        table = read_table(path, _SCHEMA)
        if table.is_empty():
            continue
        frames.append(table.select("video_id", "frame_index"))
        known: list[str] = table["classes"][0].to_list()
        for part, column in zip(parts, ("logits", "negative_logits"), strict=True):
            part.append(_columns(table[column].to_list(), known, classes))
    if not frames:
        nothing = np.zeros((0, len(classes)), np.float32)
        return StoredScores(tuple(classes), pl.DataFrame(schema=dict(list(_SCHEMA.items())[:2])), nothing, nothing)
    return StoredScores(tuple(classes), pl.concat(frames), np.concatenate(parts[0]), np.concatenate(parts[1]))


def read_shown_frames(storage: Storage, shown: Sequence[ShownFrame]) -> pl.DataFrame:
    """Time and picture of frames: `video_id`, `frame_index`, `timestamp_s` and `path`."""
    wanted: dict[str, list[int]] = {}
    for frame in shown:
        wanted.setdefault(frame.video_id, []).append(frame.frame_index)
    tables = [
        read_table(storage.frames_table(video_id), FRAMES_SCHEMA)
        .filter(pl.col("frame_index").is_in(indexes))
        .select(_PICTURED)
        for video_id, indexes in wanted.items()
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema={name: FRAMES_SCHEMA[name] for name in _PICTURED})


def _columns(rows: list[list[float]], known: Sequence[str], wanted: Sequence[str]) -> Floats:
    values = np.array(rows, np.float32).reshape(len(rows), len(known))
    found = np.full((len(rows), len(wanted)), -np.inf, np.float32)
    for column, name in enumerate(wanted):
        if name in known:
            found[:, column] = values[:, known.index(name)]
    return found
