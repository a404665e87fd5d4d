"""Numbers behind the charts: classes, scores, similarities, the funnel by keyword, videos."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from miner_assets.explore.index import Fate, ProjectIndex
from miner_assets.logic.funnel import Came, FunnelRow, by_keyword
from miner_resources.records import StageRecord, Video

SCORE_EDGES: Final = (
    0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3,
    0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0,
)  # fmt: skip
"""Narrow at both ends, where the scores of sigmoid models crowd."""
BOX_EDGES: Final = tuple(round(step / 20, 2) for step in range(21))
SIMILARITY_EDGES: Final = tuple(round(0.8 + step / 100, 2) for step in range(21))


@dataclass(frozen=True)
class Bar:
    """A bin of a histogram: `counts` per series, from `low` up to and not with `high`."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassCount:
    """One class: frames it is the best guess for, unique ones of them, and sure boxes on unique frames."""

    name: str
    color: str
    frames: int
    unique: int
    boxes: int


@dataclass(frozen=True)
class VideoRow:
    """One video in numbers."""

    video: Video
    frames: int
    kept: int
    unique: int
    boxes: int
    first: tuple[str, int] | None
    failure: StageRecord | None


def count_classes(index: ProjectIndex) -> list[ClassCount]:
    """All classes, those with most boxes first."""
    guessed = _counted(index.frames, "best_class")
    unique = index.frames.filter(pl.col("fate") == Fate.UNIQUE.value)
    kept = _counted(unique, "best_class")
    on_unique = index.boxes.filter("sure").join(unique.select("row"), on="row", how="semi")
    boxes = _counted(on_unique, "category")
    rows = [
        ClassCount(name, color, guessed.get(name, 0), kept.get(name, 0), boxes.get(name, 0))
        for name, color in index.colors.items()
    ]
    return sorted(rows, key=lambda row: (-row.boxes, -row.frames, row.name))


def score_bars(index: ProjectIndex, name: str) -> list[Bar]:
    """Scores of the frames a class is the best guess for: those that passed the filter, and those that did not."""
    frames = index.frames.filter((pl.col("best_class") == name) & pl.col("score").is_not_null())
    return _bars(SCORE_EDGES, [frames.filter("passed")["score"], frames.filter(~pl.col("passed"))["score"]])


def box_bars(index: ProjectIndex) -> list[Bar]:
    """Scores of boxes: those that count, and those that are stored for a lower threshold."""
    boxes = index.boxes.filter(pl.col("score").is_not_null())
    return _bars(BOX_EDGES, [boxes.filter("sure")["score"], boxes.filter(~pl.col("sure"))["score"]])


def similarity_bars(index: ProjectIndex) -> list[Bar]:
    """Similarity of repeats to the frame that was kept for them."""
    return _bars(SIMILARITY_EDGES, [index.frames["similarity"].drop_nulls()])


def count_funnel(index: ProjectIndex) -> list[FunnelRow]:
    """One row per keyword in the order of their names, last the videos that no search found."""
    downloaded = index.artifacts.downloaded
    came = {
        row.video.video_id: Came(
            downloaded=row.video.video_id in downloaded,
            frames=row.frames,
            kept=row.kept,
            unique=row.unique,
            boxes=row.boxes,
        )
        for row in count_videos(index)
    }
    return by_keyword(index.artifacts.found, index.videos.values(), came)


def count_videos(index: ProjectIndex) -> list[VideoRow]:
    """All videos in the order in which they were added."""
    unique = pl.col("fate") == Fate.UNIQUE.value
    counted = index.frames.group_by("video_id").agg(
        pl.len(),
        pl.col("passed").sum(),
        unique.sum().alias("unique"),
        pl.col("boxes").filter(unique).sum(),
        # The picture that stands for it: the surest unique frame, else the surest at all.
        pl.col("frame_index").sort_by(unique, "score", descending=True, nulls_last=True).first().alias("shown"),
    )
    numbers = {row[0]: row[1:] for row in counted.iter_rows()}
    failures = {record.video_id: record for record in index.artifacts.failures}
    rows: list[VideoRow] = []
    for name, video in index.videos.items():
        frames, kept, unique_frames, boxes, shown = numbers.get(name, (0, 0, 0, 0, None))
        first = None if shown is None else (name, int(shown))
        rows.append(VideoRow(video, frames, kept or 0, unique_frames, boxes, first, failures.get(name)))
    return rows


def _counted(table: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(table.group_by(column).len().drop_nulls().iter_rows())


def _bars(edges: tuple[float, ...], series: list[pl.Series]) -> list[Bar]:
    # Float32 scores may be a hair over 1, and similarities below the first edge.
    counts = [np.histogram(np.clip(values.to_numpy(), edges[0], edges[-1]), edges)[0] for values in series]
    return [
        Bar(edges[place], edges[place + 1], tuple(int(count[place]) for count in counts))
        for place in range(len(edges) - 1)
    ]
