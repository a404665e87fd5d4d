"""The index of a project, kept up to date while runs go on."""

import logging
import threading
import time
from typing import Final

import polars as pl

from miner_assets.explore.index import build_index
from miner_assets.explore.queries import Queries
from miner_assets.explore.reading import signature
from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError

LOOK_EVERY_S: Final = 2.0
REST: Final = 10
"""A new index waits for so many times as long as the last one took, so that a busy run leaves time for pages."""

_log = logging.getLogger(__name__)


class Project:
    """Hands out the latest index; looks for changes when asked, and reads them beside the requests.

    Args:
        workspace: of the project; nothing in it is changed.
        look_every_s: how old an index may be before artifacts are looked at again.
    """

    def __init__(self, workspace: Workspace, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self.workspace = workspace
        self._look_every_s = look_every_s
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._latest: Queries | None = None
        self._seen: tuple[int, ...] = ()
        self._next_look = 0.0
        self._version = 0

    @property
    def latest(self) -> Queries:
        """The project as it was a moment ago. Only the first call waits for it to be read."""
        if self._latest is None:
            with self._reading:
                if self._latest is None:
                    self._read()
        elif self._is_due() and self._reading.acquire(blocking=False):
            threading.Thread(target=self._read_again, name="explore-index", daemon=True).start()
        assert self._latest is not None
        return self._latest

    def _is_due(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._next_look:
                return False
            self._next_look = now + self._look_every_s
        return signature(self.workspace.storage) != self._seen

    def _read_again(self) -> None:
        try:
            self._read()
        except (OSError, MinerError, pl.exceptions.PolarsError) as error:
            _log.warning("the project cannot be read again, pages show it as it was: %s", error)
        finally:
            self._reading.release()

    def _read(self) -> None:
        started = time.monotonic()
        seen = signature(self.workspace.storage)  # before: what changes meanwhile is read the next time
        self._version += 1
        self._latest = Queries(build_index(self.workspace.storage, self.workspace.config), version=self._version)
        self._seen = seen
        ended = time.monotonic()
        with self._lock:
            self._next_look = ended + max(self._look_every_s, REST * (ended - started))
