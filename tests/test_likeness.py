"""Thumbnails tell encodes of one picture from other pictures."""

import pytest

from miner_resources.images import encode_image, limit_side
from miner_resources.likeness import SAME_PICTURE, SIDE, difference, thumbnail
from miner_resources.vocabulary import ImageFormat
from tests.shared_data import picture


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("format", ["jpg", "webp", "png"])
def test_another_encode_of_a_picture_is_the_same(format: ImageFormat, quality: int) -> None:
    rgb = picture(5, 640, 360)
    original = thumbnail(encode_image(rgb, "png"))
    assert len(original) == SIDE * SIDE
    assert difference(original, thumbnail(encode_image(rgb, format, quality))) <= SAME_PICTURE
    assert difference(original, thumbnail(encode_image(limit_side(rgb, 320), format, quality))) <= SAME_PICTURE


def test_other_pictures_differ() -> None:
    small = [thumbnail(encode_image(rgb, "jpg")) for rgb in (picture(1), picture(2)[::-1], picture(3)[:, ::-1])]
    assert min(difference(one, other) for one in small for other in small if one is not other) > SAME_PICTURE
    assert difference(b"\0" * 256, b"\xff" * 256) == 255


def test_no_picture_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="cannot identify"):
        thumbnail(b"no picture")
