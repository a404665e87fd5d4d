"""The registry file and its lock: how `registry.duckdb` is opened, and nothing about what is in it.

DuckDB 2.0 loses acknowledged commits when processes race to open one file, readers included. So every open is behind
one `flock` on a file beside it, held from before the connection until after its close; transactions are short. A
kernel lock dies with its process, so nothing has to be cleaned up after a kill.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import duckdb

from miner_resources.errors import InvalidData, NotConfigured, RegistryBusy
from miner_resources.locks import LockBusy, file_lock, pause
from miner_resources.registry.views import make_views, views_state
from miner_resources.storage import Storage

SCHEMA_VERSION: Final = 2

_SCHEMA = Path(__file__).with_name("schema.sql")
_SIGNS_OF_DAMAGE = ("not a valid DuckDB database file", "Corrupt database file", "does not match stored checksum")
_REBUILD = "run `video-miner registry rebuild`: it makes the registry again from the artifacts"


class DamagedRegistry(InvalidData):
    """The registry cannot be read; it can be rebuilt."""

    bytes_are_broken: bool = False
    """Whether DuckDB says that the file itself is broken, as against one that may not be opened or is not ours."""


class RegistryDatabase:
    """Opens the registry of one output folder, one process and thread at a time.

    Args:
        storage: the output folder.
        timeout_s: how long to wait for others.
    """

    def __init__(self, storage: Storage, *, timeout_s: float = 60.0) -> None:
        self.storage = storage
        self._timeout_s = timeout_s

    @contextmanager
    def lock(self) -> Generator[None, None, None]:
        """Hold the lock of the registry; it cannot be taken twice.

        Raises:
            RegistryBusy: others held it for longer than the timeout.
            NotConfigured: the path has a `?`, after which DuckDB looks for options: it would put its log elsewhere.
        """
        if "?" in str(self.storage.registry):
            raise NotConfigured(
                f"output_dir {self.storage.root} has a '?' in its path, where DuckDB cannot open a file",
                remedy="choose or rename a folder so that its path has no '?'",
            )
        path = self.storage.registry.with_name(f"{self.storage.registry.name}.lock")
        try:
            with file_lock(path, timeout_s=self._timeout_s):
                yield
        except LockBusy as error:
            raise RegistryBusy(
                f"the registry lock {path} was held by others for {self._timeout_s:g} s",
                remedy="wait for the other run to finish its writes, or stop it, then try again",
            ) from error

    @contextmanager
    def connection(self, *, read_only: bool = False) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """A connection to the existing registry, with its views up to date. Hold `lock` around it.

        Raises:
            DamagedRegistry: the file is no registry, or a broken one.
            InvalidData: it was made by a newer version.
            RegistryBusy: a program that does not know our lock (a DuckDB shell, a notebook) has it open.
        """
        connection = self._connect(read_only=read_only)
        try:
            version, views = _meta(connection)
            self._check_version(version)
            state = views_state(self.storage)
            if views != state or version < SCHEMA_VERSION:
                if read_only:
                    connection.close()
                    connection = self._connect(read_only=False)
                _migrate(connection, version)
                _refresh_views(connection, self.storage, state)
            yield connection
        except duckdb.Error as error:
            self._fail(error)
        finally:
            connection.close()

    @contextmanager
    def create(self) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """A connection to a new registry, which replaces the present one when the block ends. Hold `lock` around it."""
        with self.storage.publish_file(self.storage.registry) as temporary:
            with duckdb.connect(temporary) as connection:
                connection.execute(_SCHEMA.read_text(encoding="utf-8"))
                connection.execute("INSERT INTO meta (schema_version) VALUES (?)", [SCHEMA_VERSION])
                _refresh_views(connection, self.storage, views_state(self.storage))
                yield connection
            # The log of the file that is about to be replaced must never be replayed into the new one.
            self.storage.registry.with_name(f"{self.storage.registry.name}.wal").unlink(missing_ok=True)

    def rewrite(self) -> None:
        """Copy every row into a new file, which replaces the present one. Hold `lock` around it.

        Raises:
            DamagedRegistry: the file is no registry, or a broken one.
        """
        with self.connection():
            pass  # brings an older schema up to date, and closes with nothing left in the log
        old = str(self.storage.registry).replace("'", "''")
        with self.create() as connection:
            connection.execute(f"ATTACH '{old}' AS old (READ_ONLY)")
            named = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'old' AND table_name <> 'meta'"
            for (table,) in connection.execute(named).fetchall():
                connection.execute(f'INSERT INTO "{table}" BY NAME FROM old."{table}"')
            connection.execute("DETACH old")

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return duckdb.connect(self.storage.registry, read_only=read_only)
            except duckdb.IOException as error:
                if "Could not set lock" not in str(error):
                    self._fail(error)
                if time.monotonic() > deadline:
                    raise RegistryBusy(
                        f"another program has {self.storage.registry} open: {error}",
                        remedy="close it there: while a DuckDB shell or notebook is connected, nobody else can write",
                    ) from error
            except duckdb.Error as error:
                self._fail(error)
            pause()

    def _check_version(self, version: int) -> None:
        if version > SCHEMA_VERSION:
            raise InvalidData(
                f"{self.storage.registry} has schema {version}, this version of Video Miner knows {SCHEMA_VERSION}",
                remedy="update Video Miner, or give this version another output_dir",
            )

    def _fail(self, error: duckdb.Error) -> NoReturn:
        reason = str(error).split("\n", 1)[0]
        damaged = DamagedRegistry(f"{self.storage.registry} cannot be used: {reason}", remedy=_REBUILD)
        damaged.bytes_are_broken = any(sign in str(error) for sign in _SIGNS_OF_DAMAGE)
        raise damaged from error


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Generator[None, None, None]:
    """Commit what the block does, or nothing of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _meta(connection: duckdb.DuckDBPyConnection) -> tuple[int, str | None]:
    row = connection.execute("SELECT schema_version, views FROM meta").fetchone()
    if row is None:
        raise duckdb.DataError("the table meta is empty")
    return row[0], row[1]


def _migrate(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Bring a registry of an older version up to date, all or nothing."""
    with transaction(connection):
        for number in range(version + 1, SCHEMA_VERSION + 1):
            connection.execute(_SCHEMA.with_name("migrations").joinpath(f"{number}.sql").read_text(encoding="utf-8"))
            connection.execute("UPDATE meta SET schema_version = ?", [number])


def _refresh_views(connection: duckdb.DuckDBPyConnection, storage: Storage, state: str) -> None:
    complete = make_views(connection, storage)
    connection.execute("UPDATE meta SET views = ?", [state if complete else None])
