"""JSON as the exports write it: compact, sorted, one record a line, the same bytes for the same data."""

import json
from collections.abc import Iterable
from typing import Any


def json_bytes(value: object) -> bytes:
    """One value on one line."""
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def json_lines(records: Iterable[Any]) -> bytes:
    """A JSON Lines file."""
    return b"".join(json_bytes(record) for record in records)
