"""The first run of a scattered backfill takes along what its queued sisters are about."""

from collections.abc import Generator
from pathlib import Path

import dagster as dg
import pytest

from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.partitions import FIRST, LAST, ONE, partitions_of
from miner_assets.search import register_inputs
from miner_assets.workspace import Workspace
from miner_resources.records import Status
from tests.assets.pipelines import dagster_home, demo_config
from tests.video_factory import write_video

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FRAMES = dg.AssetKey("frames")


class Backfill:
    """Four downloaded videos, and runs of `frames` that belong to one backfill."""

    def __init__(self, workspace: Workspace, instance: dg.DagsterInstance) -> None:
        self.workspace, self.instance = workspace, instance
        self.job = build_definitions(workspace).resolve_implicit_global_asset_job_def()
        self.keys = register_inputs(workspace).video_ids
        instance.add_dynamic_partitions("videos", self.keys)
        self.execute("videos", {FIRST: self.keys[0], LAST: self.keys[-1]})

    def execute(self, asset: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        return self.job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset)],
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )

    def tags(self, key: str, backfill: str = "b") -> dict[str, str]:
        return {FIRST: key, LAST: key, "dagster/backfill": backfill}

    def waiting(
        self, key: str, backfill: str = "b", status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED
    ) -> None:
        self.instance.create_run_for_job(
            self.job, tags=self.tags(key, backfill), status=status, asset_selection=frozenset({FRAMES})
        )

    def extracted(self) -> set[str]:
        return {key for key in self.keys if self.workspace.storage.frames_table(key).exists()}


@pytest.fixture
def backfill(tmp_path: Path) -> Generator[Backfill]:
    (tmp_path / "videos").mkdir()
    for number in range(4):
        write_video(tmp_path / "videos" / f"{number}.mp4", frames=10 + number)
    workspace = Workspace.open(demo_config(tmp_path / "output", [tmp_path / "videos"]))
    with dagster_home(tmp_path / "output"), open_instance(workspace.storage) as instance:
        yield Backfill(workspace, instance)


def test_queued_sisters_are_taken_along_and_no_others(backfill: Backfill) -> None:
    first, second, third, fourth = backfill.keys
    backfill.waiting(third)
    backfill.waiting(fourth, backfill="another")
    assert backfill.execute("frames", backfill.tags(first)).success
    assert backfill.extracted() == {first, third}
    assert backfill.instance.get_materialized_partitions(FRAMES) == {first, third}
    statuses = {video.video_id: video.status for video in backfill.workspace.catalog.videos()}
    assert statuses[third] is Status.EXTRACTED
    assert statuses[second] is Status.DOWNLOADED


def test_one_sister_does_the_work_of_all(backfill: Backfill) -> None:
    first, _, third, _ = backfill.keys
    backfill.waiting(third, status=dg.DagsterRunStatus.STARTED)
    assert backfill.execute("frames", backfill.tags(first)).success
    assert backfill.extracted() == {first}


def test_a_sister_that_fails_fails_in_its_own_run(backfill: Backfill) -> None:
    first, _, third, _ = backfill.keys
    video = backfill.workspace.storage.video(third)
    assert video is not None
    video.unlink()
    video.write_bytes(b"no video")
    backfill.waiting(third)
    assert backfill.execute("frames", backfill.tags(first)).success
    assert backfill.extracted() == {first}
    own = backfill.execute("frames", backfill.tags(third))
    assert not own.success
    assert backfill.instance.get_materialized_partitions(FRAMES) == {first}
    assert [record.video_id for record in backfill.workspace.catalog.failures()] == [third]


def test_partitions_of_runs() -> None:
    keys = ["a", "b", "c", "d"]
    tags = [{ONE: "x"}, {FIRST: "b", LAST: "c"}, {FIRST: "gone", LAST: "c"}, {}]
    assert partitions_of([dg.DagsterRun(job_name="j", tags=each) for each in tags], keys) == ["x", "b", "c"]
