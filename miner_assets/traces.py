"""Finding a video in everything a project has written: what a takedown is proven with.

Looks at the names of all files and at their content: Parquet through its columns and metadata, the registry by query,
everything else (JSON, SQLite, YAML, logs) byte by byte. Pictures and videos are judged by their names.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from miner_resources.registry.database import RegistryDatabase
from miner_resources.storage import Storage
from miner_resources.tables import read_metadata

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".mp4", ".webm", ".mkv", ".mov", ".ts", ".avi"})
SHORTEST: Final = 8
"""Letters of a title, or of an id, below which it is not looked for inside of texts: it may be any word."""
REMOVED: Final = "removed-video"
"""What stands in texts that are kept in the place of the video that they named."""


@dataclass(frozen=True)
class Marks:
    """What tells that a text is about one of these videos.

    Attributes:
        ids: video ids; found where no other letter of an id is next to them.
        urls: addresses and paths.
        titles: looked for only in texts that also hold an id or a URL, as many a title is an everyday word.
    """

    ids: tuple[str, ...]
    urls: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()

    def found_in(self, text: str) -> bool:
        """Whether the text names one of the videos."""
        return text in self.ids or bool(self._named.search(text))

    def without(self, text: str) -> str:
        """The text with `REMOVED` in the place of ids, URLs and titles, if it names one of the videos."""
        return self._all.sub(REMOVED, text) if self.found_in(text) else text

    @cached_property
    def _named(self) -> re.Pattern[str]:
        return re.compile("|".join([*self._url_patterns, *self._id_patterns]) or "(?!)")

    @cached_property
    def _all(self) -> re.Pattern[str]:
        titles = [re.escape(form) for title in self.titles if len(title) >= SHORTEST for form in _escaped(title)]
        return re.compile("|".join([*self._url_patterns, *titles, *self._id_patterns]) or "(?!)")

    @property
    def _url_patterns(self) -> list[str]:
        forms = sorted({form for url in self.urls for form in _escaped(url)}, key=len, reverse=True)
        return [re.escape(form) + r"(?![A-Za-z0-9_-])" for form in forms]

    @property
    def _id_patterns(self) -> list[str]:
        # Pictures are called {id}__frame_{number}.
        after = r"(?=__frame_|[^A-Za-z0-9_-]|$)"
        return [rf"(?<![A-Za-z0-9_-]){re.escape(name)}{after}" for name in self.ids if len(name) >= SHORTEST]


def find_traces(storage: Storage, marks: Marks, *, below: Path | None = None) -> list[str]:
    """Files under the output folder (or `below` it) that still name one of the videos, by path.

    The registry's tombstones, the removal log and the list of unfinished takedowns are no traces.
    """
    top = below or storage.root
    paths = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
    found = [path for path in paths if not _may_name(storage, path) and _is_trace(storage, path, marks)]
    return [storage.relative(path) for path in found]


def _may_name(storage: Storage, path: Path) -> bool:
    tombstones = storage.events / "folded" / "removed"
    return path in (storage.removals, storage.pending_removals) or tombstones in path.parents


def _is_trace(storage: Storage, path: Path, marks: Marks) -> bool:
    if marks.found_in(storage.relative(path)):
        return True
    if path.suffix.lower() in PICTURES:
        return False
    if path == storage.registry:
        return any(marks.found_in(text) for text in _registry_texts(storage))
    if path.suffix == ".parquet":
        return any(marks.found_in(text) for text in _parquet_texts(path))
    return _in_bytes(path, marks)


def _in_bytes(path: Path, marks: Marks) -> bool:
    return marks.found_in(path.read_bytes().decode("utf-8", "replace"))


def _parquet_texts(path: Path) -> Iterator[str]:
    yield from read_metadata(path).values()
    schema = pl.read_parquet_schema(path)
    columns = [name for name, kind in schema.items() if kind in (pl.String(), pl.List(pl.String))]
    for column in columns:
        series = pl.read_parquet(path, columns=[column])[column]
        values = series.explode() if series.dtype == pl.List(pl.String) else series
        yield from (str(value) for value in values.drop_nulls().unique())


def _registry_texts(storage: Storage) -> list[str]:
    """Every value of every row of every table but the tombstones."""
    texts: list[str] = []
    database = RegistryDatabase(storage)
    with database.lock(), database.connection(read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        for table in sorted(set(tables) - {"removed_videos"}):
            rows = connection.execute(f'FROM "{table}"').fetchall()
            texts += [str(value) for row in rows for value in row if value is not None]
    return texts


def _escaped(text: str) -> Sequence[str]:
    """The text as it may be written: plain, in JSON, in JSON inside of JSON."""
    forms = [text]
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        forms += [once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]]
    return list(dict.fromkeys(forms))
