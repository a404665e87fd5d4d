import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.box_matching import Box, iou, match_boxes

sides = st.floats(1, 20)
boxes = st.builds(
    Box,
    st.sampled_from(["car", "bus"]),
    st.tuples(st.floats(0, 20), st.floats(0, 20), sides, sides),
    st.floats(0, 1),
    st.just("demo"),
)


def a_box(x=0.0, category="car", score=0.5):
    return Box(category, (x, 0.0, 10.0, 10.0), score, "demo")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([a_box()], [a_box(3)], [(0, 0)], id="moved a little"),
        pytest.param([a_box()], [a_box(6)], [], id="too far away"),
        pytest.param([a_box()], [a_box(category="bus")], [(0, 0)], id="another class"),
        pytest.param([a_box()], [a_box(category="bus"), a_box(2)], [(0, 1)], id="its own class comes first"),
        pytest.param([a_box(), a_box(1)], [a_box(1), a_box()], [(0, 1), (1, 0)], id="equal ones find each other"),
        pytest.param([a_box(), a_box(1)], [a_box(2)], [(1, 0)], id="each is used once"),
        pytest.param([], [a_box()], [], id="none"),
    ],
)
def test_pairs(before, after, expected):
    assert match_boxes(before, after) == expected


def test_overlap():
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0


@given(st.lists(boxes, max_size=6))
def test_boxes_match_themselves(found):
    pairs = match_boxes(found, found)
    assert len(pairs) == len(found)
    assert all(found[i] == found[j] for i, j in pairs)
