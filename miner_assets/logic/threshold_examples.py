"""What lies just above and just below thresholds: pairs of frames for near-duplicates, boxes for the detector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from miner_assets.logic.dedup import deduplicate
from miner_resources.records import Floats
from miner_resources.similarity import Indices


@dataclass(frozen=True)
class Pair:
    """A frame and the earlier kept frame of its video that is most like it.

    Attributes:
        repeats: whether it is removed as a repeat of that frame.
    """

    video_id: str
    frame_index: int
    earlier: int
    similarity: float
    repeats: bool


@dataclass(frozen=True)
class NearBox:
    """A box whose score is near a threshold; `xywh` in px, `counts` if it reaches it."""

    video_id: str
    frame_index: int
    category: str
    score: float
    xywh: tuple[float, float, float, float]
    counts: bool


def pairs_near(video_id: str, frame_indexes: Indices, vectors: Floats, threshold: float, count: int) -> list[Pair]:
    """The pairs of one video nearest to a threshold, at most `count` on either side.

    Args:
        video_id: goes into the result.
        frame_indexes: (N,) in order of time.
        vectors: (N, D) float32, unit length.
        threshold: as in `deduplicate`.
        count: of pairs on each side.
    """
    decided = deduplicate(vectors, threshold)
    removed = np.flatnonzero(~decided.kept)
    above = [(int(row), int(decided.duplicate_of[row]), float(decided.similarity[row])) for row in removed]
    kept = np.flatnonzero(decided.kept)
    cosines = vectors[kept] @ vectors[kept].T
    cosines[np.triu_indices(len(kept))] = -np.inf  # only earlier frames
    nearest = cosines.argmax(axis=1)[1:] if len(kept) > 1 else np.empty(0, np.int64)
    below = [
        (int(kept[place]), int(kept[earlier]), float(cosines[place, earlier]))
        for place, earlier in enumerate(nearest.tolist(), start=1)
    ]
    chosen = [
        *((pair, True) for pair in sorted(above, key=lambda pair: (pair[2], pair[0]))[:count]),
        *((pair, False) for pair in sorted(below, key=lambda pair: (-pair[2], pair[0]))[:count]),
    ]
    return [
        Pair(video_id, int(frame_indexes[row]), int(frame_indexes[earlier]), similarity, repeats)
        for (row, earlier, similarity), repeats in chosen
    ]


def boxes_near(boxes: pl.DataFrame, threshold: float, count: int) -> list[NearBox]:
    """The boxes of each class whose scores are nearest to a threshold, at most `count` on either side.

    Args:
        boxes: `DETECTIONS_SCHEMA`; those without a score are passed over.
        threshold: as in `confident`.
        count: of boxes of a class on each side.
    """
    scored = boxes.filter(pl.col("score").is_not_null()).sort("category", "score", "frame_index")
    counts = pl.col("score") >= threshold
    sides = (
        scored.filter(counts).group_by("category", maintain_order=True).head(count),
        scored.filter(~counts).group_by("category", maintain_order=True).tail(count),
    )
    return [
        NearBox(
            row["video_id"],
            row["frame_index"],
            row["category"],
            row["score"],
            (row["x"], row["y"], row["w"], row["h"]),
            reaches,
        )
        for rows, reaches in zip(sides, (True, False), strict=True)
        for row in rows.iter_rows(named=True)
    ]


def nearest_pairs(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Of the pairs of several videos the nearest ones, at most `count` on either side, most alike first."""
    above = sorted((pair for pair in pairs if pair.repeats), key=lambda pair: pair.similarity)[:count]
    below = sorted((pair for pair in pairs if not pair.repeats), key=lambda pair: -pair.similarity)[:count]
    return [*reversed(above), *below]


def nearest_boxes(boxes: Sequence[NearBox], count: int) -> list[NearBox]:
    """Of the boxes of several videos the nearest ones of each class, at most `count` on either side, surest first."""
    found: list[NearBox] = []
    for name in dict.fromkeys(box.category for box in boxes):
        own = [box for box in boxes if box.category == name]
        above = sorted((box for box in own if box.counts), key=lambda box: box.score)[:count]
        below = sorted((box for box in own if not box.counts), key=lambda box: -box.score)[:count]
        found += [*reversed(above), *below]
    return found
