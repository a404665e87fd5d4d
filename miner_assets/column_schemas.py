"""What the columns of the tables mean, as the Dagster UI shows it on each asset's page."""

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
import polars as pl

from miner_resources.records import (
    DETECTIONS_SCHEMA,
    FRAMES_SCHEMA,
    SCORES_SCHEMA,
    UNIQUE_FRAMES_SCHEMA,
    embeddings_schema,
)

MEANING: Final = {
    "video_id": "The video.",
    "frame_index": "Place of the frame in the video, in display order, from 0.",
    "frame_id": "video_id:frame_index, unique in the project.",
    "pts": "Presentation time in units of the time base; this is what identifies a frame.",
    "time_base_num": "Numerator of the time base, seconds.",
    "time_base_den": "Denominator of the time base.",
    "timestamp_s": "Presentation time, seconds.",
    "is_keyframe": "Whether the file flags the packet as keyframe.",
    "width": "Of the stored picture, px.",
    "height": "Of the stored picture, px.",
    "path": "The picture, relative to the output folder.",
    "sharpness": "Variance of the Laplacian: below about 50 is blurred.",
    "brightness": "Mean luma, 0 (black) to 1 (white).",
    "best_class": "The class with the highest score.",
    "kept": "Whether the frame stays.",
    "reason": "Why a frame was dropped: below_threshold or negative_prompt.",
    "classes": "All classes.",
    "scores": "Sigmoid of each class's logit.",
    "logits": "Of each class, before thresholds.",
    "embedding": "Vector of length 1; its width is the model's.",
    "duplicate_of": "The earlier frame that this one repeats.",
    "similarity": "Cosine similarity with that frame.",
    "group_id": "Frames that repeat each other share it.",
    "category": "Class of the box.",
    "score": "Confidence, 0 to 1; empty for models without one.",
    "x": "Left edge, px.",
    "y": "Upper edge, px.",
    "w": "Width, px.",
    "h": "Height, px.",
    "detector": "The model that found the box.",
    "prompt": "The text that found it.",
}
NULLABLE: Final = frozenset({"reason", "duplicate_of", "similarity"})

Definition = Mapping[str, Any]


def _described(schema: pl.Schema) -> Definition:
    columns = [
        dg.TableColumn(
            name,
            _type(dtype),
            MEANING[name],
            dg.TableColumnConstraints(nullable=name in NULLABLE or (name == "score" and "prompt" in schema)),
        )
        for name, dtype in schema.items()
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def _type(dtype: pl.DataType) -> str:
    return "array of float32" if isinstance(dtype, pl.Array) else str(dtype).lower().replace("(", " of ").rstrip(")")


FRAMES: Final = _described(FRAMES_SCHEMA)
"""Of `frames.parquet`, as definition metadata of its asset; likewise below."""
SCORES: Final = _described(SCORES_SCHEMA)
EMBEDDINGS: Final = _described(embeddings_schema(1))
DETECTIONS: Final = _described(DETECTIONS_SCHEMA)
UNIQUE_FRAMES: Final = _described(UNIQUE_FRAMES_SCHEMA)
