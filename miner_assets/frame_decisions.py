"""What became of every sampled frame: kept, or why not; from the tables of the stages, which is what versions remember.

`dataset diff` explains with it why a picture is in one version and not in another.
"""

from typing import Final

import polars as pl

from miner_resources.catalog import Catalog
from miner_resources.records import UNIQUE_FRAMES_SCHEMA, Status
from miner_resources.storage import Storage
from miner_resources.tables import read_table

KEPT: Final = "kept"
REPEATS_IN_VIDEO: Final = "repeats_in_video"
REPEATS_VIDEO: Final = "repeats_other_video"
UNLABELLED: Final = "unlabelled"
PENDING: Final = "pending"

DECISIONS_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "outcome": pl.String,
        "best_class": pl.String,
        "score": pl.Float32,
        "duplicate_of": pl.String,
        "similarity": pl.Float32,
    }
)
"""`outcome` is `KEPT`, a reason of the filter, or one of the constants above; `duplicate_of` is a frame id."""


def frame_decisions(storage: Storage, catalog: Catalog) -> pl.DataFrame:
    """`DECISIONS_SCHEMA` over all videos of the project that the filter has looked at, by video and frame."""
    unique = read_table(storage.unique_table, UNIQUE_FRAMES_SCHEMA)
    across = {str(video_id): rows for (video_id,), rows in unique.group_by("video_id", maintain_order=True)}
    names = sorted(video.video_id for video in catalog.videos() if video.status is not Status.SKIPPED)
    parts = [
        _of_video(storage, name, across.get(name, unique.clear()))
        for name in names
        if storage.scores_table(name).exists()
    ]
    return pl.concat(parts) if parts else DECISIONS_SCHEMA.to_frame()


def _of_video(storage: Storage, video_id: str, across: pl.DataFrame) -> pl.DataFrame:
    scores = read_table(storage.scores_table(video_id)).select(
        "video_id", "frame_index", "best_class", "score", filtered=~pl.col("kept"), filter_reason="reason"
    )
    within = _within(storage, video_id)
    labelled = storage.detections_table(video_id).exists()
    between = across.select("frame_index", kept_between="kept", of_frame="duplicate_of", cosine="similarity")
    table = scores.join(within, on="frame_index", how="left").join(between, on="frame_index", how="left")
    outcome = (
        pl.when("filtered")
        .then(pl.col("filter_reason").fill_null("rejected"))
        .when(~pl.col("kept_within"))
        .then(pl.lit(REPEATS_IN_VIDEO))
        .when(~pl.col("kept_between"))
        .then(pl.lit(REPEATS_VIDEO))
        .when(pl.col("kept_between").is_null())
        .then(pl.lit(PENDING))
        .otherwise(pl.lit(KEPT if labelled else UNLABELLED))
    )
    return (
        table.with_columns(
            outcome=outcome,
            duplicate_of=pl.coalesce("of_within", "of_frame"),
            similarity=pl.coalesce("cosine_within", "cosine"),
        )
        .sort("frame_index")
        .select(pl.col(name).cast(dtype) for name, dtype in DECISIONS_SCHEMA.items())
    )


def _within(storage: Storage, video_id: str) -> pl.DataFrame:
    """(frame_index, kept_within, of_within, cosine_within); without rows if there are no embeddings."""
    path = storage.embeddings_table(video_id)
    if not path.exists():
        return _WITHIN.to_frame()
    name = pl.lit(f"{video_id}:") + pl.col("duplicate_of").cast(pl.String)
    return read_table(path).select(
        "frame_index", kept_within="kept", of_within=name, cosine_within=pl.col("similarity").cast(pl.Float32)
    )


_WITHIN: Final = pl.Schema(
    {"frame_index": pl.Int64, "kept_within": pl.Boolean, "of_within": pl.String, "cosine_within": pl.Float32}
)
