"""Which frames of a video to extract: pure decisions over its list of frames.

The stage `frames` reads the index (`video_index.PacketIndex` is a `Timeline`), asks here which frames to take, and
decodes exactly those. To add a strategy: a function from `Timeline` to frame indexes, and its name in `choose_frames`.
The strategy `scene` needs the pictures: `scenes`.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Protocol, TypeVar

from miner_resources.errors import InvalidData, NotConfigured

STRATEGIES: Final = ("interval", "time", "keyframe")

T = TypeVar("T")


class Timeline(Protocol):
    """The frames of a video in display order, one entry each in `pts` and `is_keyframe`."""

    @property
    def pts(self) -> Sequence[int]:
        """Presentation times in units of `time_base`, strictly increasing."""
        ...

    @property
    def is_keyframe(self) -> Sequence[bool]:
        """Whether the packet of a frame is flagged as keyframe."""
        ...

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `pts`."""
        ...


def choose_frames(
    timeline: Timeline,
    *,
    strategy: str = "interval",
    interval: int = 30,
    seconds: float | Fraction = 1.0,
    max_frames: int | None = None,
) -> list[int]:
    """Choose the frames to extract.

    Args:
        timeline: all frames of the video.
        strategy: `interval`: every `interval`-th frame from the first. `time`: for k = 0, 1, … the first frame at or
            after k·`seconds` behind the first frame. `keyframe`: frames whose packet is flagged as keyframe.
        interval: frames, at least 1.
        seconds: above 0; a float means the decimal number that it prints as.
        max_frames: if more are chosen, thin them evenly over the whole video to this many; None: keep all.

    Returns:
        Frame indexes, ascending, without repetition.

    Raises:
        NotConfigured: there is no such strategy.
        InvalidData: a number is out of range.
    """
    if interval < 1 or seconds <= 0 or (max_frames is not None and max_frames < 1):
        raise InvalidData(
            f"cannot sample with interval={interval}, seconds={seconds}, max_frames={max_frames}",
            remedy="interval and max_frames must be at least 1, seconds above 0",
        )
    if strategy == "interval":
        chosen = list(range(0, len(timeline.pts), interval))
    elif strategy == "time":
        chosen = frames_at_ticks(timeline, Fraction(str(seconds)))
    elif strategy == "keyframe":
        chosen = [index for index, is_keyframe in enumerate(timeline.is_keyframe) if is_keyframe]
    else:
        raise NotConfigured(
            f"sampling strategy {strategy!r} is not available",
            remedy=f"set extraction.strategy to one of: {', '.join(STRATEGIES)}",
        )
    return thin(chosen, max_frames)


def frames_at_ticks(timeline: Timeline, seconds: Fraction) -> list[int]:
    """For k = 0, 1, … the first frame at or after first time + k·`seconds`; each frame once."""
    if not timeline.pts:
        return []
    first = timeline.pts[0]
    ticks_per_unit = timeline.time_base / seconds
    # The k-th tick lies between two frames exactly if the number of ticks passed differs between them. A tick that
    # falls on a frame belongs to it.
    passed = [(pts - first) * ticks_per_unit.numerator // ticks_per_unit.denominator for pts in timeline.pts]
    return [index for index, ticks in enumerate(passed) if index == 0 or ticks > passed[index - 1]]


def thin(chosen: Sequence[T], max_frames: int | None) -> list[T]:
    """Keep at most `max_frames` entries, evenly spread: the first and the last among them, or the middle one alone."""
    count = len(chosen)
    if max_frames is None or count <= max_frames:
        return list(chosen)
    if max_frames == 1:
        return [chosen[(count - 1) // 2]]
    gaps = max_frames - 1
    return [chosen[(2 * step * (count - 1) + gaps) // (2 * gaps)] for step in range(max_frames)]
