"""The one loop over partitions that all per-video assets share.

For every video of the run it decides what is missing, lets the stage compute and publish it, writes down what happened
(`stage_log.py`) and goes on: a video that fails is recorded with its reason and the others are not touched.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import dagster as dg

from miner_assets.backfill import queued_sisters
from miner_assets.checks import evaluate
from miner_assets.claims import Claims
from miner_assets.stage_log import ALL_STAGES_JOB, StageLog
from miner_assets.video_stage import Outcome, Task, VideoStage
from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError, NotFound
from miner_resources.records import VIDEO_STAGES, Stage, Video
from miner_resources.registry.ledger import SKIPPED, WAITING
from miner_resources.storage import ArtifactKeys

PAUSE_S: Final = 1.0


def run_stage(
    context: dg.AssetExecutionContext, workspace: Workspace, stage: VideoStage
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Run `stage` over the partitions of this Dagster run.

    Yields:
        the results of the stage's checks on what it has made, and
        one materialization for all partitions, if the run has one or if other stages are to follow in the same run
        (Dagster skips what depends on an asset that yields nothing). Otherwise nothing: partitions are logged one by
        one, each with its own metadata and data version.

    Raises:
        dg.Failure: at the end, if any video failed, with a table of the reasons.
    """
    keys = list(context.partition_keys)
    together = len(keys) == 1 or context.job_name == ALL_STAGES_JOB
    log = StageLog(context, workspace, stage.stage, keys, together=together)
    work_through(log, workspace, stage, keys, also=lambda: queued_sisters(context))
    yield from evaluate(stage.stage, workspace.storage, log.made)
    log.fail_if_any_failed()
    yield from log.results()


def work_through(
    log: StageLog,
    workspace: Workspace,
    stage: VideoStage,
    keys: Sequence[str],
    *,
    also: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Let `stage` make what is missing of the videos `keys`, and write down how each ended.

    Args:
        log: where to.
        workspace: the project.
        stage: which one.
        keys: videos of this run.
        also: asked for videos of other runs to do as well, if there is work at all; they cannot fail this run.
    """
    workspace.storage.clean_temporary()
    workspace.listener.started(stage.stage, len(keys))
    left = keys
    while left:
        with Claims(workspace.storage.claims(stage.stage)) as claims:
            tasks, busy = _plan(log, workspace, stage, left, claims)
            if tasks and not stage.force:
                tasks += _taken_along(workspace, stage, [key for key in also() if claims.take(key)])
            _work(log, stage, tasks)
        if len(busy) == len(left):
            log.context.log.info("%d videos are being worked on by another run: waiting for it", len(busy))
            time.sleep(PAUSE_S)
        left = busy


def _work(log: StageLog, stage: VideoStage, tasks: Sequence[Task]) -> None:
    try:
        for outcome in stage.work(tasks):
            log.record(outcome)
            log.fold_if_due()
    except BaseException:
        log.broken_off([task.video_id for task in tasks])
        raise
    log.fold()


def _plan(
    log: StageLog, workspace: Workspace, stage: VideoStage, keys: Sequence[str], claims: Claims
) -> tuple[list[Task], list[str]]:
    """What is to be computed, and the videos that another process works on just now."""
    videos = {video.video_id: video for video in workspace.catalog.videos(ids=keys)}
    absent = _not_downloaded(workspace, keys) if stage.stage is not Stage.DOWNLOAD else {}
    tasks: list[Task] = []
    busy: list[str] = []
    for key in keys:
        if not claims.take(key):
            busy.append(key)
            continue
        video = videos.get(key) or Video(video_id=key, url="", added_at=workspace.storage.clock.now())
        try:
            if key not in videos:
                raise NotFound(
                    f"video {key} is not in the registry",
                    remedy="remove the partition, or import the video's URL again",
                )
            task = Task(video, stage.keys(video))
            done = not stage.force and stage.artifact_keys(video) == task.keys
        except MinerError as error:
            if key in absent:
                log.left_out(key, f"not downloaded: {absent[key]}")
            else:
                log.record(Outcome(Task(video, ArtifactKeys("", "")), error=error))
            continue
        if done:
            claims.give_back(key)
            log.reused(task)
        else:
            tasks.append(task)
    _set_busy(workspace, stage, tasks)
    return tasks, busy


def _taken_along(workspace: Workspace, stage: VideoStage, keys: Sequence[str]) -> list[Task]:
    """Tasks of other runs; those that need nothing, or lack something, are left to their own run."""
    tasks: list[Task] = []
    for video in workspace.catalog.videos(ids=keys) if keys else []:
        with suppress(MinerError):
            task = Task(video, stage.keys(video))
            if stage.artifact_keys(video) != task.keys:
                tasks.append(task)
    _set_busy(workspace, stage, tasks)
    return tasks


def _set_busy(workspace: Workspace, stage: VideoStage, tasks: Sequence[Task]) -> None:
    if tasks:
        workspace.catalog.set_status([task.video_id for task in tasks], VIDEO_STAGES[stage.stage][0])


def _not_downloaded(workspace: Workspace, keys: Sequence[str]) -> dict[str, str]:
    """Videos that wait for their site or were left out → why: that later stages find no input is not their failure."""
    records = workspace.catalog.stage_records(stage=Stage.DOWNLOAD, ids=keys)
    return {record.video_id: str(record.error) for record in records if record.status in (WAITING, SKIPPED)}
