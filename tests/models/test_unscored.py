"""Boxes of models that give no scores."""

import numpy as np

from miner_resources.models.adapter import Query
from miner_resources.models.unscored import select_unscored

QUERY = Query(("man", "woman", "dog"), ("person", "person", "dog"), 0.9)
SIZE = (100, 200)
NOTHING = np.zeros((0, 4), np.float32)


def corners(*rows):
    return np.array(rows, np.float32)


def test_boxes_come_in_the_order_of_texts_and_within_them_in_that_of_the_model():
    found = select_unscored(
        [corners((50, 50, 60, 60), (0, 0, 10, 10)), NOTHING, corners((20, 20, 30, 30))], SIZE, QUERY
    )
    assert found.boxes.xyxy[:, 0].tolist() == [50, 0, 20]
    assert found.boxes.xyxy.dtype == np.float32
    assert found.boxes.labels == ("person", "person", "dog")
    assert found.prompts == ("man", "man", "dog")
    assert found.boxes.scores is None


def test_nothing_found_has_no_scores_either():
    assert select_unscored([NOTHING] * 3, SIZE, QUERY).boxes.scores is None
    assert len(select_unscored([], SIZE, Query((), (), 0)).boxes) == 0
    assert select_unscored([], SIZE, Query((), (), 0)).boxes.scores is None


def test_the_first_of_two_boxes_of_a_class_on_one_object_stays():
    box = (10, 10, 30, 30)
    near = (11, 10, 31, 30)
    found = select_unscored([corners(near, near), corners(box), corners(box)], SIZE, QUERY)
    assert found.boxes.xyxy.tolist() == [[*near], [*box]]
    assert found.prompts == ("man", "dog")
    apart = select_unscored([corners(box), corners((20, 10, 40, 30)), NOTHING], SIZE, QUERY)
    assert apart.prompts == ("man", "woman")


def test_boxes_are_clipped_and_those_that_are_none_are_dropped():
    rows = corners((-5, 10, 300, 90), (30, 10, 20, 40), (10, 40, 20, 30), (7, 7, 7, 9), (200, 0, 250, 10))
    found = select_unscored([rows, NOTHING, NOTHING], SIZE, QUERY)
    assert found.boxes.xyxy.tolist() == [[0, 10, 200, 90]]
