"""The table `pools`: one row of JSON for each site that the governor keeps a line for."""

import json
from dataclasses import asdict

import duckdb

from miner_resources.pacing import Pool, Ticket


def load_pools(connection: duckdb.DuckDBPyConnection) -> dict[str, Pool]:
    """All sites by name."""
    rows = connection.execute("SELECT pool, state FROM pools ORDER BY pool").fetchall()
    return {name: _parse(state) for name, state in rows}


def load_pool(connection: duckdb.DuckDBPyConnection, name: str) -> Pool:
    """One site; a new one if nothing is known about it."""
    row = connection.execute("SELECT state FROM pools WHERE pool = ?", [name]).fetchone()
    return Pool() if row is None else _parse(row[0])


def save_pool(connection: duckdb.DuckDBPyConnection, name: str, pool: Pool) -> None:
    """Insert or replace one site."""
    connection.execute("INSERT OR REPLACE INTO pools VALUES (?, ?)", [name, json.dumps(asdict(pool))])


def _parse(state: str) -> Pool:
    values = json.loads(state)
    line = tuple(Ticket(**ticket) for ticket in values.pop("line"))
    return Pool(**values, line=line)
