"""Jobs, sensors and the schedule: how work starts without a person clicking.

Sensors do little: they turn registry rows into partitions and runs, and a tick can be repeated safely.
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from miner_assets.partitions import KEYWORDS, VIDEOS
from miner_assets.stage_log import ALL_STAGES_JOB
from miner_assets.workspace import Workspace
from miner_resources.records import Status

VIDEOS_PER_TICK: Final = 50

mine_videos = dg.define_asset_job(
    ALL_STAGES_JOB,
    selection=["videos", "frames", "filtered_frames", "embeddings", "detections"],
    description="Everything that is done for one video, from download to boxes.",
)

build_dataset = dg.define_asset_job(
    "build_dataset",
    selection=["unique_frames", "dataset"],
    description="Remove near-duplicates across all videos and write the dataset.",
)

search_keyword = dg.define_asset_job(
    "search_keyword",
    selection=["search_results"],
    description="Search for one keyword and register what it finds.",
)


@dg.sensor(job=search_keyword, minimum_interval_seconds=30)
def new_keywords(context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]) -> dg.SensorResult:
    """Start a search for every keyword that has none yet: those in the registry and those in the configuration."""
    wanted = [row.keyword for row in workspace.catalog.keywords()] + workspace.config.search.keywords
    known = set(context.instance.get_dynamic_partitions(str(KEYWORDS.name)))
    new = [keyword for keyword in dict.fromkeys(wanted) if keyword not in known]
    return _start(new, KEYWORDS)


@dg.sensor(job=mine_videos, minimum_interval_seconds=30)
def new_videos(context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]) -> dg.SensorResult:
    """Start mining pending videos, at most `VIDEOS_PER_TICK` at a time."""
    known = set(context.instance.get_dynamic_partitions(str(VIDEOS.name)))
    pending = [video.video_id for video in workspace.catalog.videos(status=Status.PENDING)]
    return _start([video_id for video_id in pending if video_id not in known][:VIDEOS_PER_TICK], VIDEOS)


@dg.schedule(job=search_keyword, cron_schedule="0 3 * * 1")
def refresh_searches(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Search for every keyword again, on Monday nights."""
    keys = context.instance.get_dynamic_partitions(str(KEYWORDS.name))
    day = context.scheduled_execution_time.date()
    return [dg.RunRequest(run_key=f"{day}:{key}", partition_key=key) for key in keys]


def _start(keys: Sequence[str], definition: dg.DynamicPartitionsDefinition) -> dg.SensorResult:
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=key) for key in keys],
        dynamic_partitions_requests=[definition.build_add_request(list(keys))] if keys else [],
    )
