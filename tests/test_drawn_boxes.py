"""Boxes for people: where they are, that they can be read, and that a class has its colour."""

import numpy as np
import numpy.typing as npt
import pytest

from miner_resources.drawn_boxes import draw_boxes
from miner_resources.palette import Color, class_colors
from miner_resources.records import Rgb

GREY = np.full((60, 80, 3), 128, np.uint8)


def has_color(rgb: Rgb, color: Color) -> npt.NDArray[np.bool_]:
    return (rgb == np.array(color)).all(axis=2)


def test_boxes_are_drawn_where_they_are() -> None:
    drawn = draw_boxes(GREY, np.array([[10, 30, 60, 50]], np.float32), ["car"])
    color = class_colors(["car"])["car"]
    assert has_color(drawn, color)[30, 12:58].all()
    assert has_color(drawn, color)[32:48, 10].all()
    assert (drawn[35:45, 20:50] == 128).all()
    assert (GREY == 128).all()


@pytest.mark.parametrize(
    "box",
    [[0, 0, 30, 20], [300, 200, 320, 240], [-50, -50, 400, 400], [310, 0, 320, 5], [0, 230, 10, 240]],
    ids=["top left", "bottom right", "larger than the picture", "top right", "bottom left"],
)
def test_tags_stay_inside_the_picture(box: list[float]) -> None:
    plain = np.full((240, 320, 3), 128, np.uint8)
    color: Color = (230, 159, 0)
    drawn = draw_boxes(plain, np.array([box], np.float32), ["person"], [0.5], {"person": color})
    outline_only = 2 * (320 + 240) * 2
    tag = has_color(drawn, color).sum()
    assert drawn.shape == plain.shape
    assert tag > 250 or tag > outline_only
    ink = ~has_color(drawn, color) & ~has_color(drawn, (128, 128, 128))
    assert ink.sum() > 100


def test_boxes_outside_the_picture_are_left_out() -> None:
    outside = np.array([[-20, -20, -5, -5], [100, 10, 120, 20]], np.float32)
    assert np.array_equal(draw_boxes(GREY, outside, ["a", "b"]), GREY)


def test_no_boxes_change_nothing() -> None:
    assert np.array_equal(draw_boxes(GREY, np.zeros((0, 4), np.float32), []), GREY)


def test_large_pictures_get_thicker_lines() -> None:
    box = np.array([[0.1, 0.4, 0.9, 0.9]], np.float32)
    widths = []
    for side in (320, 1920):
        drawn = draw_boxes(np.zeros((side, side, 3), np.uint8), box * side, ["x"])
        widths.append(has_color(drawn, class_colors(["x"])["x"])[side * 7 // 10].sum() // 2)
    assert widths[1] > 2 * widths[0] >= 4


def test_a_box_shows_on_its_own_colour() -> None:
    color = class_colors(["car"])["car"]
    background = np.full((100, 100, 3), color, np.uint8)
    drawn = draw_boxes(background, np.array([[20, 40, 80, 80]], np.float32), ["car"])
    assert (~has_color(drawn, color))[60, 15:25].any()


def test_tags_of_boxes_at_one_place_do_not_cover_each_other() -> None:
    plain = np.full((400, 600, 3), 128, np.uint8)
    boxes = np.array([[100, 150, 300, 300], [102, 151, 298, 299]], np.float32)
    colors: dict[str, Color] = {"car": (230, 159, 0), "van": (86, 180, 233)}
    apart = [draw_boxes(plain, boxes[[n]], [name], None, colors) for n, name in enumerate(colors)]
    both = draw_boxes(plain, boxes, list(colors), None, colors)
    inside = np.s_[100:350, 105:125]  # right of the lines at the left
    for color, alone in zip(colors.values(), apart, strict=True):
        assert has_color(both[inside], color).sum() >= 0.6 * has_color(alone[inside], color).sum() > 0
