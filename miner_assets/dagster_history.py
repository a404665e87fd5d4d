"""Taking videos out of Dagster's own files: partitions, events, tags, logs.

Dagster has no call for it: its SQL storages cannot wipe single partitions. In a local home (SQLite files) rows about a
video's partition are deleted, and texts about many videos lose its name only; other videos keep their history.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from miner_assets.traces import Marks
from miner_resources.errors import Unavailable

BUSY_S: Final = 30.0
_SQLITE: Final = b"SQLite format 3\0"


def is_local(home: Path) -> bool:
    """Whether the history is in files of that folder, and not in another database."""
    return (home / "history" / "runs.db").exists()


def forget_videos(home: Path, marks: Marks) -> int:
    """Take the videos out of every file of a Dagster home; returns how many files have changed.

    Raises:
        Unavailable: another process holds a database for too long.
    """
    changed = 0
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        if path.name.endswith(("-wal", "-shm", "-journal")):
            continue  # part of a database, emptied with it
        changed += _forget_in_database(path, marks) if _is_database(path) else _forget_in_text(path, marks)
    return changed


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _forget_in_text(path: Path, marks: Marks) -> bool:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    cleaned = marks.without(text)
    if cleaned != text:
        path.write_bytes(cleaned.encode("utf-8", "surrogateescape"))
    return cleaned != text


def _forget_in_database(path: Path, marks: Marks) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.create_function("names", 1, marks.found_in, deterministic=True)
            connection.create_function("cleaned", 1, marks.without, deterministic=True)
            connection.execute("BEGIN IMMEDIATE")
            count = sum(_forget_in_column(connection, table, column, marks) for table, column in _texts(connection))
            connection.execute("COMMIT")
            if count or marks.found_in(path.read_bytes().decode("utf-8", "replace")):
                # Deleted rows stay in free pages until the file is written anew.
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return bool(count)
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"{path} cannot be changed: {error}",
            remedy="stop `video-miner dev` and all runs, then run the same command again: it goes on from here",
        ) from error


def _forget_in_column(connection: sqlite3.Connection, table: str, column: str, marks: Marks) -> int:
    """Delete rows whose column is a video's id; clean the others that name it. Returns the number of rows."""
    places = ",".join("?" * len(marks.ids))
    gone = connection.execute(f"DELETE FROM {table} WHERE {column} IN ({places})", marks.ids)  # noqa: S608
    where = f"typeof({column}) = 'text' AND names({column})"
    cleaned = connection.execute(f"UPDATE OR REPLACE {table} SET {column} = cleaned({column}) WHERE {where}")  # noqa: S608
    return gone.rowcount + cleaned.rowcount


def _texts(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Quoted names of all tables and their columns."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    for (table,) in tables.fetchall():
        for row in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            yield f'"{table}"', f'"{row[1]}"'
