"""Runs that are killed at random points end in the same artifacts; `kill_runs` is the command for more of them."""

from pathlib import Path

import pytest

from tests.faults.kill_runs import kill_runs


@pytest.mark.slow
def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    *_, report = kill_runs(tmp_path, kills=6, seed=3, videos=2)
    assert report.kills.total() == 6
    assert report.finished
    assert not report.differences
