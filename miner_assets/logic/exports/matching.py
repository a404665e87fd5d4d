"""Which frame of a file a manifest means: the one of that exact time, and in another encode the nearest one."""

from bisect import bisect_left
from fractions import Fraction
from typing import Final

from miner_resources.video_index import PacketIndex

MILLISECOND: Final = Fraction(1, 1000)
"""Containers such as Matroska round times to it."""


def frame_at(index: PacketIndex, pts: int, time_base: Fraction) -> int | None:
    """The index of the frame that is shown at a time, None if there is none.

    A frame at another time is taken if it is nearer than half the way to its neighbours: other encodes of a video
    count time in other units.

    Args:
        index: of the file.
        pts: the time in units of `time_base`.
        time_base: seconds.
    """
    wanted = pts * time_base / index.time_base
    place = bisect_left(index.pts, wanted)
    around = [candidate for candidate in (place - 1, place) if 0 <= candidate < len(index)]
    nearest = min(around, key=lambda candidate: abs(index.pts[candidate] - wanted), default=None)
    if nearest is None:
        return None
    off = abs(index.pts[nearest] - wanted) * index.time_base
    return nearest if off <= max(MILLISECOND, _gap(index, nearest) / 2) else None


def _gap(index: PacketIndex, place: int) -> Fraction:
    """Seconds to the nearer neighbour."""
    neighbours = [other for other in (place - 1, place + 1) if 0 <= other < len(index)]
    return min(
        (abs(index.pts[other] - index.pts[place]) * index.time_base for other in neighbours), default=Fraction(0)
    )
