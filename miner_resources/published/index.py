"""The index of a published folder: which files it is made of, and that it is whole."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from miner_resources.errors import InvalidData
from miner_resources.records import Json

INDEX: Final = "_export.json"
JOURNAL: Final = "_export.parts"
LEFT_BY_READERS: Final = (".cache",)
"""Suffixes of files that readers put into a folder; they are about the old files and go with them."""


@dataclass(frozen=True)
class Written:
    """A file that has arrived; see `publishing.Entry` for the fingerprint."""

    path: str
    size: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True)
class Index:
    """What a whole folder says about itself; see `publishing.Label`."""

    kind: str
    key: str
    facts: Mapping[str, Json]
    files: tuple[Written, ...]


def read_index(files: Any, path: str) -> Index | None:  # noqa: ANN401 (fsspec has no types)
    """The index at a path, None if there is none or only a part."""
    try:
        found = json.loads(files.cat_file(path))
        written = tuple(Written(**{"fingerprint": one["sha256"], **one}) for one in found["files"])
        return Index(found["kind"], found["key"], found["facts"], written)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def index_bytes(index: Index) -> bytes:
    """The index as a file: one line for each file, the same bytes for the same folder."""
    files = [
        {key: value for key, value in asdict(one).items() if key != "fingerprint" or value != one.sha256}
        for one in index.files
    ]
    head = json.dumps({"kind": index.kind, "key": index.key, "facts": index.facts}, sort_keys=True)[:-1]
    return (head + ', "files": [\n' + ",\n".join(json.dumps(one, sort_keys=True) for one in files) + "\n]}\n").encode()


def check_ours(names: Iterable[str], there: Index | None, shown: str) -> None:
    """Refuse to replace what is not ours.

    Args:
        names: files that are there.
        there: their index, None if they are not whole.
        shown: the place for messages.

    Raises:
        InvalidData: a file is not of a publication.
    """
    known = {one.path for one in there.files} | {INDEX} if there else set[str]()
    journal = [name for name in names if name.startswith(f"{JOURNAL}/")]
    strange = [
        name for name in names if name not in known and name not in journal and not name.endswith(LEFT_BY_READERS)
    ]
    if strange and (there or not journal):
        raise foreign(shown, f"it holds {sorted(strange)[0]}, which no export put there")


def foreign(shown: str, why: str) -> InvalidData:
    """The error for a place that holds something else."""
    return InvalidData(f"{shown} is not replaced: {why}", remedy="name an empty or new folder, or move that away")


def hashed(path: Path) -> str:
    """sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
