"""The vocabulary of the project: frozen, validated types that modules hand to each other.

Rows of frames live in Parquet tables whose columns are `*_SCHEMA` below (polars dtypes); everything else is a small
dataclass. To add a column: extend the schema here, fill it in its stage, say so in the CHANGELOG.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.vocabulary import Json, Stage, Status

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

UNIT_LENGTH_TOLERANCE: Final = 1e-3


VIDEO_STAGES: Final[Mapping[Stage, tuple[Status, Status]]] = {
    Stage.DOWNLOAD: (Status.DOWNLOADING, Status.DOWNLOADED),
    Stage.EXTRACT: (Status.EXTRACTING, Status.EXTRACTED),
    Stage.FILTER: (Status.FILTERING, Status.FILTERED),
    Stage.EMBED: (Status.DEDUPLICATING, Status.DEDUPLICATED),
    Stage.DETECT: (Status.DETECTING, Status.DETECTED),
}
"""Stages with one partition per video → (status while running, status when done)."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row of the registry's `videos` table. `url` is a URL or an absolute path; times are UTC.

    `trainable` is who may train on it as YouTube's creators say: "all", "none" or names, None if nobody asked.
    `source_size` and `source_mtime_ns` are set for local files only: they tell a later run that it need not hash again.
    """

    video_id: str
    url: str
    added_at: datetime
    title: str | None = None
    channel: str | None = None
    duration_s: float | None = None
    license: str | None = None
    trainable: str | None = None
    source_keyword: str | None = None
    status: Status = Status.PENDING
    updated_at: datetime | None = None
    notes: str | None = None
    source_size: int | None = None
    source_mtime_ns: int | None = None


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What one stage has to say about one video: one row of the registry's `stages` table.

    `status` is "done", "failed", "waiting" (it is not the video's fault, see `errors.Waiting`) or "skipped" (left out
    by the user's rules). `error` is None or the error's kind and message, `remedy` what to do about it.
    """

    video_id: str
    stage: Stage
    status: str
    started_at: datetime
    finished_at: datetime
    compute_key: str | None = None
    decision_key: str | None = None
    metrics: dict[str, Json] = field(default_factory=dict[str, Json])
    error: str | None = None
    remedy: str | None = None
    retryable: bool = False


@dataclass(frozen=True)
class Boxes:
    """Objects found in one image.

    Attributes:
        xyxy: (N, 4) float32 absolute pixels, clipped to the image, x2 > x1 and y2 > y1.
        labels: N class names.
        scores: (N,) float32 in 0..1, or None for models without scores.
    """

    xyxy: Floats
    labels: tuple[str, ...]
    scores: Floats | None

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.xyxy.shape != (count, 4) or (self.scores is not None and self.scores.shape != (count,)):
            scores = None if self.scores is None else self.scores.shape
            raise InvalidData(
                f"boxes: {count} labels need xyxy ({count}, 4) and scores ({count},), "
                f"got {self.xyxy.shape} and {scores}",
                remedy="this is a bug in a detector adapter; please report it",
            )

    def __len__(self) -> int:
        return len(self.labels)


def check_unit_length(vectors: Floats) -> Floats:
    """Return `vectors` (N, D) unchanged, after checking that every row is finite and of length 1.

    Raises:
        InvalidData: a row is not finite or its length differs from 1 by more than `UNIT_LENGTH_TOLERANCE`.
    """
    if vectors.ndim != 2:
        raise InvalidData(f"embeddings must be (N, D), got {vectors.shape}", remedy="report this adapter bug")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(lengths - 1.0) <= UNIT_LENGTH_TOLERANCE):
        raise InvalidData(
            "embeddings must be finite and of unit length",
            remedy="use fp32 or bf16 precision: fp16 can overflow in this model",
        )
    return vectors


FRAMES_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "pts": pl.Int64,
        "time_base_num": pl.Int32,
        "time_base_den": pl.Int32,
        "timestamp_s": pl.Float64,
        "is_keyframe": pl.Boolean,
        "width": pl.Int32,
        "height": pl.Int32,
        "path": pl.String,
        "sharpness": pl.Float32,
        "brightness": pl.Float32,
    }
)

SCORES_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "best_class": pl.String,
        "score": pl.Float32,
        "kept": pl.Boolean,
        "reason": pl.String,
        "classes": pl.List(pl.String),
        "scores": pl.List(pl.Float32),
        "logits": pl.List(pl.Float32),
    }
)

DETECTIONS_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "category": pl.String,
        "score": pl.Float32,
        "x": pl.Float32,
        "y": pl.Float32,
        "w": pl.Float32,
        "h": pl.Float32,
        "detector": pl.String,
        "prompt": pl.String,
    }
)

UNIQUE_FRAMES_SCHEMA: Final = pl.Schema(
    {
        "frame_id": pl.String,
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "kept": pl.Boolean,
        "duplicate_of": pl.String,
        "similarity": pl.Float32,
        "group_id": pl.Int64,
    }
)


def embeddings_schema(dimension: int) -> pl.Schema:
    """Columns of `embeddings/*.parquet`; the array width depends on the model."""
    return pl.Schema(
        {
            "video_id": pl.String,
            "frame_index": pl.Int64,
            "embedding": pl.Array(pl.Float32, dimension),
            "kept": pl.Boolean,
            "duplicate_of": pl.Int64,
            "similarity": pl.Float32,
        }
    )


def frame_id(video_id: str, frame_index: int) -> str:
    """The name of a frame across the whole project: `{video_id}:{frame_index}`."""
    return f"{video_id}:{frame_index}"
