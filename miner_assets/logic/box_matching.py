"""Which boxes of a picture are the same ones in two versions of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SAME_OBJECT: Final = 0.5
"""Intersection over union from which two boxes are taken for the same object, as in COCO's and VOC's AP50."""


@dataclass(frozen=True)
class Box:
    """A box of a version; `xywh` is in pixels."""

    category: str
    xywh: tuple[float, float, float, float]
    score: float | None
    detector: str


def match_boxes(before: Sequence[Box], after: Sequence[Box]) -> list[tuple[int, int]]:
    """Pair the boxes of one picture that stand for the same object, each used once: (index before, index after).

    Equal boxes first, then those of one class, then the largest overlap; pairs below `SAME_OBJECT` are none.
    """
    candidates = [
        (one != other, one.category != other.category, -overlap, i, j)
        for i, one in enumerate(before)
        for j, other in enumerate(after)
        if (overlap := iou(one.xywh, other.xywh)) >= SAME_OBJECT
    ]
    pairs: list[tuple[int, int]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for *_, i, j in sorted(candidates):
        if i not in used[0] and j not in used[1]:
            pairs.append((i, j))
            used[0].add(i)
            used[1].add(j)
    return sorted(pairs)


def iou(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes (x, y, w, h)."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    inside = across * down
    return inside / (one[2] * one[3] + other[2] * other[3] - inside)
