"""A clock that is set back between two runs: what was said last counts, and artifacts are the same."""

import shutil
import time
from pathlib import Path

import pytest

from miner_assets.workspace import Workspace
from miner_resources.records import Stage, Status
from tests.assets.conftest import demo_videos  # noqa: F401 (a fixture)
from tests.assets.pipelines import demo_config, digests, run

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The clock is a day ahead until `undo()` sets it right."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + DAY_NS)
    return monkeypatch


def test_what_happens_after_the_clock_was_set_back_counts(
    demo_videos: Path,  # noqa: F811
    tmp_path: Path,
    ahead: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in sorted(demo_videos.glob("*.mp4"))[:2]:
        shutil.copy(path, folder)
    config = demo_config(tmp_path / "output", [folder])
    catalog = Workspace.open(config).catalog

    assert not run(demo_config(tmp_path / "output", [folder], "extraction.timeout_s=1e-9")).ok
    assert [video.status for video in catalog.videos()] == [Status.FAILED] * 2
    failed = catalog.failures()

    ahead.undo()
    assert run(config).ok
    assert [video.status for video in catalog.videos()] == [Status.COMPLETE] * 2
    assert not catalog.failures()
    done = catalog.stage_records(stage=Stage.EXTRACT)
    assert min(record.finished_at for record in done) > max(record.finished_at for record in failed)

    catalog.rebuild()
    assert [video.status for video in catalog.videos()] == [Status.COMPLETE] * 2

    undisturbed = demo_config(tmp_path / "undisturbed", [folder])
    assert run(undisturbed).ok
    assert digests(undisturbed.output_dir).items() <= digests(config.output_dir).items()
