"""Where shots begin: a frame that differs from the one before far more than the frames around it do.

Judging a change by its neighbours is what PySceneDetect calls adaptive detection: fast camera movement changes many
frames in a row, a cut only one (https://www.scenedetect.com/docs/latest/api/detectors.html, `AdaptiveDetector`). The
change itself is its content difference, on luma and chroma instead of hue, saturation and value: video has these at
hand, and hue jumps about in grey pictures. Pure: whoever decodes brings small pictures.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

WINDOW: Final = 2
"""Changes before and after a frame that its own is compared with, as in PySceneDetect; so many frames are held back."""

Small = npt.NDArray[np.uint8]
"""(3, H, W) luma and chroma of a frame at a few dozen pixels, all of one video alike."""

F = TypeVar("F")


@dataclass(frozen=True)
class ShotRule:
    """What counts as a cut.

    Attributes:
        threshold: how many times larger than the changes around it, on average.
        min_change: least change in levels: the mean absolute differences of luma and both chroma planes, added up.
        min_seconds: a cut that soon after the start of a shot is none.
    """

    threshold: float = 3.0
    min_change: float = 10.0
    min_seconds: Fraction = Fraction(3, 5)

    def is_cut(self, change: float, around: Iterable[float]) -> bool:
        """Whether a frame with that change begins a shot, given the changes of its neighbours."""
        others = list(around)
        usual = sum(others) / len(others) if others else 0.0
        return change >= self.min_change and change >= self.threshold * usual


@dataclass(frozen=True)
class _Seen(Generic[F]):
    frame: F
    time: Fraction
    change: float


def change_between(before: Small, after: Small) -> float:
    """Mean absolute differences of the three planes in levels, added up: 0 to 765."""
    differences = np.abs(after.astype(np.int16) - before).reshape(3, -1)
    return float(differences.mean(axis=1, dtype=np.float64).sum())


def first_of_shots(
    frames: Iterable[F], small: Callable[[F], Small], time: Callable[[F], Fraction], rule: ShotRule
) -> Iterator[F]:
    """The first frame of each shot, in order; the first frame of all is one.

    Takes frames as they come and holds on to `WINDOW` + 1 of them at most.

    Args:
        frames: all frames of a video in display order.
        small: the small picture of a frame; asked once for each.
        time: when a frame is shown, in seconds.
        rule: what counts as a cut.
    """
    began: Fraction | None = None
    for seen, around in _with_neighbours(_changes(frames, small, time)):
        if began is None or (seen.time - began >= rule.min_seconds and rule.is_cut(seen.change, around)):
            began = seen.time
            yield seen.frame


def _changes(frames: Iterable[F], small: Callable[[F], Small], time: Callable[[F], Fraction]) -> Iterator[_Seen[F]]:
    before: Small | None = None
    for frame in frames:
        picture = small(frame)
        yield _Seen(frame, time(frame), 0.0 if before is None else change_between(before, picture))
        before = picture


def _with_neighbours(seen: Iterable[_Seen[F]]) -> Iterator[tuple[_Seen[F], list[float]]]:
    """Each frame with the changes of its neighbours; the first frame of all has none, and is no neighbour."""
    earlier: deque[float] = deque(maxlen=WINDOW)
    waiting: deque[_Seen[F]] = deque()
    is_first = True

    def leave() -> tuple[_Seen[F], list[float]]:
        nonlocal is_first
        current = waiting.popleft()
        around = [*earlier, *(later.change for later in waiting)]
        if not is_first:
            earlier.append(current.change)
        is_first = False
        return current, around

    for one in seen:
        waiting.append(one)
        if len(waiting) > WINDOW:
            yield leave()
    while waiting:
        yield leave()
