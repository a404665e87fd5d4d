"""Which of the stored boxes count: thresholds apply to what is stored, so changing one costs no model."""

import numpy as np
import polars as pl

from miner_resources.models.boxes import suppress
from miner_resources.records import Floats


def confident(table: pl.DataFrame, threshold: float, class_agnostic_nms: float | None = None) -> pl.DataFrame:
    """The boxes that are sure enough, in the same order.

    Args:
        table: `DETECTIONS_SCHEMA`, with any further columns.
        threshold: lowest score; boxes without a score count.
        class_agnostic_nms: IoU above which only the best of two boxes stays, whatever their classes; a box without
            a score is better than any with one. None: all stay.
    """
    sure = table.filter(pl.col("score").is_null() | (pl.col("score") >= threshold))
    if class_agnostic_nms is None or sure.is_empty():
        return sure
    numbered = sure.with_row_index("_row")
    kept: list[int] = []
    for _, frame in numbered.group_by("video_id", "frame_index", maintain_order=True):
        x, y, w, h = (frame[name].to_numpy() for name in ("x", "y", "w", "h"))
        corners: Floats = np.stack([x, y, x + w, y + h], axis=1).astype(np.float32)
        scores: Floats = frame["score"].fill_null(2.0).to_numpy().astype(np.float32)
        best = suppress(corners, scores, np.zeros(len(frame), np.int64), class_agnostic_nms)
        kept += frame["_row"].gather(best).to_list()
    return numbered.filter(pl.col("_row").is_in(kept)).drop("_row")
