"""A project of 10,000 videos: what `benchmarks/bench_scale.py` measures, checked once."""

import os
from pathlib import Path

import pytest

from benchmarks.bench_scale import GOALS, measure
from tests.assets.pipelines import dagster_home

VIDEOS = int(os.environ.get("VIDEO_MINER_TEST_SCALE", "10000"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_videos_stay_a_pleasure(tmp_path: Path) -> None:
    with dagster_home(tmp_path):
        found = measure(tmp_path / "output", VIDEOS)
    assert {name: found[name] for name, goal in GOALS.items() if found[name] >= goal} == {}
    assert found["unique_frames: one more video"] < found["unique_frames: all videos"]
