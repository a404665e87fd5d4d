"""What every asset is handed: the configuration, where files lie, the registry, and who listens to progress."""

from dataclasses import dataclass, field
from typing import Protocol

from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.records import Stage, StageRecord
from miner_resources.storage import Storage


class StageListener(Protocol):
    """Hears how a stage gets on; the command line draws its progress bars and summary from this."""

    def started(self, stage: Stage, videos: int) -> None:
        """A stage begins on that many videos."""
        ...

    def frames_done(self, stage: Stage, count: int) -> None:
        """So many more frames were computed."""
        ...

    def finished_video(self, record: StageRecord, *, reused: bool) -> None:
        """One video is done, failed, or (`reused`) needed nothing."""
        ...

    def finished(self, stage: Stage) -> None:
        """A stage over the whole dataset is done."""
        ...


class SilentListener:
    """Hears everything and says nothing: the Dagster UI has its own view of a run."""

    def started(self, stage: Stage, videos: int) -> None:
        """Ignore."""

    def frames_done(self, stage: Stage, count: int) -> None:
        """Ignore."""

    def finished_video(self, record: StageRecord, *, reused: bool) -> None:
        """Ignore."""

    def finished(self, stage: Stage) -> None:
        """Ignore."""


@dataclass(frozen=True)
class Workspace:
    """One project: a configuration and its output folder."""

    config: MinerConfig
    storage: Storage
    catalog: Catalog
    listener: StageListener = field(default_factory=SilentListener)

    @classmethod
    def open(cls, config: MinerConfig, listener: StageListener | None = None) -> "Workspace":
        """Make the workspace of `config`; creates nothing on disk."""
        storage = Storage(config.output_dir)
        return cls(config, storage, Catalog(storage), listener or SilentListener())
