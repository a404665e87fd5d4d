"""All frames of a project in one table with what became of each, in memory: what every page is made from.

A frame is known by its row number here, by `frame_id` to people. 100,000 frames take about 30 MB.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

import polars as pl

from miner_assets.explore.reading import Artifacts, read_artifacts
from miner_assets.logic.boxes import confident
from miner_resources.config import MinerConfig
from miner_resources.palette import class_colors, hex_color
from miner_resources.records import Video
from miner_resources.storage import Storage


class Fate(StrEnum):
    """What became of a frame."""

    UNIQUE = "unique"
    REPEAT = "repeat"
    REJECTED = "rejected"
    WAITING = "waiting"


IN_VIDEO: Final = "repeat_in_video"
ACROSS: Final = "repeat_across_videos"
_KEY: Final = ("video_id", "frame_index")


@dataclass(frozen=True)
class ProjectIndex:
    """One look at a project.

    Attributes:
        frames: by video as added, then in display order; column `row` counts from 0. `passed` is what the filter
            decided, `fate` a `Fate`, `reason` says why one is not unique, `root` is the row of the frame that stands
            for its group of near-duplicates and `copies` how many frames that group has, `boxes` counts the sure ones.
        boxes: `row` of the frame, `category`, `score`, `x`, `y`, `w`, `h` in px, and `sure`: counts for the dataset.
        artifacts: what it was made from.
        colors: class → colour as HTML writes it.
    """

    frames: pl.DataFrame
    boxes: pl.DataFrame
    artifacts: Artifacts
    colors: dict[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def videos(self) -> dict[str, Video]:
        """All known videos by id, in the order in which they were added."""
        return {video.video_id: video for video in self.artifacts.videos}

    @cached_property
    def rows(self) -> dict[str, tuple[int, int]]:
        """Video → its first row and the number of its frames."""
        spans = self.frames.group_by("video_id", maintain_order=True).agg(pl.col("row").first(), pl.len())
        return {video: (first, count) for video, first, count in spans.iter_rows()}

    def row_of(self, video_id: str, frame_index: int) -> int | None:
        """The row of a frame, None if there is no such frame."""
        first, count = self.rows.get(video_id, (0, 0))
        place = self.frames["frame_index"].slice(first, count).search_sorted(frame_index)
        row = first + int(place)
        return row if place < count and self.frames["frame_index"][row] == frame_index else None


def build_index(storage: Storage, config: MinerConfig) -> ProjectIndex:
    """Read a project as it is now."""
    artifacts = read_artifacts(storage)
    tables = artifacts.tables
    frames = _ordered(tables["frames"], artifacts)
    frames = _with_decisions(frames, tables)
    sure = _sure_boxes(tables["detections"], frames, config)
    counts = sure.filter("sure").group_by("row").agg(pl.len().cast(pl.UInt32).alias("boxes"))
    frames = frames.join(counts, on="row", how="left", maintain_order="left").with_columns(pl.col("boxes").fill_null(0))
    seen = [*frames["best_class"].drop_nulls().unique().sort(), *sure["category"].unique().sort()]
    colors = {name: hex_color(color) for name, color in class_colors([*config.classes, *seen]).items()}
    return ProjectIndex(frames, sure.sort("row"), artifacts, colors)


def _ordered(frames: pl.DataFrame, artifacts: Artifacts) -> pl.DataFrame:
    """With row numbers, and what is known about a frame from its video."""
    about = pl.DataFrame(
        {
            "video_id": [video.video_id for video in artifacts.videos],
            "keyword": [video.source_keyword for video in artifacts.videos],
            "split": [artifacts.splits.get(video.video_id) for video in artifacts.videos],
        },
        schema={"video_id": pl.String, "keyword": pl.String, "split": pl.String},
    ).with_row_index("place")
    placed = frames.join(about, on="video_id", how="left").sort("place", *_KEY, nulls_last=True).drop("place")
    return placed.with_row_index("row").with_columns(
        frame_id=pl.format("{}:{}", "video_id", "frame_index"),
    )


def _with_decisions(frames: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    scores = tables["scores"].rename({"kept": "passed"}).unique(_KEY)
    inside = tables["embeddings"].rename({"kept": "first_in_video", "duplicate_of": "repeats"}).unique(_KEY)
    across = tables["unique_frames"].unique("frame_id").rename({"similarity": "similarity_across"})
    found = frames.join(scores, on=_KEY, how="left", maintain_order="left")
    found = found.join(inside, on=_KEY, how="left", maintain_order="left")
    keeper = pl.format("{}:{}", "video_id", pl.coalesce("repeats", "frame_index"))
    found = found.with_columns(frame_keeper=keeper)
    found = found.join(
        across.rename({"frame_id": "frame_keeper"}), on="frame_keeper", how="left", maintain_order="left"
    )
    fate = (
        pl.when(~pl.col("passed"))
        .then(pl.lit(Fate.REJECTED.value))
        .when(~pl.col("first_in_video") | (pl.col("first_in_video") & ~pl.col("kept")))
        .then(pl.lit(Fate.REPEAT.value))
        .when(pl.col("first_in_video") & pl.col("kept"))
        .then(pl.lit(Fate.UNIQUE.value))
        .otherwise(pl.lit(Fate.WAITING.value))
    )
    found = found.with_columns(fate=fate)
    is_repeat = pl.col("fate") == Fate.REPEAT.value
    inside_video = is_repeat & ~pl.col("first_in_video")
    in_group = pl.col("fate").is_in([Fate.REPEAT.value, Fate.UNIQUE.value])
    found = found.with_columns(
        reason=pl.when(inside_video)
        .then(pl.lit(IN_VIDEO))
        .when(is_repeat)
        .then(pl.lit(ACROSS))
        .otherwise(pl.when(pl.col("fate") == Fate.REJECTED.value).then("reason")),
        similarity=pl.when(inside_video).then("similarity").when(is_repeat).then("similarity_across"),
        duplicate_of=pl.when(inside_video).then("frame_keeper").when(is_repeat).then("duplicate_of"),
        split=pl.when(pl.col("fate") == Fate.UNIQUE.value).then("split"),
        root_id=pl.when(in_group).then(pl.coalesce("duplicate_of", "frame_keeper")),
    )
    return _with_groups(found).select(
        "row", "frame_id", *_KEY, "timestamp_s", "width", "height", "path", "keyword", "split", "best_class", "score",
        "passed", "fate", "reason", "similarity", "duplicate_of", "root", "copies",
    )  # fmt: skip


def _with_groups(frames: pl.DataFrame) -> pl.DataFrame:
    roots = frames.select(pl.col("frame_id").alias("root_id"), pl.col("row").alias("root"))
    found = frames.join(roots, on="root_id", how="left", maintain_order="left")
    size = pl.when(pl.col("root").is_not_null()).then(pl.len().over("root")).otherwise(1)
    return found.with_columns(copies=size.cast(pl.UInt32))


def _sure_boxes(detections: pl.DataFrame, frames: pl.DataFrame, config: MinerConfig) -> pl.DataFrame:
    rows = frames.select("row", *_KEY)
    boxes = detections.join(rows, on=_KEY, how="inner", maintain_order="left").with_row_index("number")
    settings = config.detection
    sure = confident(boxes, settings.confidence_threshold, settings.class_agnostic_nms)["number"]
    return boxes.select("row", "category", "score", "x", "y", "w", "h", sure=pl.col("number").is_in(sure.implode()))
