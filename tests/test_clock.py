"""The time of a project: it only grows, whatever the system's clock does."""

import itertools
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_resources.clock import STEP_NS, Clock

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "latest"


def test_it_is_the_time_of_the_system(mark: Path) -> None:
    before = datetime.now(UTC)
    now = Clock(mark).now()
    assert before.replace(microsecond=0) <= now <= datetime.now(UTC)


@given(steps=st.lists(st.integers(-3 * DAY_NS, DAY_NS), min_size=1, max_size=20))
def test_it_only_grows(steps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    mark = tmp_path_factory.mktemp("clock") / "latest"
    clock, system, said = Clock(mark), time.time_ns(), [0]
    with pytest.MonkeyPatch.context() as patched:
        for number, step in enumerate(steps):
            system += step
            patched.setattr(time, "time_ns", lambda now=system: now)
            said.append(clock.now_ns())
            clock.note(said[-1])
            if number % 3 == 2:
                clock = Clock(mark)  # the next process
    assert all(later - earlier >= STEP_NS for earlier, later in itertools.pairwise(said))


def test_it_is_the_time_of_the_system_again_once_that_has_caught_up(mark: Path, monkeypatch) -> None:
    clock, system = Clock(mark), time.time_ns()
    clock.note(system + DAY_NS)
    assert clock.now_ns() > system + DAY_NS
    monkeypatch.setattr(time, "time_ns", lambda: system + 2 * DAY_NS)
    assert clock.now_ns() == system + 2 * DAY_NS


def test_an_earlier_note_changes_nothing(mark: Path) -> None:
    clock, system = Clock(mark), time.time_ns()
    clock.note(system + DAY_NS)
    clock.note(system)
    assert Clock(mark).now_ns() > system + DAY_NS


@pytest.mark.parametrize("absurd", [10**19, 10**30, -(10**30)])
def test_a_time_that_cannot_be_is_not_followed(mark: Path, absurd: int) -> None:
    clock = Clock(mark)
    clock.note(absurd)
    assert clock.now_ns() < time.time_ns() + DAY_NS
