"""From boxes to detections where a model gives no scores: it names what it sees, and everything named counts."""

from collections.abc import Sequence

import numpy as np

from miner_resources.models.adapter import Detections, Query
from miner_resources.models.boxes import clip, suppress
from miner_resources.models.selection import NMS_IOU
from miner_resources.records import Boxes, Floats


def select_unscored(found: Sequence[Floats], size: tuple[int, int], query: Query) -> Detections:
    """The boxes of one picture in the order of texts and, for each, in that of the model; one per object of a class.

    Of two boxes of one class that overlap the first stays: several texts for a class find the same object, and a model
    that runs on names it again with other digits. `Query.floor` has no say.

    Args:
        found: for each text of the query (K, 4) x1, y1, x2, y2 in pixels of the original picture; may reach beyond it,
            and may be empty or the wrong way round.
        size: (height, width) of the original picture.
        query: what was looked for.
    """
    texts = np.repeat(np.arange(len(found)), [len(corners) for corners in found])
    inside = clip(np.concatenate([np.zeros((0, 4), np.float32), *found]), *size)
    real = np.flatnonzero(np.all(inside[:, 2:] > inside[:, :2], axis=1))
    names = list(dict.fromkeys(query.labels))
    classes = np.array([names.index(label) for label in query.labels], np.int64)[texts[real]]
    order = np.arange(len(real), 0, -1).astype(np.float32)
    chosen = real[suppress(inside[real], order, classes, NMS_IOU)]
    owners: list[int] = texts[chosen].tolist()
    boxes = Boxes(inside[chosen], tuple(query.labels[text] for text in owners), None)
    return Detections(boxes, tuple(query.prompts[text] for text in owners))
