"""Jobs, sensors and the schedule: how work starts without a person clicking.

Sensors do little: they compare the registry with the runs that are under way and ask for what is missing. What there
is to do follows from the registry alone, so a tick can be repeated, and a run that died is asked for again. A run key
names the work and the hour: the same work is not asked for twice within an hour unless something has come of it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from miner_assets.download_stage import reconsidered
from miner_assets.partitions import ADD_CHUNK, FIRST, KEYWORDS, LAST, VIDEOS, contiguous_ranges, partitions_of
from miner_assets.search import due_searches
from miner_assets.stage_log import ALL_STAGES_JOB
from miner_assets.workspace import Workspace
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.queue_report import queue_report, retry_times
from miner_resources.records import Status, Video
from miner_resources.storage import stable_hash

ENOUGH_FOR_A_DATASET: Final = 500
"""So many new videos are worth a dataset while others are still being mined."""

TICK_S: Final = 15
UNFINISHED: Final = frozenset(Status) - {Status.DETECTED, Status.COMPLETE, Status.FAILED, Status.SKIPPED}

_ACTIVE: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_ASKED_AGAIN: Final = {"dagster/max_retries": "0"}
"""Whatever ends a run of a sensor, a later tick sees what is left to do; Dagster's own retry would do it twice."""

mine_videos = dg.define_asset_job(
    ALL_STAGES_JOB,
    selection=["videos", "frames", "filtered_frames", "embeddings", "detections"],
    description="Everything that is done for one video, from download to boxes.",
)

build_dataset = dg.define_asset_job(
    "build_dataset",
    selection=["unique_frames", "dataset"],
    description="Remove near-duplicates across all videos and write the dataset.",
    tags={"dagster/priority": "5"},
)

search_keyword = dg.define_asset_job(
    "search_keyword",
    selection=["search_results"],
    description="Search for one keyword and register what it finds.",
    tags={"dagster/priority": "10"},
)


@dg.sensor(job=search_keyword, minimum_interval_seconds=TICK_S)
def new_keywords(
    context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]
) -> dg.SensorResult | dg.SkipReason:
    """Start a search for every watched keyword that has none yet, of the registry and of the configuration."""
    instance = context.instance
    due = due_searches(workspace)
    if due and (cooling := _cooling(workspace, {YOUTUBE})):
        return dg.SkipReason("; ".join(cooling.values()))
    busy = set(_active_keys(instance, search_keyword.name, []))
    known = set(instance.get_dynamic_partitions(str(KEYWORDS.name)))
    wanted = [keyword for keyword in due if keyword not in busy]
    if not wanted:
        return dg.SkipReason(f"{len(due)} searches under way" if due else "every watched keyword was searched for")
    new = [keyword for keyword in wanted if keyword not in known]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{stable_hash(keyword)}@{_hour()}", partition_key=keyword, tags=_ASKED_AGAIN)
            for keyword in wanted
        ],
        dynamic_partitions_requests=[KEYWORDS.build_add_request(new)] if new else [],
    )


@dg.sensor(job=mine_videos, minimum_interval_seconds=TICK_S)
def new_videos(
    context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]
) -> dg.SensorResult | dg.SkipReason:
    """Mine the videos that are not finished, in batches; those of a site that cools down wait for its end.

    What a run did not finish although it did not fail (a site's cool-down, a kill, a neighbour that failed) is asked
    for again by a later tick.
    """
    workspace.catalog.fold()
    active = context.instance.get_runs_count(dg.RunsFilter(job_name=mine_videos.name, statuses=_ACTIVE))
    keys = list(context.instance.get_dynamic_partitions(str(VIDEOS.name)))
    pending = _unfinished(workspace)
    cooling = _cooling(workspace, {pool_of(video.url) for video in pending if video.status is Status.PENDING})
    ready = [video for video in pending if video.status is not Status.PENDING or pool_of(video.url) not in cooling]
    if not ready:
        return dg.SkipReason("; ".join(queue_report(workspace.catalog)) or "no video is waiting to be mined")
    known = set(keys)
    new = [video.video_id for video in ready if video.video_id not in known][:ADD_CHUNK]
    known.update(new)
    busy = set(_active_keys(context.instance, mine_videos.name, keys))
    free = known - busy
    wanted = {video.video_id: video for video in ready if video.video_id in free}
    if not wanted:
        return dg.SkipReason(f"{len(ready)} videos are being mined")
    how = workspace.config.automation
    batches = _batches([*keys, *new], wanted, retry_times(workspace.catalog), how.videos_per_run)
    return dg.SensorResult(
        run_requests=batches[: max(0, how.runs_at_once - active)],
        dynamic_partitions_requests=[VIDEOS.build_add_request(new)] if new else [],
    )


@dg.sensor(job=build_dataset, minimum_interval_seconds=TICK_S)
def finished_videos(
    context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]
) -> dg.SensorResult | dg.SkipReason:
    """Build the dataset again when videos have come through and no run is at work on others: once per batch."""
    workspace.catalog.fold()
    detected = [video.video_id for video in workspace.catalog.videos(status=Status.DETECTED)]
    if not detected:
        return dg.SkipReason("every video that came through is in the dataset")
    jobs = [build_dataset.name, *([mine_videos.name] if len(detected) < ENOUGH_FOR_A_DATASET else [])]
    if any(context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=_ACTIVE)) for job in jobs):
        return dg.SkipReason(f"{len(detected)} videos came through; waiting for the runs under way")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{stable_hash(detected)}@{_hour()}", tags=_ASKED_AGAIN)]
    )


@dg.schedule(job=search_keyword, cron_schedule="0 3 * * 1")
def refresh_searches(
    context: dg.ScheduleEvaluationContext, workspace: dg.ResourceParam[Workspace]
) -> list[dg.RunRequest]:
    """Search for every watched keyword again, on Monday nights."""
    known = set(context.instance.get_dynamic_partitions(str(KEYWORDS.name)))
    keys = [row.keyword for row in workspace.catalog.keywords() if row.keyword in known]
    day = context.scheduled_execution_time.date()
    return [dg.RunRequest(run_key=f"{day}:{key}", partition_key=key) for key in keys]


def _unfinished(workspace: Workspace) -> list[Video]:
    """Videos with something left to do, without those that wait for a later try of their own."""
    now, later = datetime.now(UTC), retry_times(workspace.catalog)
    again = {video.video_id for video in reconsidered(workspace)}
    videos = [v for v in workspace.catalog.videos() if v.status in UNFINISHED or v.video_id in again]
    return [video for video in videos if later.get(video.video_id, now) <= now]


def _cooling(workspace: Workspace, pools: set[str]) -> dict[str, str]:
    """Sites that want a rest now → what they said."""
    now = datetime.now(UTC).timestamp()
    known = workspace.catalog.pools()
    return {name: known[name].reason for name in pools if name in known and now < known[name].cooling_until}


def _batches(
    keys: Sequence[str], wanted: dict[str, Video], tried: dict[str, datetime], size: int
) -> list[dg.RunRequest]:
    """Runs over contiguous ranges of partitions, at most `size` each.

    A range holds only videos that are wanted: Dagster marks every key of a failed run as failed.
    """
    requests: list[dg.RunRequest] = []
    places = {key: place for place, key in enumerate(keys)}
    for first, last in contiguous_ranges(keys, set(wanted), set(), 0):
        span = keys[places[first] : places[last] + 1]
        for start in range(0, len(span), size):
            batch = span[start : start + size]
            # What came of earlier runs is part of the key, so that work that got on may go on at once.
            work = stable_hash([[key, wanted[key].status.value, str(tried.get(key))] for key in batch])
            tags = {FIRST: batch[0], LAST: batch[-1], **_ASKED_AGAIN}
            requests.append(dg.RunRequest(run_key=f"{work}@{_hour()}", tags=tags))
    return requests


def _active_keys(instance: dg.DagsterInstance, job: str, keys: Sequence[str]) -> list[str]:
    """Partitions that a run of the job is about, or will be."""
    return partitions_of(instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE)), keys)


def _hour() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H}"
