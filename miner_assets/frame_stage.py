"""The shape of the stages that run a model over frames: plan what is missing, compute in batches, publish.

Rows computed with the same compute key are reused; only missing frames go through the model, in batches that span
videos. To add a model stage: implement the four hooks of `FrameStage`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import polars as pl

from miner_assets.logic.batching import in_batches
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources.deadline import timed_out
from miner_resources.errors import DamagedPicture, InvalidData, MinerError, TimedOut
from miner_resources.images import read_image
from miner_resources.records import Rgb, Stage
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import read_keys, read_table, write_table

CONFIG_SECTIONS: Final = {Stage.FILTER: "filter", Stage.EMBED: "dedup", Stage.DETECT: "detection"}
LOADERS: Final = max(2, min(8, os.cpu_count() or 2))


@dataclass
class Plan:
    """What one video needs.

    Attributes:
        frames: the rows of `frames.parquet` this stage is about, by frame index; more columns as the stage needs.
        old: rows of the earlier artifact that can be reused, None if there are none.
        missing: row numbers in `frames` that the model must see.
    """

    task: Task
    frames: pl.DataFrame
    old: pl.DataFrame | None
    missing: list[int]


L = TypeVar("L")
R = TypeVar("R")


class FrameStage(ABC, Generic[L, R]):
    """A stage that computes one row per frame with a model."""

    def __init__(self, workspace: Workspace, stage: Stage, *, force: bool, timeout_s: float | None = None) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.stage = stage
        self.force = force
        self.timeout_s = timeout_s

    @abstractmethod
    def plan(self, task: Task) -> Plan:
        """Find out what is missing. Called in order, just ahead of the loader."""

    @abstractmethod
    def load(self, image: Rgb, frame: Mapping[str, Any]) -> L:
        """Make one frame ready for the model. Called in threads.

        Args:
            image: its pixels.
            frame: its row in the plan's `frames`.
        """

    @abstractmethod
    def infer(self, batch: list[L]) -> Sequence[R]:
        """Compute one row for each loaded frame."""

    @abstractmethod
    def publish(self, plan: Plan, rows: list[R]) -> Outcome:
        """Write the artifact from the old rows and the new `rows` (one for each of `plan.missing`, in order)."""

    @abstractmethod
    def batch_size(self) -> int:
        """Frames in a batch."""

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Compute and publish every task; a task that fails does not touch the others."""
        unplanned: list[Outcome] = []
        stream = in_batches(
            self._planned(tasks, unplanned),
            load=self._load,
            infer=self._infer,
            batch_size=self.batch_size,
            workers=LOADERS,
            overdue=self._overdue,
        )
        for plan, rows in stream:
            yield from _drain(unplanned)
            yield self._published(plan, rows)
        yield from _drain(unplanned)

    def _planned(self, tasks: Sequence[Task], failed: list[Outcome]) -> Iterator[tuple[Plan, list[dict[str, Any]]]]:
        for task in tasks:
            try:
                plan = self.plan(task)
            except MinerError as error:
                failed.append(Outcome(task, error=error))
                continue
            yield plan, plan.frames.select(pl.all().gather(plan.missing)).to_dicts()

    def _load(self, frame: dict[str, Any]) -> L:
        try:
            picture = read_image(self.storage.root / frame["path"])
        except InvalidData as error:
            self._mark_as_stale(frame["video_id"])
            remedy = "run again: the frames of this video are extracted anew"
            raise DamagedPicture(error.message, remedy=remedy) from error
        return self.load(picture, frame)

    def _mark_as_stale(self, video_id: str) -> None:
        """Frames and their selection count as made with other settings; what is there stays readable till then.

        Selected and unique frames are other names of the same files, so they are linked anew as well.
        """
        for path in (self.storage.frames_table(video_id), self.storage.scores_table(video_id)):
            if path.exists():
                table = read_table(path)
                with self.storage.publish_file(path) as target:
                    write_table(target, table, ArtifactKeys("", ""))
        self.storage.discard(self.storage.linked_version)

    def _infer(self, batch: list[L]) -> Sequence[R]:
        rows = self.infer(batch)
        self.workspace.listener.frames_done(self.stage, len(batch))
        return rows

    def _overdue(self, plan: Plan, seconds: float) -> TimedOut | None:
        if self.timeout_s is None or seconds <= self.timeout_s:
            return None
        return timed_out(plan.task.video_id, self.timeout_s, f"{CONFIG_SECTIONS[self.stage]}.timeout_s")

    def _published(self, plan: Plan, rows: list[R] | MinerError) -> Outcome:
        if isinstance(rows, MinerError):
            return Outcome(plan.task, error=rows)
        try:
            return self.publish(plan, rows)
        except MinerError as error:
            return Outcome(plan.task, error=error)

    def reusable(self, path: Path, keys: ArtifactKeys) -> pl.DataFrame | None:
        """The rows of an earlier artifact if they were computed alike, None if not or if the stage is forced."""
        old = None if self.force else read_keys(path)
        return read_table(path) if old is not None and old.compute == keys.compute else None


def _drain(outcomes: list[Outcome]) -> Iterator[Outcome]:
    while outcomes:
        yield outcomes.pop(0)


def rows_absent(frames: pl.DataFrame, old: pl.DataFrame | None) -> list[int]:
    """Row numbers of the frames that `old` has no row for."""
    known: set[int] = set() if old is None else set(old["frame_index"].to_list())
    return [row for row, index in enumerate(frames["frame_index"].to_list()) if index not in known]
