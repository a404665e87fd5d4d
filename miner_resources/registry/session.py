"""One use of the registry: lock, open, fold, close; what every method of `Catalog` stands on."""

import logging
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

import duckdb

from miner_resources.events import Event, pending, publish, settle
from miner_resources.registry.database import DamagedRegistry, RegistryDatabase, transaction
from miner_resources.registry.rebuild import rebuild_registry
from miner_resources.registry.records import RebuildReport
from miner_resources.registry.rows import load_ledger, save_ledger
from miner_resources.storage import Storage

_log = logging.getLogger(__name__)


class CatalogSession:
    """Opens the registry of one output folder and keeps it in step with the events.

    Args:
        storage: the output folder.
        timeout_s: how long to wait for other processes before `RegistryBusy`.
    """

    def __init__(self, storage: Storage, *, timeout_s: float) -> None:
        self.storage = storage
        self._database = RegistryDatabase(storage, timeout_s=timeout_s)

    def rebuild(self) -> RebuildReport:
        """See `Catalog.rebuild`."""
        with self._database.lock():
            report = rebuild_registry(self._database)
            with self._database.connection() as connection:
                self.fold(connection)
        return report

    def rewrite(self) -> None:
        """See `Catalog.rewrite`."""
        with self._database.lock():
            if self.storage.registry.exists():
                self._database.rewrite()

    def say(self, connection: duckdb.DuckDBPyConnection, events: Sequence[Event]) -> None:
        """Publish events and take them over at once; a kill in between leaves them to the next fold."""
        for event in events:
            publish(self.storage, event)
        if events:
            self.fold(connection)

    def fold(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Take over all pending events in one transaction, then settle them; returns how many there were."""
        spooled = pending(self.storage)
        if not spooled:
            return 0
        before = load_ledger(connection, {item.event.video_id for item in spooled})
        after = before.copy()
        for item in spooled:
            after.apply(item.event)
        with transaction(connection):
            save_ledger(connection, after, before=before)
        settle(self.storage, spooled)
        return len(spooled)

    @contextmanager
    def open(self, *, read_only: bool = False) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """A connection behind the lock; a registry that is missing or broken is made first, from what there is."""
        with self._database.lock(), ExitStack() as stack:
            if not self.storage.registry.exists():
                self._make_again()
            try:
                connection = stack.enter_context(self._database.connection(read_only=read_only))
            except DamagedRegistry as error:
                if not error.bytes_are_broken:
                    raise
                _log.warning("%s: it is set aside and made again from the artifacts", error.message)
                self._make_again()
                connection = stack.enter_context(self._database.connection(read_only=read_only))
            yield connection

    def _make_again(self) -> None:
        for problem in rebuild_registry(self._database).problems:
            _log.warning("making a new registry: %s", problem)

    @contextmanager
    def reading(self) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """A connection that cannot write. Events that are still pending are not seen."""
        with self.open(read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """A connection whose registry is up to date, so that what is written now counts as the latest."""
        with self.open() as connection:
            self.fold(connection)
            yield connection
