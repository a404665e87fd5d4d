"""Running the pipeline from one process: the real assets, stage by stage, on a persistent Dagster instance.

Each per-video stage runs over the videos that got through the one before, in as few Dagster runs as their partition
order allows. What is up to date is not run at all; what failed for good is not tried again until it is forced.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import dagster as dg

from miner_assets.dataset_step import DatasetStep
from miner_assets.download_stage import reconsidered
from miner_assets.graph import build_definitions
from miner_assets.partitions import FIRST, KEYWORDS, LAST, VIDEOS, add_partitions, contiguous_ranges
from miner_assets.pipeline_run import PipelineRun, StageSummary, Tally
from miner_assets.run_launcher import PROCESS_TAG, process_tag
from miner_assets.search import due_searches, known_inputs, register_inputs
from miner_assets.stage_names import asset_key
from miner_assets.stages import video_stage
from miner_assets.unique_frames import DedupStep
from miner_assets.video_stage import VideoStage
from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError, Waiting
from miner_resources.records import VIDEO_STAGES, Stage, StageRecord, Status, Video
from miner_resources.registry.ledger import DONE, FAILED
from miner_resources.video_source import utc_now

MAX_GAP: Final = 4
"""An up-to-date video inside a range costs two Dagster events, a further run about ten."""

UNFINISHED: Final = frozenset(Status) - {Status.COMPLETE, Status.FAILED, Status.SKIPPED}


class Pipeline:
    """One run of the configured stages."""

    def __init__(self, workspace: Workspace, instance: dg.DagsterInstance) -> None:
        self.tally = Tally(workspace.listener)
        self.workspace = Workspace(workspace.config, workspace.storage, workspace.catalog, self.tally)
        self.instance = instance
        self.run = PipelineRun(utc_now())
        self._job = build_definitions(self.workspace).resolve_implicit_global_asset_job_def()

    def execute(self) -> PipelineRun:
        """Run all configured stages.

        Raises:
            MinerError: something no video is to blame for, such as missing weights.
        """
        stages = self.workspace.config.stages
        self.workspace.catalog.fold()
        if Stage.SEARCH in stages:
            self._timed(Stage.SEARCH, self._search)
        self._choose_videos()
        for stage in VIDEO_STAGES:
            if stage in stages:
                self._timed(stage, lambda stage=stage: self._run_video_stage(stage))
        self._run_step(Stage.DEDUP, DedupStep(self.workspace, self.workspace.config.dedup))
        self._run_step(Stage.DATASET, DatasetStep(self.workspace, self.workspace.config.dataset))
        self.run.finished_at = utc_now()
        return self.run

    def plan(self) -> dict[Stage, int]:
        """How many known videos each per-video stage would run; what an earlier stage runs, later ones may have to."""
        self._choose_videos()
        videos = self._videos()
        due: set[str] = set()
        counts: dict[Stage, int] = {}
        for stage in (stage for stage in VIDEO_STAGES if stage in self.workspace.config.stages):
            step = video_stage(stage, self.workspace)
            due |= {video.video_id for video in videos if not _is_current(step, video)}
            counts[stage] = len(due)
        return counts

    def _search(self) -> None:
        wanted = self.workspace.config.search.keywords
        keywords = due_searches(self.workspace, wanted)
        self.tally.started(Stage.SEARCH, len(keywords) + 1)
        registered = self.run.registered = register_inputs(self.workspace)
        self.run.searches_waiting += registered.waiting
        self.tally.advanced(Stage.SEARCH)
        add_partitions(self.instance, KEYWORDS, keywords)
        for keyword in keywords:
            try:
                self._materialize(Stage.SEARCH, {"dagster/partition": keyword})
            except Waiting as error:
                self.run.searches_waiting.append((keyword, error))
            except MinerError as error:
                self.run.searches_failed.append((keyword, error))
            else:
                found = self.workspace.catalog.search_results(keyword=keyword)
                registered.left_out.update(result.reason for result in found if result.reason)
            self.tally.advanced(Stage.SEARCH)
        summary = self.tally.summary
        ended_early = len(self.run.searches_failed) + len(self.run.searches_waiting)
        summary.computed = len(registered.new) + len(keywords) - ended_early
        summary.reused = len(registered.video_ids) - len(registered.new) + len(wanted) - len(keywords)
        summary.failed = len(registered.lost) + len(self.run.searches_failed)
        summary.items = summary.computed + summary.reused + summary.failed

    def _choose_videos(self) -> None:
        config, catalog = self.workspace.config, self.workspace.catalog
        chosen = set(self.run.registered.video_ids) or set(known_inputs(self.workspace))
        keywords = {" ".join(keyword.split()) for keyword in config.search.keywords}
        found = [result for result in catalog.search_results() if result.keyword in keywords] if keywords else []
        chosen |= {result.video_id for result in found if result.reason is None}
        if config.from_registry == "all":
            chosen |= {video.video_id for video in catalog.videos() if video.status is not Status.SKIPPED}
        elif config.from_registry == "pending":
            chosen |= {video.video_id for video in catalog.videos() if video.status in UNFINISHED}
            chosen |= {video.video_id for video in reconsidered(self.workspace)}
        self.run.video_ids = [video.video_id for video in catalog.videos(ids=sorted(chosen))]
        add_partitions(self.instance, VIDEOS, self.run.video_ids)

    def _videos(self) -> list[Video]:
        out = {**self.run.failures, **self.run.left_out}
        return [video for video in self.workspace.catalog.videos(ids=self.run.video_ids) if video.video_id not in out]

    def _run_video_stage(self, stage: Stage) -> None:
        step, videos = video_stage(stage, self.workspace), self._videos()
        current = {video.video_id for video in videos if _is_current(step, video)}
        known = self._settled_before(step, [video for video in videos if video.video_id not in current])
        wanted = {video.video_id for video in videos} - self._reported(step, current) - set(known)
        summary = self.tally.summary
        keys = list(self.instance.get_dynamic_partitions(str(VIDEOS.name)))
        for first, last in contiguous_ranges(keys, wanted, current, MAX_GAP):
            tags = {FIRST: first, LAST: last}
            self._materialize(stage, tags)
        ended = {**self._without_artifact(stage, wanted), **known}
        failed = {video_id: record for video_id, record in ended.items() if record.status == FAILED}
        self.run.failures.update(failed)
        self.run.left_out.update({video_id: ended[video_id] for video_id in ended.keys() - failed.keys()})
        summary.items = len(videos)
        summary.reused = len(current)
        summary.failed = len(failed)

    def _reported(self, step: VideoStage, current: set[str]) -> set[str]:
        """Those whose artifact the registry knows: a run that was killed may not have come to say it."""
        records = self.workspace.catalog.stage_records(stage=step.stage, ids=sorted(current))
        return {record.video_id for record in records if record.status == DONE}

    def _settled_before(self, step: VideoStage, videos: Sequence[Video]) -> dict[str, StageRecord]:
        """Videos that failed for good or were left out with the very same input and settings: again gives the same."""
        if step.force:
            return {}
        ended = self._without_artifact(step.stage, {video.video_id for video in videos})
        return {
            video.video_id: record
            for video in videos
            if (record := ended.get(video.video_id)) and not record.retryable and _same_keys(step, video, record)
        }

    def _without_artifact(self, stage: Stage, ids: Iterable[str]) -> dict[str, StageRecord]:
        """Videos that the stage failed on, left waiting or left out, as it said last."""
        records = self.workspace.catalog.stage_records(stage=stage, ids=sorted(ids))
        return {record.video_id: record for record in records if record.status != DONE}

    def _run_step(self, stage: Stage, step: "DedupStep | DatasetStep") -> None:
        if stage not in self.workspace.config.stages:
            return
        self.tally.summary = summary = StageSummary()
        self.run.stages[stage] = summary
        began = time.monotonic()
        if step.is_current():
            step.confirm()
            summary.reused = step.items()
        else:
            self.tally.started(stage, 1)
            self._materialize(stage, {})
            self.tally.finished(stage)
            summary.computed = step.items()
        summary.items = step.items()
        summary.seconds = time.monotonic() - began

    def _timed(self, stage: Stage, action: Callable[[], None]) -> None:
        self.tally.summary = self.run.stages[stage] = StageSummary()
        began = time.monotonic()
        try:
            action()
        finally:
            self.run.stages[stage].seconds = time.monotonic() - began

    def _materialize(self, stage: Stage, tags: dict[str, str]) -> None:
        """One Dagster run. Failed videos are in the registry; any other error ends the pipeline."""
        self.run.dagster_runs += 1
        try:
            self._job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey(asset_key(stage))],
                tags={**tags, PROCESS_TAG: process_tag()},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        except dg.Failure:
            return
        except dg.DagsterExecutionInterruptedError:
            # Dagster's own name for Ctrl-C and SIGTERM while a step runs.
            raise KeyboardInterrupt from None


def _is_current(step: VideoStage, video: Video) -> bool:
    if step.force:
        return False
    try:
        keys = step.keys(video)
        return keys.compute != "" and step.artifact_keys(video) == keys
    except MinerError:
        return False


def _same_keys(step: VideoStage, video: Video, record: StageRecord) -> bool:
    try:
        keys = step.keys(video)
    except MinerError:
        return False
    return (record.compute_key or "", record.decision_key or "") == (keys.compute, keys.decision)
