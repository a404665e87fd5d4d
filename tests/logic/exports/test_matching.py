"""Which frame a manifest means, in the same file and in another encode of it."""

from fractions import Fraction

import pytest

from miner_assets.logic.exports.matching import frame_at
from miner_resources.video_index import PacketIndex


def index(pts: tuple[int, ...], base: Fraction) -> PacketIndex:
    keys = tuple(place == 0 for place in range(len(pts)))
    return PacketIndex(pts, keys, base, pts, keys)


TENTHS = index(tuple(range(0, 1000, 100)), Fraction(1, 1000))
VARIABLE = index((0, 100, 1100, 1200), Fraction(1, 1000))


@pytest.mark.parametrize(
    ("video", "pts", "base", "expected"),
    [
        pytest.param(TENTHS, 300, Fraction(1, 1000), 3, id="the same clock"),
        pytest.param(TENTHS, 4608, Fraction(1, 15360), 3, id="another clock"),
        pytest.param(TENTHS, 349, Fraction(1, 1000), 3, id="a little off"),
        pytest.param(TENTHS, 1000, Fraction(1, 1000), None, id="after the end"),
        pytest.param(TENTHS, -60, Fraction(1, 1000), None, id="before the start"),
        pytest.param(VARIABLE, 600, Fraction(1, 1000), None, id="in a hole"),
        pytest.param(VARIABLE, 1110, Fraction(1, 1000), 2, id="after a hole"),
        pytest.param(index((0,), Fraction(1, 1000)), 1, Fraction(1, 1000), 0, id="rounded, one frame"),
        pytest.param(index((0,), Fraction(1, 1000)), 2, Fraction(1, 1000), None, id="off, one frame"),
        pytest.param(index((), Fraction(1, 1000)), 0, Fraction(1, 1000), None, id="no frames"),
    ],
)
def test_frame_at(video: PacketIndex, pts: int, base: Fraction, expected: int | None) -> None:
    assert frame_at(video, pts, base) == expected
