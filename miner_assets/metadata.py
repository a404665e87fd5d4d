"""What people see of a materialization in the Dagster UI: numbers that plot, tables, pictures."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import dagster as dg

from miner_resources.errors import presentable
from miner_resources.records import Json
from miner_resources.storage import Storage

ADDRESS: Final = "VIDEO_MINER_PICTURES"
"""Environment variable: where the pages of `video-miner explore` are, which also serve pictures."""
DEFAULT_ADDRESS: Final = "http://127.0.0.1:3001"

PICTURES: Final = (".jpg", ".png", ".webp")
PREVIEW_WIDTH: Final = 760
"""Pixels: as wide as the UI's column of values on a laptop; a click opens the whole picture."""

_IN_URLS: Final = ":/?#@!$&'*+,;=%~"
"""All that URLs may hold but brackets, which would end a Markdown link."""

Metadata = dict[str, dg.MetadataValue[Any]]


def metadata_of(metrics: Mapping[str, Json]) -> Metadata:
    """Numbers stay numbers, which Dagster plots over partitions; mappings with rows and columns become tables.

    Rows that have a `url` become a list of links instead, because cells of tables do not link.
    """
    return {key: _value(value) for key, value in metrics.items() if value != {}}


def picture(storage: Storage, path: Path | None) -> Metadata:
    """What a stage gives people to look at, by its path, and if it is a picture as `video-miner dev` serves it."""
    if path is None:
        return {}
    if path.suffix not in PICTURES:
        return {"sample": dg.MetadataValue.path(path)}
    address = _address(quote(storage.relative(path)))
    shown = f"[![{path.stem}]({address}?width={PREVIEW_WIDTH})]({address})"
    return {"sample": dg.MetadataValue.path(path), "preview": dg.MetadataValue.md(shown)}


def explored(page: str = "") -> Metadata:
    """A link to a page of `video-miner explore`, such as `video/bikes`, as `video-miner dev` serves it."""
    return {"explore": dg.MetadataValue.url(_address(page))}


def table(columns: Sequence[str], rows: Sequence[Sequence[Json]]) -> dg.MetadataValue[Any]:
    """A table, which the UI shows unfolded, unlike Markdown."""
    records = [dg.TableRecord({name: _cell(cell) for name, cell in zip(columns, row, strict=True)}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name) for name in columns]))


def _address(path: str) -> str:
    return f"{os.environ.get(ADDRESS) or DEFAULT_ADDRESS}/{path}"


def _value(value: Json) -> dg.MetadataValue[Any]:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    return dg.MetadataValue.text("" if value is None else str(value))


def _of_mapping(value: Mapping[str, Json]) -> dg.MetadataValue[Any]:
    if value and not any(isinstance(each, Mapping | Sequence) and not isinstance(each, str) for each in value.values()):
        return table(("name", "value"), list(value.items()))
    rows = [each for each in value.values() if isinstance(each, Mapping)]
    if rows and len(rows) == len(value) and all("url" in row for row in rows):
        return dg.MetadataValue.md("\n".join(_linked(name, row) for name, row in zip(value, rows, strict=True)))
    if not rows or len(rows) < len(value) or any(row.keys() != rows[0].keys() for row in rows):
        return dg.MetadataValue.json(dict(value))
    return table(("name", *rows[0]), [(name, *row.values()) for name, row in zip(value, rows, strict=True)])


def _linked(name: str, row: Mapping[str, Json]) -> str:
    """A line of a list; links that a browser would not follow from a page are text."""
    words = ", ".join(f"{_plain(key)} {_cell(cell)}" for key, cell in row.items() if key != "url")
    url = str(row["url"])
    opens = url.startswith(("http://", "https://"))
    shown = f"[{_plain(name)}]({quote(url, safe=_IN_URLS)})" if opens else _plain(name)
    return f"- {shown}: {words}"


def _plain(text: str) -> str:
    """Without anything that Markdown or HTML would take for markup."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|&])", r"\\\1", " ".join(presentable(text).split()))


def _cell(value: Json) -> str | int | float | bool:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_cell(each)}" for name, each in value.items())
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else value
    return ", ".join(str(_cell(each)) for each in value)
