"""The job `mine_selected`: any videos, wherever their partitions lie, in one run with one load of each model.

A backfill of partitions that are no neighbours takes a run for each stretch of neighbours, because Dagster hands a run
a range. This job takes a list instead. It makes the same artifacts and logs the same materializations; only the UI
does not show its partitions as being worked on.
"""

import dagster as dg
from pydantic import Field

from miner_assets.checks import evaluate
from miner_assets.model_choice import TASKS, chosen_model
from miner_assets.stage import work_through
from miner_assets.stage_log import StageLog, failure_of
from miner_assets.stages import video_stage
from miner_assets.workspace import Workspace
from miner_resources.errors import NotFound
from miner_resources.records import VIDEO_STAGES, Stage, StageRecord, Status


class Selection(dg.Config):
    """Which videos, and how far."""

    videos: list[str] = Field(default=[], description="video ids; none: every video that has failed")
    stages: list[str] = Field(
        default=[stage.value for stage in VIDEO_STAGES], description="stages to run, in the pipeline's order"
    )


@dg.op(pool="gpu")
def mine_videos_of_a_list(
    context: dg.OpExecutionContext, config: Selection, workspace: dg.ResourceParam[Workspace]
) -> None:
    """Stage after stage over all videos; one that fails is left out of what follows."""
    stages = [stage for stage in VIDEO_STAGES if stage in _known_stages(config.stages)]
    alive = _known_videos(workspace, config.videos)
    total, failures = len(alive), list[StageRecord]()
    context.log.info("%d videos through %s", total, ", ".join(stages))
    for stage in stages:
        if stage in TASKS:
            chosen_model(workspace.config, stage, _model_name(workspace, stage), fetch=True)
        log = StageLog(context, workspace, stage, alive, together=False)
        work_through(log, workspace, video_stage(stage, workspace), alive)
        _warn_of_problems(context, workspace, log)
        failures += log.failures
        alive = [key for key in alive if key not in log.without]
    if failures:
        raise failure_of(failures, f"{len(failures)} of {total} videos failed")


mine_selected = dg.GraphDefinition(
    name="mine_selected",
    description="Mine any videos in one run, by default every failed one; name others in the launchpad.",
    node_defs=[mine_videos_of_a_list],
).to_job(executor_def=dg.in_process_executor)


def _known_stages(names: list[str]) -> set[Stage]:
    known = {stage.value: stage for stage in VIDEO_STAGES}
    if unknown := [name for name in names if name not in known]:
        raise NotFound(f"there is no stage {', '.join(unknown)}", remedy=f"name some of {', '.join(known)}")
    return {known[name] for name in names}


def _known_videos(workspace: Workspace, ids: list[str]) -> list[str]:
    catalog = workspace.catalog
    if not ids:
        return [video.video_id for video in catalog.videos(status=Status.FAILED)]
    found = [video.video_id for video in catalog.videos(ids=ids)]
    if unknown := sorted(set(ids) - set(found)):
        raise NotFound(
            f"not in the registry: {', '.join(unknown[:5])}", remedy="import their URLs: video-miner registry import"
        )
    return found


def _model_name(workspace: Workspace, stage: Stage) -> str:
    config = workspace.config
    return {
        Stage.FILTER: config.filter.model,
        Stage.EMBED: config.dedup.model,
        Stage.DETECT: config.detection.detector,
    }[stage]


def _warn_of_problems(context: dg.OpExecutionContext, workspace: Workspace, log: StageLog) -> None:
    for result in evaluate(log.stage, workspace.storage, log.made):
        if not result.passed:
            context.log.warning("check %s of %s: %s", result.check_name, log.stage, result.metadata)
