"""Sensors turn registry rows into partitions and runs, and can tick again safely."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from miner_assets import automation
from miner_assets.graph import build_definitions
from miner_assets.workspace import Workspace
from miner_resources import events
from miner_resources.config import MinerConfig
from miner_resources.records import VIDEO_STAGES, Stage, StageRecord, Status, Video
from miner_resources.registry.ledger import DONE, FAILED, WAITING

NOW = datetime.now(UTC)


@pytest.fixture
def instance() -> Generator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(MinerConfig(output_dir=tmp_path))


def tick(
    sensor: dg.SensorDefinition, workspace: Workspace, instance: dg.DagsterInstance
) -> dg.SensorResult | dg.SkipReason:
    """One tick, with its partitions added and its runs started, as the daemon does it."""
    context = dg.build_sensor_context(instance=instance, resources={"workspace": workspace})
    result = sensor(context)
    if isinstance(result, dg.SensorResult):
        for request in result.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        job = build_definitions(workspace).resolve_job_def(sensor.job_name)
        for request in result.run_requests or []:
            tags = {**request.tags, **({"dagster/partition": request.partition_key} if request.partition_key else {})}
            run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
            assert run.job_name == sensor.job_name
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def ranges(result: dg.SensorResult | dg.SkipReason) -> list[tuple[str, str]]:
    if isinstance(result, dg.SkipReason):
        return []
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(request.tags[start], request.tags[end]) for request in result.run_requests or []]


def finish_all(instance: dg.DagsterInstance) -> None:
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        instance.report_run_failed(run)


def add(workspace: Workspace, *names: str) -> None:
    workspace.catalog.add_videos(
        Video(video_id=name, url=f"https://youtu.be/{name}", added_at=NOW + timedelta(microseconds=place))
        for place, name in enumerate(names)
    )


def say(workspace: Workspace, name: str, stage: Stage, status: str, **metrics: str) -> None:
    events.publish(
        workspace.storage,
        StageRecord(
            video_id=name,
            stage=stage,
            status=status,
            started_at=NOW,
            finished_at=datetime.now(UTC),
            metrics={**metrics},
        ),
    )


def test_pending_videos_become_partitions_and_batches_once(workspace, instance) -> None:
    names = [f"v{number:03d}" for number in range(55)]
    add(workspace, *names)
    assert ranges(tick(automation.new_videos, workspace, instance)) == [("v000", "v049"), ("v050", "v054")]
    assert instance.get_dynamic_partitions("videos") == names
    assert ranges(tick(automation.new_videos, workspace, instance)) == []


def test_what_a_run_left_behind_is_asked_for_again_without_what_failed(workspace, instance) -> None:
    add(workspace, "a", "b", "c")
    tick(automation.new_videos, workspace, instance)
    say(workspace, "a", Stage.DOWNLOAD, DONE)
    say(workspace, "b", Stage.DOWNLOAD, FAILED)
    say(workspace, "c", Stage.DOWNLOAD, DONE)
    finish_all(instance)
    assert ranges(tick(automation.new_videos, workspace, instance)) == [("a", "a"), ("c", "c")]


def test_work_that_came_to_nothing_keeps_its_run_key(workspace, instance) -> None:
    add(workspace, "a", "b")
    keys: list[str | None] = []
    for _ in range(2):
        result = tick(automation.new_videos, workspace, instance)
        assert isinstance(result, dg.SensorResult)
        keys += [request.run_key for request in result.run_requests or []]
        finish_all(instance)
    # Dagster drops a request whose run key it knows, so a broken setup makes one run an hour and not one a tick.
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_nothing_is_asked_of_a_site_that_cools_down_and_the_tick_says_so(workspace, instance) -> None:
    add(workspace, "a", "b")
    now = NOW.timestamp()
    workspace.catalog.change_pool("youtube", lambda pool: (pool.cool("blocked: bot check", now, 3600), None))
    result = tick(automation.new_videos, workspace, instance)
    assert isinstance(result, dg.SkipReason)
    assert "youtube is cooling until" in (result.skip_message or "")
    assert "2 queued" in (result.skip_message or "")
    workspace.catalog.change_pool("youtube", lambda pool: (pool.cool("", now, -3600), None))
    say(workspace, "a", Stage.DOWNLOAD, DONE)
    assert ranges(tick(automation.new_videos, workspace, instance)) == [("a", "a")]


def test_a_video_that_waits_by_itself_is_left_alone_until_its_time(workspace, instance) -> None:
    add(workspace, "a", "b")
    later = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    earlier = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    say(workspace, "a", Stage.DOWNLOAD, WAITING, retry_at=later)
    say(workspace, "b", Stage.DOWNLOAD, WAITING, retry_at=earlier)
    assert ranges(tick(automation.new_videos, workspace, instance)) == [("b", "b")]


def test_keywords_of_registry_and_configuration_are_searched_once(tmp_path: Path, instance) -> None:
    config = MinerConfig.model_validate({"output_dir": tmp_path, "search": {"keywords": ["red  car"]}})
    workspace = Workspace.open(config)
    workspace.catalog.add_keyword("blue car")
    first, second = (tick(automation.new_keywords, workspace, instance) for _ in range(2))
    assert isinstance(first, dg.SensorResult)
    assert [request.partition_key for request in first.run_requests or []] == ["blue car", "red car"]
    assert isinstance(second, dg.SkipReason)
    assert second.skip_message == "2 searches under way"
    finish_all(instance)
    workspace.catalog.add_search_results("blue car", [], settings=None)
    again = tick(automation.new_keywords, workspace, instance)
    assert isinstance(again, dg.SensorResult)
    assert "red car" in [request.partition_key for request in again.run_requests or []]


def test_the_dataset_is_built_when_videos_came_through_and_nobody_works_on_others(workspace, instance) -> None:
    add(workspace, "a", "b")
    assert isinstance(tick(automation.finished_videos, workspace, instance), dg.SkipReason)
    tick(automation.new_videos, workspace, instance)
    for name in ("a", "b"):
        for stage in VIDEO_STAGES:
            say(workspace, name, stage, DONE)
    waits = tick(automation.finished_videos, workspace, instance)
    assert isinstance(waits, dg.SkipReason)
    finish_all(instance)
    built = tick(automation.finished_videos, workspace, instance)
    assert isinstance(built, dg.SensorResult)
    assert len(built.run_requests or []) == 1
    finish_all(instance)
    workspace.catalog.set_status(["a", "b"], Status.COMPLETE)
    assert isinstance(tick(automation.finished_videos, workspace, instance), dg.SkipReason)


def test_watched_keywords_are_searched_again_and_removed_ones_are_not(workspace, instance) -> None:
    for keyword in ("red car", "blue car"):
        workspace.catalog.add_keyword(keyword)
    instance.add_dynamic_partitions("keywords", ["red car", "blue car"])
    workspace.catalog.remove_keyword("blue car")
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, resources={"workspace": workspace}
    )
    requests = automation.refresh_searches(context)
    assert isinstance(requests, list)
    assert [request.partition_key for request in requests] == ["red car"]
