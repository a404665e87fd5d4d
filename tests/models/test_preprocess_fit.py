"""Resizing within bounds: the rule of transformers, but for strips that it would resize to nothing."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from transformers import GroundingDinoImageProcessorPil
from transformers.image_transforms import get_size_with_aspect_ratio

from miner_resources.models.preprocess_fit import fit

SIZES = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
RELEASED = fit(SIZES, 900)
SMALL = fit({**SIZES, "size": {"shortest_edge": 64, "longest_edge": 128}}, 12)
sides = st.integers(1, 5000)
# The rule leaves some pictures as they are whose longer side is about as long as it may be,
LEFT_ALONE = [(50, 1340), (50, 1320), (300, 1331), (600, 1334), (1334, 600)]
# and truncation costs others a pixel that the next resizing would give back.
CUT = [(11, 21), (1050, 550)]


def examples(test):
    for height, width in LEFT_ALONE + CUT:
        test = example(height, width)(test)
    return test


@examples
@given(sides, sides)
@example(1080, 1920)
@example(1920, 1080)
@example(480, 854)
@example(1, 1)
def test_the_rule_is_that_of_transformers(height, width):
    ours = RELEASED.sides(height, width)
    if min(ours) > RELEASED.thinnest:
        assert ours == tuple(get_size_with_aspect_ratio((height, width), 800, 1333))


def check(preprocess, height, width):
    resized = preprocess.sides(height, width)
    assert preprocess.accepts(*resized)
    assert min(resized) >= preprocess.thinnest
    if resized != (height, width):
        assert max(resized) <= preprocess.longest
        assert resized[0] * resized[1] <= preprocess.pixels


@examples
@given(sides, sides)
@example(1, 5000)
@example(5000, 1)
@example(2, 4999)
def test_what_is_resized_is_accepted_and_within_bounds(height, width):
    for preprocess in (RELEASED, SMALL):
        check(preprocess, height, width)


def test_every_small_picture_is_accepted_once_resized():
    for height in range(1, 161):
        for width in range(1, 161):
            check(SMALL, height, width)


@pytest.mark.parametrize("shape", [*LEFT_ALONE, *CUT, (1, 1), (1, 5000), (5000, 1), (720, 1280)], ids=str)
def test_resized_pictures_have_that_size_and_are_accepted(shape):
    resized = RELEASED.resize(np.zeros((*shape, 3), np.uint8)).shape[:2]
    assert resized == RELEASED.sides(*shape)
    assert RELEASED.accepts(*resized)


@pytest.mark.parametrize("size", [(800, 1400), (799, 1000), (900, 900), (1333, 900), (1, 1333), (64, 64)])
def test_other_sizes_are_not_accepted(size):
    assert not RELEASED.accepts(*size)


@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (64, 64), (30, 200), (480, 854), (7, 9), (64, 129)])
def test_pixels_are_those_of_the_stock_processor(shape):
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    stock = GroundingDinoImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 128}, do_normalize=False, do_rescale=False, do_pad=False
    )
    expected = np.asarray(stock(Image.fromarray(rgb), return_tensors="np").pixel_values[0]).transpose(1, 2, 0)
    ours = SMALL.resize(rgb)
    assert ours.shape == expected.shape
    assert np.abs(ours.astype(np.int16) - expected.astype(np.int16)).max() <= 1


@pytest.mark.parametrize(
    ("size", "more", "expected"),
    [
        ({"shortest_edge": 800, "longest_edge": 1333}, {}, (800, 1333)),
        (800, {"max_size": 1000}, (800, 1000)),
        (640, {}, (640, 1333)),
        ({"shortest_edge": 1600, "longest_edge": 1333}, {}, (1333, 1333)),
    ],
)
def test_sizes_are_read_in_every_form(size, more, expected):
    found = fit({**SIZES, "size": size, **more}, 900)
    assert (found.shortest, found.longest) == expected
