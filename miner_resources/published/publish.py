"""A folder of files that appears whole, on this machine or at any URL that fsspec knows.

What is under way keeps a journal of the files that have arrived; the index `_export.json` is written last. So a reader
that looks for the index never takes half a folder for a whole one, a publication that was stopped goes on where it was,
and a later one sends only what has changed. Locally the folder also appears by one rename. `place.py` and `local.py`
know how the two kinds of places are written.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from miner_resources.errors import InvalidData
from miner_resources.published.index import Index, Written
from miner_resources.published.place import Place
from miner_resources.published.places import open_place, place_at
from miner_resources.records import Json

Write = Callable[[Path], Iterable[int]]
"""Writes one file; yields how many items (pictures) it is further, now and then."""

Advance = Callable[[int], None]

WORKERS: Final = 8
_WINDOW: Final = 64
_NOTED_TOGETHER: Final = 500
_NOTED_BYTES: Final = 64_000_000
"""A kill costs at most so many files, or a little more than so many bytes."""


@dataclass(frozen=True)
class Entry:
    """One file of the folder.

    Attributes:
        path: where in the folder, with forward slashes.
        content: the bytes, a file that is linked or copied as it is, or what writes it.
        fingerprint: changes when the content would; for a file its sha256.
        items: how many items the file stands for in the progress.
    """

    path: str
    content: bytes | Path | Write
    fingerprint: str
    items: int = 0

    def __post_init__(self) -> None:
        """Stay inside the folder; raises InvalidData."""
        if "\\" in self.path or {"", ".", ".."} & set(self.path.split("/")):
            raise InvalidData(f"{self.path!r} is no name inside an export", remedy="rename the split or the picture")

    @classmethod
    def of_bytes(cls, path: str, content: bytes) -> "Entry":
        """A small file."""
        return cls(path, content, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Label:
    """What a folder is.

    Attributes:
        kind: the format.
        key: changes when any file would. Equal: nothing is to be done.
        facts: for people who open the index.
    """

    kind: str
    key: str
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])


def publish(url: str, entries: Iterable[Entry], label: Label, advance: Advance) -> Index:
    """Make `url` the folder of these files.

    What an earlier publication left there is replaced as a whole.

    Args:
        url: a local path, or a URL such as `s3://bucket/folder`.
        entries: made while they are sent; not touched if all is there already.
        label: what they are together.
        advance: hears of items that are done.

    Raises:
        InvalidData: something else is at that place, or a file is not what its fingerprint says.
        NotConfigured: no filesystem for that URL is installed.
        Unavailable: the place cannot be reached or written; what has arrived stays, and another call goes on.
    """
    with open_place(url) as place:
        there = place.index()
        if there and (there.kind, there.key) == (label.kind, label.key) and place.is_whole(there):
            return there
        before = place.claim(there)
        written = sorted(_send(place, entries, before, advance), key=lambda one: one.path)
        index = Index(label.kind, label.key, dict(label.facts), tuple(written))
        place.finish(index)
        return index


def is_published(url: str, kind: str, key: str) -> bool:
    """Whether that folder is there and up to date."""
    there = place_at(url).index()
    return there is not None and (there.kind, there.key) == (kind, key)


def _send(place: Place, entries: Iterable[Entry], before: Mapping[str, Written], advance: Advance) -> list[Written]:
    journal = _Journal(place)
    try:
        for written, is_new in _put_all(place, entries, before, advance):
            journal.add(written, is_new=is_new)
    finally:
        journal.flush()
    return journal.written


def _put_all(
    place: Place, entries: Iterable[Entry], before: Mapping[str, Written], advance: Advance
) -> Iterator[tuple[Written, bool]]:
    """Files travel several at a time; what must be made is made one after the other, as it can be large."""
    waiting: deque[tuple[int, Future[Written]]] = deque()

    def arrived() -> Written:
        items, future = waiting.popleft()
        written = future.result()
        advance(items)
        return written

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="publish") as pool:
        try:
            for entry in entries:
                old = before.get(entry.path)
                if old and old.fingerprint == entry.fingerprint:
                    advance(entry.items)
                    yield old, False
                elif isinstance(entry.content, bytes | Path):
                    sent = pool.submit(place.put, entry.path, entry.content, entry.fingerprint)
                    waiting.append((entry.items, sent))
                else:
                    yield place.put_made(entry.path, entry.content, entry.fingerprint, advance), True
                while len(waiting) > _WINDOW:
                    yield arrived(), True
            while waiting:
                yield arrived(), True
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Journal:
    """Notes now and then what has arrived."""

    def __init__(self, place: Place) -> None:
        self.written: list[Written] = []
        self._place = place
        self._new: list[Written] = []

    def add(self, written: Written, *, is_new: bool) -> None:
        self.written.append(written)
        if is_new:
            self._new.append(written)
        if len(self._new) >= _NOTED_TOGETHER or sum(one.size for one in self._new) >= _NOTED_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._new:
            self._place.note(self._new)
            self._new = []
