"""Boxes: clipping, overlap and suppression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_resources.models.boxes import clip, from_centres, iou, suppress


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def kept(xyxy, scores, classes=None, threshold=0.5):
    found = suppress(xyxy, np.array(scores, np.float32), np.array(classes or [0] * len(xyxy), np.int64), threshold)
    return found.tolist()


def test_corners_of_centres():
    assert from_centres(boxes([5, 10, 4, 6])).tolist() == [[3, 7, 7, 13]]


def test_clipping_cuts_and_empties():
    cut = clip(boxes([-5, -5, 5, 5], [90, 40, 200, 200], [150, 10, 160, 20]), height=50, width=100)
    assert cut.dtype == np.float32
    assert cut.tolist() == [[0, 0, 5, 5], [90, 40, 100, 50], [100, 10, 100, 20]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [([0, 0, 2, 2], 1.0), ([1, 0, 3, 2], 1 / 3), ([2, 0, 4, 2], 0.0), ([9, 9, 9, 9], 0.0), ([0, 0, 1, 1], 0.25)],
    ids=["same", "half shifted", "touching", "empty", "inside"],
)
def test_intersection_over_union(other, expected):
    assert iou(boxes([0, 0, 2, 2])[0], boxes(other))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("xyxy", "scores", "classes", "expected"),
    [
        (boxes(), [], None, []),
        (boxes([0, 0, 10, 10], [1, 0, 11, 10]), [0.5, 0.9], None, [1]),
        (boxes([0, 0, 10, 10], [1, 0, 11, 10]), [0.5, 0.9], [0, 1], [1, 0]),
        (boxes([0, 0, 10, 10], [20, 0, 30, 10]), [0.5, 0.9], None, [1, 0]),
        (boxes([5, 7, 9, 9], [5, 0, 9, 2], [0, 0, 4, 2]), [0.5, 0.5, 0.5], None, [2, 1, 0]),
        (boxes([0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]), [0.9, 0.8, 0.7], None, [0, 2]),
    ],
    ids=["none", "overlapping", "of two classes", "apart", "equal scores by position", "not through a removed box"],
)
def test_suppression(xyxy, scores, classes, expected):
    assert kept(xyxy, scores, classes) == expected


def test_a_box_at_the_threshold_stays():
    assert kept(boxes([0, 0, 2, 2], [0, 0, 1, 2]), [0.9, 0.8], threshold=0.5) == [0, 1]


ROWS = st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2, st.integers(0, 2)), max_size=25)


@settings(max_examples=80, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_what_stays_is_apart_covers_what_goes_and_does_not_depend_on_order(rows, random):
    xyxy = boxes(*[(x, y, x + w, y + h) for x, y, w, h, _ in rows])
    classes = np.array([row[4] for row in rows], np.int64)
    scores = np.linspace(1, 0.1, len(rows), dtype=np.float32)
    stay = suppress(xyxy, scores, classes, 0.5).tolist()
    for index in range(len(rows)):
        rivals = [i for i in stay if i != index and classes[i] == classes[index]]
        overlapped = any(iou(xyxy[index], xyxy[[i]])[0] > 0.5 for i in rivals)
        assert overlapped == (index not in stay)
    shuffled = random.sample(range(len(rows)), len(rows))
    again = suppress(xyxy[shuffled], scores[shuffled], classes[shuffled], 0.5)
    assert [shuffled[i] for i in again] == stay
