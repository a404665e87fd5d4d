"""Arithmetic of boxes as (N, 4) float32 arrays of x1, y1, x2, y2 in pixels."""

from typing import Any

import numpy as np
import numpy.typing as npt

from miner_resources.records import Floats


def from_centres(boxes: Floats) -> Floats:
    """Corners of (N, 4) boxes that are given as centre x, centre y, width, height."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def to_pixels(parts: Floats, size: tuple[int, int]) -> Floats:
    """(N, 4) corners that are given as parts of a picture of `size` (height, width)."""
    height, width = size
    return parts * np.array([width, height, width, height], np.float32)


def clip(xyxy: npt.NDArray[np.floating[Any]], height: int, width: int) -> Floats:
    """Boxes cut to the picture; one that lies outside becomes empty."""
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(xyxy, 0, limit).astype(np.float32)


def iou(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box (4,) with N others, (N,); 0 where both are empty."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    return (shared / np.maximum(union, 1e-9)).astype(np.float32)


def suppress(xyxy: Floats, scores: Floats, classes: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        xyxy: (N, 4).
        scores: (N,).
        classes: (N,).
        threshold: a box goes if its IoU with a better one of its class is above.

    Returns:
        indices of the boxes that stay, best first; of equal scores the one further up, then further left, first.
    """
    order = np.lexsort((xyxy[:, 0], xyxy[:, 1], -scores))
    kept: list[int] = []
    alive = np.ones(len(order), np.bool_)
    for place, index in enumerate(order):
        if not alive[place]:
            continue
        kept.append(int(index))
        later = order[place + 1 :]
        overlapping = (iou(xyxy[index], xyxy[later]) > threshold) & (classes[later] == classes[index])
        alive[place + 1 :] &= ~overlapping
    return np.array(kept, np.int64)
