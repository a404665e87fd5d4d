"""Parquet artifacts: tables that carry the keys they were made with, so that their rows can be reused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.records import Json
from miner_resources.storage import ArtifactKeys

COMPUTE_KEY: Final = "video_miner.compute_key"
DECISION_KEY: Final = "video_miner.decision_key"
METRICS: Final = "video_miner.metrics"
SCHEMA: Final = "video_miner.schema"
SCHEMA_VERSION: Final = 1
"""Of all our Parquet files. Those of a lower version are made anew by their stage; without a number they are of 1."""


def write_table(
    path: Path,
    table: pl.DataFrame,
    keys: ArtifactKeys,
    *,
    metadata: Mapping[str, str] | None = None,
    metrics: Mapping[str, Json] | None = None,
) -> None:
    """Write a Parquet file that carries its keys. Use it inside `publish_file` or `publish_folder`.

    Args:
        path: where to.
        table: the rows.
        keys: what the rows were made with.
        metadata: more to keep with the file.
        metrics: what the stage counted, for whom the registry does not know it any more; no times and no places, so
            that the same input gives the same bytes.
    """
    stored = {SCHEMA: str(SCHEMA_VERSION), COMPUTE_KEY: keys.compute, DECISION_KEY: keys.decision, **(metadata or {})}
    if metrics is not None:
        stored[METRICS] = json.dumps(metrics, ensure_ascii=False)
    table.write_parquet(path, compression="zstd", metadata=stored)


def read_table(path: Path, schema: pl.Schema | None = None) -> pl.DataFrame:
    """Read a Parquet artifact; with `schema`, check that it has those columns.

    Raises:
        InvalidData: the file is missing, unreadable or has other columns.
    """
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidData(f"cannot read {path}: {error}", remedy="delete it and run that stage again") from error
    if schema is not None and not set(schema) <= set(table.columns):
        missing = ", ".join(sorted(set(schema) - set(table.columns)))
        raise InvalidData(f"{path} lacks the columns {missing}", remedy="delete it and run that stage again")
    return table


def read_metadata(path: Path) -> dict[str, str]:
    """The key-value metadata of a Parquet file; empty if the file is missing or unreadable."""
    try:
        return dict(pl.read_parquet_metadata(path))
    except (OSError, pl.exceptions.PolarsError):
        return {}


def read_keys(path: Path) -> ArtifactKeys | None:
    """The keys a Parquet artifact was made with, None if there is no (readable) artifact of this version.

    Raises:
        InvalidData: a newer Video Miner has written it, so that making it anew would lose what that one knows.
    """
    metadata = read_metadata(path)
    if COMPUTE_KEY not in metadata or DECISION_KEY not in metadata:
        return None
    version = metadata.get(SCHEMA, "1")
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        raise InvalidData(
            f"{path} has schema {version}, this Video Miner knows up to {SCHEMA_VERSION}",
            remedy="update Video Miner; or delete the file and run that stage again",
        )
    if int(version) < SCHEMA_VERSION:
        return None
    return ArtifactKeys(metadata[COMPUTE_KEY], metadata[DECISION_KEY])
