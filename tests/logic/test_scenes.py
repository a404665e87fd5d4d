"""Where shots begin: planted cuts, what is no cut, and the plain definition for everything else."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.scenes import WINDOW, ShotRule, change_between, first_of_shots

FPS = 25
ANY_LENGTH = ShotRule(min_seconds=Fraction(0))


def grey(level: float) -> np.ndarray:
    return np.full((3, 4, 6), level, np.uint8)


def shots(pictures: Sequence[np.ndarray], rule: ShotRule = ANY_LENGTH) -> list[int]:
    """Numbers of the frames that begin a shot, at 25 frames a second."""
    numbers = range(len(pictures))
    return list(first_of_shots(numbers, lambda at: pictures[at], lambda at: Fraction(at, FPS), rule))


def still_shots(*lengths: int) -> list[np.ndarray]:
    """Shots without movement, dark and bright in turn."""
    return [grey(40 + 100 * (shot % 2)) for shot, length in enumerate(lengths) for _ in range(length)]


def test_change_adds_up_the_planes() -> None:
    before = np.zeros((3, 2, 2), np.uint8)
    after = before.copy()
    after[0, 0, 0], after[1], after[2] = 8, 5, 255
    assert change_between(before, after) == change_between(after, before) == 2 + 5 + 255


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        pytest.param([], [], id="no frames"),
        pytest.param([grey(9)], [0], id="one frame"),
        pytest.param([grey(9), grey(200)], [0, 1], id="two frames, a cut"),
        pytest.param([grey(9), grey(10)], [0], id="two frames, no cut"),
        pytest.param(still_shots(30), [0], id="one shot"),
        pytest.param(still_shots(30, 20, 10), [0, 30, 50], id="three shots"),
        pytest.param(still_shots(1, 30), [0, 1], id="the first frame alone"),
        pytest.param(still_shots(30, 1), [0, 30], id="the last frame alone"),
        pytest.param([grey(4 * number) for number in range(60)], [0], id="fading, always 12 levels"),
        pytest.param([grey(8 * (number % 2)) for number in range(60)], [0], id="flicker, always 24 levels"),
        pytest.param([grey(9)] * 20 + [grey(12)] * 20, [0], id="a step of 9 levels is too small"),
        pytest.param([grey(9)] * 20 + [grey(13)] * 20, [0, 20], id="a step of 12 levels is not"),
    ],
)
def test_cuts(pictures: list[np.ndarray], expected: list[int]) -> None:
    assert shots(pictures) == expected


def test_movement_raises_what_counts_as_a_cut() -> None:
    moving = [grey(5 * number) for number in range(20)]  # 15 levels a frame
    jump = [grey(level) for level in (95 + 14, 95 + 19, 95 + 24)]  # 42 levels, 2.8 times as much
    assert shots([*moving, *jump]) == [0]
    assert shots([*moving, *jump], ShotRule(threshold=2.5, min_seconds=Fraction(0))) == [0, 20]


def test_shots_have_a_least_length() -> None:
    pictures = still_shots(30, 5, 30, 15, 30)
    assert shots(pictures) == [0, 30, 35, 65, 80]
    # 0.6 s are 15 frames: the cut 5 frames after another one is passed over, one exactly 15 after is not.
    assert shots(pictures, ShotRule()) == [0, 30, 65, 80]


def test_few_frames_are_held_back() -> None:
    taken: list[int] = []
    pictures = still_shots(10, 10)

    def passing() -> Iterator[int]:
        for number in range(len(pictures)):
            taken.append(number)
            yield number

    found = first_of_shots(passing(), lambda at: pictures[at], lambda at: Fraction(at, FPS), ANY_LENGTH)
    for start in found:
        assert taken[-1] <= start + WINDOW


def plain(levels: Sequence[int], times: Sequence[Fraction], rule: ShotRule) -> list[int]:
    """The definition, with all frames at hand."""
    changes = [0][: len(levels)] + [3 * abs(after - before) for before, after in pairwise(levels)]
    starts: list[int] = []
    for at, change in enumerate(changes):
        near = [other for other in range(at - WINDOW, at + WINDOW + 1) if other != at and 0 < other < len(changes)]
        usual = sum(changes[other] for other in near) / len(near) if near else 0
        is_cut = change >= rule.min_change and change >= rule.threshold * usual
        if not starts or (is_cut and times[at] - times[starts[-1]] >= rule.min_seconds):
            starts.append(at)
    return starts


@given(
    st.lists(st.tuples(st.sampled_from([0, 3, 6, 40, 45, 200]), st.integers(1, 20)), max_size=50),
    st.builds(
        ShotRule,
        st.sampled_from([1.0, 2.5, 3.0]),
        st.sampled_from([0.0, 10.0, 60.0]),
        st.fractions(0, 2, max_denominator=25),
    ),
)
def test_shots_by_their_definition(frames: list[tuple[int, int]], rule: ShotRule) -> None:
    levels = [level for level, _ in frames]
    times = [Fraction(sum(step for _, step in frames[:at]), FPS) for at in range(len(frames))]
    found = list(first_of_shots(range(len(frames)), lambda at: grey(levels[at]), lambda at: times[at], rule))
    assert found == plain(levels, times, rule)
