"""Which frames are chosen: tables for the plain cases, properties for all others."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.sampling import STRATEGIES, choose_frames, frames_at_ticks, thin
from miner_resources.errors import InvalidData, NotConfigured


@dataclass(frozen=True)
class Frames:
    """A timeline of plain values."""

    pts: tuple[int, ...]
    is_keyframe: tuple[bool, ...] = ()
    time_base: Fraction = Fraction(1, 30)


REGULAR = Frames(tuple(range(95)), tuple(place % 25 == 0 for place in range(95)))
NTSC = Frames(tuple(range(0, 300 * 1001, 1001)), time_base=Fraction(1, 30_000))
LATE = Frames((900, 930, 961, 1020, 1110), time_base=Fraction(1, 30))
EMPTY = Frames(())


@pytest.mark.parametrize(
    ("frames", "arguments", "expected"),
    [
        pytest.param(REGULAR, {}, [0, 30, 60, 90], id="defaults: every 30th"),
        pytest.param(REGULAR, {"interval": 40}, [0, 40, 80], id="interval"),
        pytest.param(REGULAR, {"interval": 1000}, [0], id="interval beyond the end"),
        pytest.param(REGULAR, {"strategy": "keyframe"}, [0, 25, 50, 75], id="keyframes"),
        pytest.param(REGULAR, {"strategy": "time"}, [0, 30, 60, 90], id="one a second"),
        pytest.param(
            REGULAR, {"strategy": "time", "seconds": 0.1}, list(range(0, 95, 3)), id="0.1 s is no binary fraction"
        ),
        pytest.param(REGULAR, {"strategy": "time", "seconds": Fraction(1, 30)}, list(range(95)), id="a frame apart"),
        pytest.param(REGULAR, {"strategy": "time", "seconds": 0.001}, list(range(95)), id="each frame once"),
        pytest.param(NTSC, {"strategy": "time", "seconds": 2.0}, [0, 60, 120, 180, 240], id="29.97 frames a second"),
        pytest.param(LATE, {"strategy": "time"}, [0, 1, 2, 3, 4], id="late start: first at or after the tick"),
        pytest.param(LATE, {"strategy": "time", "seconds": 3}, [0, 3, 4], id="a tick hit exactly"),
        pytest.param(EMPTY, {"strategy": "time"}, [], id="time without frames"),
        pytest.param(EMPTY, {"strategy": "keyframe"}, [], id="keyframes without frames"),
        pytest.param(EMPTY, {}, [], id="interval without frames"),
        pytest.param(REGULAR, {"interval": 10, "max_frames": 4}, [0, 30, 60, 90], id="thinned"),
        pytest.param(REGULAR, {"interval": 10, "max_frames": 1}, [40], id="thinned to the middle"),
        pytest.param(REGULAR, {"interval": 10, "max_frames": 2}, [0, 90], id="thinned to both ends"),
        pytest.param(REGULAR, {"interval": 30, "max_frames": 99}, [0, 30, 60, 90], id="few enough"),
    ],
)
def test_choose_frames(frames: Frames, arguments: dict[str, object], expected: list[int]) -> None:
    assert choose_frames(frames, **arguments) == expected


def test_unknown_strategies_name_the_known_ones() -> None:
    with pytest.raises(NotConfigured, match="'magic' is not available") as caught:
        choose_frames(REGULAR, strategy="magic")
    assert all(strategy in caught.value.remedy for strategy in STRATEGIES)


@pytest.mark.parametrize(
    "arguments",
    [{"interval": 0}, {"seconds": 0}, {"seconds": -1.0}, {"max_frames": 0}],
    ids=str,
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidData, match="cannot sample with"):
        choose_frames(REGULAR, **arguments)


timelines = st.builds(
    lambda start, steps, unit: Frames(tuple(start + sum(steps[:place]) for place in range(len(steps))), (), unit),
    st.integers(-(10**6), 10**6),
    st.lists(st.integers(1, 5000), max_size=60),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 30)]),
)
periods = st.fractions(min_value=Fraction(1, 100), max_value=20, max_denominator=1000)


@given(timelines, periods)
def test_ticks_by_their_definition(frames: Frames, seconds: Fraction) -> None:
    times = [(pts - frames.pts[0]) * frames.time_base for pts in frames.pts]
    expected: list[int] = []
    for place, time in enumerate(times):
        first_tick_after_previous = 0 if place == 0 else times[place - 1] // seconds + 1
        if first_tick_after_previous * seconds <= time:
            expected.append(place)
    assert frames_at_ticks(frames, seconds) == expected


@given(timelines, periods, st.integers(-(10**9), 10**9))
def test_the_start_of_the_clock_does_not_matter(frames: Frames, seconds: Fraction, shift: int) -> None:
    moved = Frames(tuple(pts + shift for pts in frames.pts), (), frames.time_base)
    assert frames_at_ticks(moved, seconds) == frames_at_ticks(frames, seconds)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=200).map(sorted), st.integers(1, 250))
def test_thinning_is_even(chosen: list[int], max_frames: int) -> None:
    kept = thin(chosen, max_frames)
    assert len(kept) == min(len(chosen), max_frames)
    assert kept == sorted(set(kept))
    assert set(kept) <= set(chosen)
    if len(kept) >= 2:
        assert (kept[0], kept[-1]) == (chosen[0], chosen[-1])
        places = [chosen.index(value) for value in kept]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        assert max(gaps) - min(gaps) <= 1


@given(st.lists(st.integers(), max_size=20))
def test_without_a_limit_nothing_is_thinned(chosen: list[int]) -> None:
    assert thin(chosen, None) == chosen
