"""From a detector's candidates to boxes: what all detectors with scores have in common."""

from typing import Final

import numpy as np

from miner_resources.models.adapter import Asked, Detections, Query
from miner_resources.models.boxes import clip, suppress
from miner_resources.records import Boxes, Floats

NMS_IOU: Final = 0.5
"""Two boxes of one class that overlap by more than that are the same object."""


def no_boxes() -> Detections:
    """What was found where nothing was."""
    return Detections(Boxes(np.zeros((0, 4), np.float32), (), np.zeros(0, np.float32)), ())


def select(
    scores: Floats, corners: Floats, size: tuple[int, int], query: Query, asked: Asked | None = None
) -> Detections:
    """The boxes of one picture that are good enough, best first, one per object of a class.

    Args:
        scores: (Q, P) of each candidate and text, 0..1.
        corners: (Q, 4) x1, y1, x2, y2 in pixels of the original picture; may reach beyond it.
        size: (height, width) of the original picture.
        query: what was looked for.
        asked: (P,) which texts count; None: all.
    """
    if asked is not None:
        scores = np.where(asked, scores, -1.0).astype(np.float32)
    if not scores.size:
        return no_boxes()
    best, top = scores.argmax(axis=1), scores.max(axis=1)
    inside = clip(corners, *size)
    chosen = np.flatnonzero((top >= max(query.floor, 0.0)) & np.all(inside[:, 2:] > inside[:, :2], axis=1))
    names = list(dict.fromkeys(query.labels))
    classes = np.array([names.index(label) for label in query.labels], np.int64)[best]
    chosen = chosen[suppress(inside[chosen], top[chosen], classes[chosen], NMS_IOU)]
    winners: list[int] = best[chosen].tolist()
    found = Boxes(inside[chosen], tuple(query.labels[text] for text in winners), top[chosen])
    return Detections(found, tuple(query.prompts[text] for text in winners))
