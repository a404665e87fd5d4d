"""Sensors turn registry rows into partitions and runs, and can tick again safely."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from miner_assets import automation
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.records import Video


def tick(sensor: dg.SensorDefinition, workspace: Workspace, instance: dg.DagsterInstance) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=instance, resources={"workspace": workspace})
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return result


def test_pending_videos_become_partitions_and_runs_once(tmp_path: Path) -> None:
    workspace = Workspace.open(MinerConfig(output_dir=tmp_path))
    now = datetime.now(UTC)
    workspace.catalog.add_videos(
        Video(video_id=f"v{number:03d}", url=f"https://x/{number}", added_at=now)
        for number in range(automation.VIDEOS_PER_TICK + 5)
    )
    with dg.instance_for_test() as instance:
        first, second, third = (tick(automation.new_videos, workspace, instance) for _ in range(3))
        assert len(first.run_requests or []) == automation.VIDEOS_PER_TICK
        assert len(second.run_requests or []) == 5
        assert not third.run_requests
        assert len(instance.get_dynamic_partitions("videos")) == automation.VIDEOS_PER_TICK + 5


def test_keywords_of_registry_and_configuration_are_searched_once(tmp_path: Path) -> None:
    config = MinerConfig(output_dir=tmp_path)
    config = config.model_copy(update={"search": config.search.model_copy(update={"keywords": ["red car"]})})
    workspace = Workspace.open(config)
    workspace.catalog.add_keyword("blue car")
    with dg.instance_for_test() as instance:
        first, second = (tick(automation.new_keywords, workspace, instance) for _ in range(2))
    assert [request.partition_key for request in first.run_requests or []] == ["blue car", "red car"]
    assert not second.run_requests
