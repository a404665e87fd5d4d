"""What one run of the pipeline did: counts per stage, and what failed."""

from dataclasses import dataclass, field
from datetime import datetime

from miner_assets.search import Registered
from miner_assets.workspace import StageListener
from miner_resources.errors import MinerError, Waiting
from miner_resources.records import Stage, StageRecord
from miner_resources.registry.ledger import DONE, FAILED, WAITING


@dataclass
class StageSummary:
    """What one stage did in this run.

    Attributes:
        items: videos (or, for `dedup` and `dataset`, frames) it was responsible for.
    """

    seconds: float = 0.0
    items: int = 0
    computed: int = 0
    reused: int = 0
    failed: int = 0


@dataclass
class PipelineRun:
    """What a run did, as far as it got.

    Attributes:
        left_out: videos that wait for their site, or that the user's rules skip.
    """

    started_at: datetime
    registered: Registered = field(default_factory=Registered)
    video_ids: list[str] = field(default_factory=list[str])
    stages: dict[Stage, StageSummary] = field(default_factory=dict[Stage, StageSummary])
    failures: dict[str, StageRecord] = field(default_factory=dict[str, StageRecord])
    left_out: dict[str, StageRecord] = field(default_factory=dict[str, StageRecord])
    searches_waiting: list[tuple[str, Waiting]] = field(default_factory=list[tuple[str, Waiting]])
    searches_failed: list[tuple[str, MinerError]] = field(default_factory=list[tuple[str, MinerError]])
    dagster_runs: int = 0
    finished_at: datetime | None = None

    @property
    def did_work(self) -> bool:
        """Whether anything was computed or tried."""
        return self.dagster_runs > 0 or bool(self.registered.new)

    @property
    def waiting(self) -> list[StageRecord]:
        """Videos that will be tried again later."""
        return [record for record in self.left_out.values() if record.status == WAITING]

    @property
    def ok(self) -> bool:
        """Whether every input and every wanted video got through."""
        failed = self.failures or self.registered.lost or self.searches_failed
        return not (failed or self.waiting or self.searches_waiting)


class Tally:
    """Counts what the stages report and passes it on."""

    def __init__(self, inner: StageListener) -> None:
        self.inner = inner
        self.summary = StageSummary()

    def started(self, stage: Stage, videos: int) -> None:
        """Pass on."""
        self.inner.started(stage, videos)

    def waits(self, stage: Stage, reason: str) -> None:
        """Pass on."""
        self.inner.waits(stage, reason)

    def advanced(self, stage: Stage) -> None:
        """Pass on."""
        self.inner.advanced(stage)

    def frames_done(self, stage: Stage, count: int) -> None:
        """Pass on."""
        self.inner.frames_done(stage, count)

    def finished_video(self, record: StageRecord, *, reused: bool) -> None:
        """Count and pass on."""
        if reused:
            self.summary.reused += 1
        elif record.status == DONE:
            self.summary.computed += 1
        elif record.status == FAILED:
            self.summary.failed += 1
        self.inner.finished_video(record, reused=reused)

    def finished(self, stage: Stage) -> None:
        """Pass on."""
        self.inner.finished(stage)
