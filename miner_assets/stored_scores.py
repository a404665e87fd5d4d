"""What the filter has stored about all videos of a project, to look at without a model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.filtering import Question
from miner_assets.logic.threshold_preview import ShownFrame, StoredScores
from miner_resources.records import FRAMES_SCHEMA, Floats, Json
from miner_resources.storage import ArtifactKeys, Storage, stable_hash
from miner_resources.tables import read_keys, read_table

_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "logits": pl.List(pl.Float32),
        "negative_logits": pl.List(pl.Float32),
    }
)
_PICTURED: Final = ("video_id", "frame_index", "timestamp_s", "path")


def scores_key(identity: str, asked: Question, frames: ArtifactKeys) -> str:
    """The compute key of a video's scores: by which model, for which texts, of which pictures."""
    texts: Json = [list(asked.classes), list(asked.texts), asked.owners.tolist()]
    return stable_hash("scores", identity, texts, asked.negative.tolist(), frames.compute)


def read_scores(
    storage: Storage, asked: Question, identity: str, *, track: Callable[[list[Path]], Iterator[Path]]
) -> tuple[StoredScores, int]:
    """The logits of every frame that the filter has looked at, and how many videos are left out.

    Left out are those that were scored by another model, for other texts, or whose frames have changed since.

    Args:
        storage: of the project.
        asked: the texts.
        identity: of the model.
        track: goes through the files and may show how far it is.

    Raises:
        InvalidData: a table cannot be read.
    """
    classes, left_out = asked.classes, 0
    frames: list[pl.DataFrame] = []
    parts: tuple[list[Floats], list[Floats]] = ([], [])
    for path in track(storage.scores_tables()):
        frames_keys, keys = read_keys(storage.frames_table(path.parent.name)), read_keys(path)
        if keys is None or frames_keys is None or keys.compute != scores_key(identity, asked, frames_keys):
            left_out += 1
            continue
        table = read_table(path, _SCHEMA)
        if table.is_empty():
            continue
        frames.append(table.select("video_id", "frame_index"))
        for part, column in zip(parts, ("logits", "negative_logits"), strict=True):
            part.append(np.array(table[column].to_list(), np.float32).reshape(-1, len(classes)))
    if not frames:
        nothing = np.zeros((0, len(classes)), np.float32)
        empty = pl.DataFrame(schema=dict(list(_SCHEMA.items())[:2]))
        return StoredScores(classes, empty, nothing, nothing), left_out
    found = StoredScores(classes, pl.concat(frames), np.concatenate(parts[0]), np.concatenate(parts[1]))
    return found, left_out


def read_shown_frames(storage: Storage, shown: Sequence[ShownFrame]) -> pl.DataFrame:
    """Time and picture of frames: `video_id`, `frame_index`, `timestamp_s` and `path`."""
    return read_frames_of(storage, [(frame.video_id, frame.frame_index) for frame in shown])


def read_frames_of(storage: Storage, frames: Sequence[tuple[str, int]]) -> pl.DataFrame:
    """The same for frames by video id and frame index; those that are no longer there are left out."""
    wanted: dict[str, list[int]] = {}
    for video_id, index in frames:
        wanted.setdefault(video_id, []).append(index)
    tables = [
        read_table(storage.frames_table(video_id), FRAMES_SCHEMA)
        .filter(pl.col("frame_index").is_in(indexes))
        .select(_PICTURED)
        for video_id, indexes in wanted.items()
        if storage.frames_table(video_id).exists()
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema={name: FRAMES_SCHEMA[name] for name in _PICTURED})
