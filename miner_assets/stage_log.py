"""Writing down what happened to each video: event file, registry, Dagster, and whoever listens."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import dagster as dg

from miner_assets.metadata import Metadata, explored, metadata_of, picture, table
from miner_assets.stage_names import asset_key
from miner_assets.stored_metrics import stored_metrics
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources import events
from miner_resources.errors import MinerError, NotWanted, Waiting
from miner_resources.records import Json, Stage, StageRecord
from miner_resources.registry.ledger import DONE, FAILED, SKIPPED, WAITING
from miner_resources.storage import ArtifactKeys

ALL_STAGES_JOB: Final = "mine_videos"
FOLD_EVERY_S: Final = 10.0

Context = dg.AssetExecutionContext | dg.OpExecutionContext


class StageLog:
    """Writes down what happened: event file, registry, Dagster, listener.

    Args:
        context: of the asset, or of an op that makes partitions of assets.
        workspace: the project.
        stage: which one.
        keys: the partitions of this run.
        together: whether the asset yields one result for all of them.
    """

    def __init__(
        self, context: Context, workspace: Workspace, stage: Stage, keys: Sequence[str], *, together: bool
    ) -> None:
        self.context = context
        self.workspace = workspace
        self.stage = stage
        self.failures: list[StageRecord] = []
        self.made: list[str] = []
        self.without: set[str] = set()
        """Videos that have no up-to-date artifact after this."""
        self._together = together
        self._left_out = 0
        self._logged: list[tuple[Task, Mapping[str, Json], Path | None]] = []
        self._started = self.workspace.storage.clock.now()
        self._folded_at = time.monotonic()
        self._keys = frozenset(keys)
        self._known = {known.video_id: known for known in workspace.catalog.stage_records(stage=stage, ids=keys)}

    def record(self, outcome: Outcome) -> None:
        """Write down a computed or failed task."""
        task, error = outcome.task, outcome.error
        now = self.workspace.storage.clock.now()
        record = StageRecord(
            video_id=task.video_id,
            stage=self.stage,
            status=_status(error),
            started_at=self._started,
            finished_at=now,
            compute_key=task.keys.compute,
            decision_key=task.keys.decision,
            metrics={**outcome.metrics, "seconds": round((now - self._started).total_seconds(), 3)},
            error=f"{error.kind}: {error.message}" if error else None,
            remedy=error.remedy if error else None,
            retryable=error.retryable if error else False,
        )
        self._started = now
        events.publish(self.workspace.storage, record)
        self.workspace.listener.finished_video(record, reused=False)
        if error is None:
            self.made.append(task.video_id)
            self._materialize(task, record.metrics, outcome.sample)
        elif task.video_id not in self._keys:
            self.context.log.warning("%s, taken along, is left to its own run: %s", task.video_id, error)
        elif record.status == FAILED:
            self.without.add(task.video_id)
            self.failures.append(record)
            self.context.log.error("%s failed in %s: %s", task.video_id, self.stage, error)
        else:
            self.left_out(task.video_id, f"{record.status} in {self.stage}: {error}")

    def left_out(self, video_id: str, reason: str) -> None:
        """Write down that a video gets no artifact in this run although nothing is wrong with it."""
        self._left_out += 1
        self.without.add(video_id)
        self.context.log.warning("%s is %s", video_id, reason)

    def reused(self, task: Task) -> None:
        """Write down that an up-to-date artifact is already there."""
        now = self.workspace.storage.clock.now()
        keys = task.keys
        known = self._known.get(task.video_id)
        if known is not None and (known.status != DONE or ArtifactKeys(*_keys_of(known)) != keys):
            known = None
        record = StageRecord(
            video_id=task.video_id,
            stage=self.stage,
            status=DONE,
            started_at=now,
            finished_at=now,
            compute_key=keys.compute,
            decision_key=keys.decision,
            metrics=known.metrics if known else stored_metrics(self.workspace.storage, self.stage, task.video_id),
        )
        if known is None:
            events.publish(self.workspace.storage, record)
        self.workspace.listener.finished_video(record, reused=True)
        sheet = self.workspace.storage.contact_sheet(self.stage, task.video_id)
        self._materialize(task, {**record.metrics, "reused": True}, sheet if sheet.exists() else None)

    def fold_if_due(self) -> None:
        """Bring the registry up to date now and then, so that a long run can be watched."""
        if time.monotonic() - self._folded_at > FOLD_EVERY_S:
            self.fold()

    def fold(self) -> None:
        """Bring the registry up to date."""
        self.workspace.catalog.fold()
        self._folded_at = time.monotonic()

    def broken_off(self, ids: Sequence[str]) -> None:
        """Cancelled, or ended by what no video is to blame for: what is done stays, the rest of `ids` is as before."""
        self._log_partitions()
        self.fold()
        self.workspace.catalog.restore_status(ids)

    def fail_if_any_failed(self) -> None:
        """Fail the step, so that the UI shows it; what is materialized stays."""
        if not self.failures:
            return
        self._log_partitions()
        raise failure_of(self.failures, f"{len(self.failures)} of {len(self._keys)} videos failed in {self.stage}")

    def results(self) -> Iterator[dg.MaterializeResult[Any]]:
        """The one materialization for all partitions, where `run_stage` yields one."""
        if not (self._together and self._logged):
            return
        if self._left_out:
            # One result would stand for the videos that were left out as well.
            self._log_partitions()
            return
        for task, metrics, sample in self._logged:
            metadata = self._metadata(task, metrics, sample)
            cast(dg.AssetExecutionContext, self.context).add_asset_metadata(metadata, partition_key=task.video_id)
        # One data version for all: of several videos Dagster takes one, so that it is better left to Dagster.
        only = self._logged[0][0] if len(self._logged) == 1 else None
        yield dg.MaterializeResult(data_version=dg.DataVersion(only.keys.version) if only else None)

    def _materialize(self, task: Task, metrics: Mapping[str, Json], sample: Path | None) -> None:
        if self._together and task.video_id in self._keys:
            self._logged.append((task, metrics, sample))
        else:
            self._log_partition(task, metrics, sample)

    def _log_partitions(self) -> None:
        for logged in self._logged:
            self._log_partition(*logged)

    def _metadata(self, task: Task, metrics: Mapping[str, Json], sample: Path | None) -> Metadata:
        url = task.video.url
        source = dg.MetadataValue.url(url) if url.startswith(("http://", "https://")) else dg.MetadataValue.text(url)
        links = {"source": source, **explored(f"video/{task.video_id}")}
        return {**metadata_of(metrics), **links, **picture(self.workspace.storage, sample)}

    def _log_partition(self, task: Task, metrics: Mapping[str, Json], sample: Path | None) -> None:
        tags = {"dagster/data_version": task.keys.version}
        metadata = self._metadata(task, metrics, sample)
        self.context.log_event(
            dg.AssetMaterialization(asset_key(self.stage), partition=task.video_id, metadata=metadata, tags=tags)
        )


def failure_of(failures: Sequence[StageRecord], description: str) -> dg.Failure:
    """What ends a run in which videos failed, with a table of the reasons."""
    rows = [(record.video_id, record.error, record.remedy) for record in failures]
    return dg.Failure(
        description=description,
        metadata={"failures": table(("video", "error", "what to do"), rows), "failed": len(failures)},
        allow_retries=any(record.retryable for record in failures),
    )


def _keys_of(record: StageRecord) -> tuple[str, str]:
    return record.compute_key or "", record.decision_key or ""


def _status(error: MinerError | None) -> str:
    if error is None:
        return DONE
    if isinstance(error, Waiting):
        return WAITING
    return SKIPPED if isinstance(error, NotWanted) else FAILED
