"""Rows of the registry as typed records, and records as rows: the one place that knows the columns.

Rows are written as one JSON text per statement: DuckDB takes 10,000 of them in 0.1 s, `executemany` takes seconds.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import duckdb

from miner_resources.events import Removal
from miner_resources.records import Json, Stage, StageRecord, Status, Video
from miner_resources.registry.ledger import Ledger
from miner_resources.registry.record_json import to_json, write_json
from miner_resources.registry.records import Keyword, SearchResult

ROWS_PER_STATEMENT: Final = 20_000

_STRUCTURE: Final = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal"


def select_videos(connection: duckdb.DuckDBPyConnection, condition: str = "", *parameters: object) -> list[Video]:
    """Videos in the order in which they were added; `condition` is a WHERE clause with `?` for each parameter."""
    query = f"SELECT * FROM videos {condition} ORDER BY added_at, video_id"  # noqa: S608 - our own conditions
    return [_video(row) for row in _rows(connection, query, parameters)]


def select_stage_records(
    connection: duckdb.DuckDBPyConnection, condition: str = "", *parameters: object
) -> list[StageRecord]:
    """Stage records by video, in the order in which the stages ended."""
    query = f"SELECT * FROM stages {condition} ORDER BY video_id, finished_at, stage"  # noqa: S608 - as above
    return [_stage_record(row) for row in _rows(connection, query, parameters)]


def select_keywords(connection: duckdb.DuckDBPyConnection) -> list[Keyword]:
    """Keywords in the order in which they were added."""
    return [Keyword(**row) for row in _rows(connection, "SELECT * FROM keywords ORDER BY added_at, keyword", ())]


def select_search_results(
    connection: duckdb.DuckDBPyConnection, condition: str = "", *parameters: object
) -> list[SearchResult]:
    """Search results by keyword and rank."""
    query = f"SELECT * FROM search_results {condition} ORDER BY keyword, rank, video_id"  # noqa: S608 - as above
    return [SearchResult(**row) for row in _rows(connection, query, parameters)]


def select_removed(
    connection: duckdb.DuckDBPyConnection, condition: str = "", *parameters: object
) -> dict[str, datetime]:
    """Tombstones: removed video → when."""
    query = f"SELECT * FROM removed_videos {condition} ORDER BY video_id"  # noqa: S608 - as above
    return {row["video_id"]: row["removed_at"] for row in _rows(connection, query, parameters)}


def load_ledger(connection: duckdb.DuckDBPyConnection, ids: Collection[str]) -> Ledger:
    """What the registry knows about these videos."""
    condition = "WHERE video_id IN (SELECT unnest(?::VARCHAR[]))"
    chosen = sorted(ids)
    return Ledger(
        videos={video.video_id: video for video in select_videos(connection, condition, chosen)},
        records={
            (record.video_id, record.stage): record for record in select_stage_records(connection, condition, chosen)
        },
        removed=select_removed(connection, condition, chosen),
    )


def save_ledger(connection: duckdb.DuckDBPyConnection, ledger: Ledger, *, before: Ledger | None = None) -> None:
    """Write what differs from `before`; removed videos lose all their rows."""
    before = before or Ledger()
    videos = [video for key, video in ledger.videos.items() if before.videos.get(key) != video]
    records = [record for key, record in ledger.records.items() if before.records.get(key) != record]
    removed = {key: time for key, time in ledger.removed.items() if before.removed.get(key) != time}
    for table in ("videos", "stages", "search_results"):
        delete_rows(connection, table, removed)
    save(connection, "videos", videos)
    save(connection, "stages", records)
    save(connection, "removed_videos", [Removal(video_id=key, removed_at=time) for key, time in removed.items()])


def save(connection: duckdb.DuckDBPyConnection, table: str, records: Iterable[object]) -> None:
    """Insert records of the table's type, or replace the rows with the same primary key."""
    _insert(connection, table, [to_json(record) for record in records])


def delete_rows(connection: duckdb.DuckDBPyConnection, table: str, ids: Iterable[str]) -> None:
    """Delete the rows of these videos."""
    chosen = list(ids)
    if chosen:
        query = f"DELETE FROM {table} WHERE video_id IN (SELECT unnest(?::VARCHAR[]))"  # noqa: S608 - our own names
        connection.execute(query, [chosen])


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[dict[str, Json]]) -> None:
    if not rows:
        return
    columns = dict(connection.execute(_STRUCTURE, [table]).fetchall())
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        chunk = cast("list[Json]", list(rows[start : start + ROWS_PER_STATEMENT]))
        query = f"INSERT OR REPLACE INTO {table} BY NAME SELECT unnest(from_json(?, ?), recursive := true)"
        connection.execute(query, [write_json(chunk).decode(), json.dumps([columns])])


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object]) -> Iterator[dict[str, Any]]:
    """Rows by column name; the columns are those of the records, which `schema.sql` mirrors."""
    result = connection.execute(query, list(parameters))
    names = [column[0] for column in result.description or ()]
    for row in result.fetchall():
        yield {name: _utc(value) for name, value in zip(names, row, strict=True)}


def _video(row: dict[str, Any]) -> Video:
    row["status"] = Status(row["status"])
    return Video(**row)


def _stage_record(row: dict[str, Any]) -> StageRecord:
    row["stage"] = Stage(row["stage"])
    row["metrics"] = json.loads(row["metrics"]) if row["metrics"] else {}
    return StageRecord(**row)


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
