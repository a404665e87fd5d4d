"""What every asset is handed: the configuration, where files lie, the registry, and who listens to progress."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.config_sections import DownloadConfig
from miner_resources.records import Stage, StageRecord
from miner_resources.storage import Storage
from miner_resources.web.client import WebClient


class StageListener(Protocol):
    """Hears how a stage gets on; the command line draws its progress bars and summary from this."""

    def started(self, stage: Stage, videos: int) -> None:
        """A stage begins on that many videos."""
        ...

    def waits(self, stage: Stage, reason: str) -> None:
        """A stage waits for somebody else, such as a site that wants a rest; an empty reason when it goes on."""
        ...

    def advanced(self, stage: Stage) -> None:
        """A stage that is not about videos (a search) is one step further."""
        ...

    def frames_done(self, stage: Stage, count: int) -> None:
        """So many more frames were computed."""
        ...

    def finished_video(self, record: StageRecord, *, reused: bool) -> None:
        """One video is done, failed, waiting, skipped, or (`reused`) needed nothing."""
        ...

    def finished(self, stage: Stage) -> None:
        """A stage over the whole dataset is done."""
        ...


class SilentListener:
    """Hears everything and says nothing: the Dagster UI has its own view of a run."""

    def started(self, stage: Stage, videos: int) -> None:
        """Ignore."""

    def waits(self, stage: Stage, reason: str) -> None:
        """Ignore."""

    def advanced(self, stage: Stage) -> None:
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

    def web(
        self, stage: Stage, download: DownloadConfig | None = None, *, log: Callable[[str], None] | None = None
    ) -> WebClient:
        """The way to the web for a stage.

        Args:
            stage: whose waiting is reported.
            download: a run's own settings instead of the project's.
            log: also hears why one waits, besides the listener.
        """

        def notice(reason: str) -> None:
            self.listener.waits(stage, reason)
            if log and reason:
                log(reason)

        return WebClient(download or self.config.download, self.config.pacing, self.catalog, notice)
