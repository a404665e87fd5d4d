"""The registry's views over the Parquet files: `frames`, `scores`, `embeddings`, `detections`, `unique_frames`.

A DuckDB view cannot be made over files that do not exist yet, so each view is either an empty table with the right
columns or that plus all files. `views_state` says which; the registry makes the views again when it changes. Paths are
absolute, so that any program can open `registry.duckdb` from any folder.
"""

import json
import logging
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from miner_resources.records import (
    DETECTIONS_SCHEMA,
    FRAMES_SCHEMA,
    SCORES_SCHEMA,
    UNIQUE_FRAMES_SCHEMA,
    embeddings_schema,
)
from miner_resources.storage import Storage

_log = logging.getLogger(__name__)

VIEWS: Final[dict[str, pl.Schema]] = {
    "frames": FRAMES_SCHEMA,
    "scores": SCORES_SCHEMA,
    "embeddings": embeddings_schema(1),
    "detections": DETECTIONS_SCHEMA,
    "unique_frames": UNIQUE_FRAMES_SCHEMA,
}

_TYPES: Final[dict[object, str]] = {
    pl.String: "VARCHAR",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Float64: "DOUBLE",
    pl.Float32: "FLOAT",
    pl.Boolean: "BOOLEAN",
}


def view_files(storage: Storage) -> dict[str, tuple[Path, str]]:
    """View → (folder, pattern below it) of the files it reads."""
    # The id stands for any: `Storage` alone knows how paths are built, and `*` is no letter of an id.
    any_id = "any-id"
    paths = {
        "frames": storage.frames_table(any_id),
        "scores": storage.scores_table(any_id),
        "embeddings": storage.embeddings_table(any_id),
        "detections": storage.detections_table(any_id),
        "unique_frames": storage.unique_table,
    }
    split: dict[str, tuple[Path, str]] = {}
    for name, path in paths.items():
        folder, *rest = path.relative_to(storage.root).parts
        split[name] = (storage.root / folder, "/".join(rest).replace(any_id, "*"))
    return split


def views_state(storage: Storage) -> str:
    """Text that changes when the views must be made again: the folder moved, or a view got its first file."""
    filled = [name for name, (folder, pattern) in view_files(storage).items() if any(folder.glob(pattern))]
    return json.dumps([str(storage.root), filled])


def make_views(connection: duckdb.DuckDBPyConnection, storage: Storage) -> bool:
    """Make all views as the files are now.

    Returns:
        Whether every view could be made; one whose files cannot be read is left empty, with a warning.
    """
    complete = True
    for name, (folder, pattern) in view_files(storage).items():
        source = _quoted(_escaped(str(folder)) + "/" + pattern) if any(folder.glob(pattern)) else None
        try:
            connection.execute(_view(name, source))
        except duckdb.Error as error:
            _log.warning("the view %s stays empty, a file below %s cannot be read: %s", name, folder, error)
            connection.execute(_view(name, None))
            complete = False
    return complete


def _view(name: str, source: str | None) -> str:
    columns = ", ".join(f"NULL::{_type(dtype)} AS {column}" for column, dtype in VIEWS[name].items())
    empty = f"SELECT {columns} WHERE false"
    if source is None:
        return f"CREATE OR REPLACE VIEW {name} AS {empty}"
    files = f"FROM read_parquet({source}, union_by_name := true, hive_partitioning := false)"
    return f"CREATE OR REPLACE VIEW {name} AS {empty} UNION ALL BY NAME {files}"


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, (pl.List, pl.Array)):
        return f"{_TYPES[dtype.inner]}[]"
    return _TYPES[dtype]


def _escaped(path: str) -> str:
    """`path` as a pattern that matches only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
