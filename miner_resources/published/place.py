"""A folder on any filesystem that fsspec knows, written in place.

It holds the files under their final names, `_export.parts/` (the journal) while a publication is under way, and
`_export.json` (the index) when it is whole.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Final

from miner_resources.errors import InvalidData, MinerError, Unavailable
from miner_resources.published.index import INDEX, JOURNAL, Index, Written, check_ours, hashed, index_bytes, read_index

_MAKE_AGAIN: Final = "run the stages 'extract' to 'dataset' again with --force"


class Place:
    """A folder on some filesystem, written in place: the index goes away first and comes back last."""

    def __init__(self, files: Any, root: str, shown: str) -> None:  # noqa: ANN401 (fsspec has no types)
        self.files = files
        self.root = root.rstrip("/")
        self.shown = shown

    def index(self) -> Index | None:
        """The index of the folder that is there, None if there is none or one that is not whole."""
        with self._reaching():
            return read_index(self.files, f"{self.root}/{INDEX}")

    def is_whole(self, index: Index) -> bool:
        """Whether all files are there with their sizes."""
        with self._reaching():
            sizes = self._sizes(self.root)
        return all(sizes.get(one.path) == one.size for one in index.files)

    def claim(self, there: Index | None) -> dict[str, Written]:
        """Make the folder ours; returns what need not be sent again if it stays the same.

        Raises:
            InvalidData: it holds what no publication put there.
        """
        with self._reaching():
            names = self._sizes(self.root)
            check_ours(names, there, self.shown)
            before = {one.path: one for one in there.files} if there else {}
            # The journal is there before anything else is, so that what a killed process leaves is known as ours.
            self._note(list(before.values()))
            if there:
                self.files.rm_file(f"{self.root}/{INDEX}")
            return still_there(before | self._noted(names), names)

    def put(self, path: str, content: bytes | Path, fingerprint: str) -> Written:
        """Send a file."""
        digest, size = self._checked(content, path, fingerprint)
        with self._reaching():
            self._put(f"{self.root}/{path}", content)
        return Written(path, size, digest, fingerprint)

    def put_made(
        self, path: str, write: Callable[[Path], Iterable[int]], fingerprint: str, advance: Callable[[int], None]
    ) -> Written:
        """Make a file, then send it."""
        with tempfile.TemporaryDirectory(prefix="video-miner-") as folder:
            made = Path(folder) / PurePosixPath(path).name
            for items in write(made):
                advance(items)
            digest, size = hashed(made), made.stat().st_size
            with self._reaching():
                self._put(f"{self.root}/{path}", made)
        return Written(path, size, digest, fingerprint)

    def note(self, written: Sequence[Written]) -> None:
        """Write down in the journal what has arrived."""
        with self._reaching():
            self._note(written)

    def finish(self, index: Index) -> None:
        """Remove what does not belong, and publish the index."""
        with self._reaching():
            self._remove_strays(index)
            self.files.pipe_file(f"{self.root}/{INDEX}", index_bytes(index))
            self._remove_journal()

    def _note(self, written: Sequence[Written]) -> None:
        folder = f"{self.root}/{JOURNAL}"
        number = sum(name.startswith(f"{JOURNAL}/") for name in self._sizes(self.root, JOURNAL))
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in written)
        self.files.makedirs(folder, exist_ok=True)
        self.files.pipe_file(f"{folder}/{number:06d}.jsonl", lines.encode())

    def _noted(self, names: Iterable[str]) -> dict[str, Written]:
        noted: dict[str, Written] = {}
        for name in sorted(name for name in names if name.startswith(f"{JOURNAL}/")):
            for line in self.files.cat_file(f"{self.root}/{name}").decode(errors="replace").splitlines():
                try:
                    one = Written(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # the last line of a journal that was being written
                noted[one.path] = one
        return noted

    def _checked(self, content: bytes | Path, path: str, fingerprint: str) -> tuple[str, int]:
        """The sha256 and size of what is to be sent, which is read anyway."""
        if isinstance(content, bytes):
            return hashlib.sha256(content).hexdigest(), len(content)
        try:
            digest, size = hashed(content), content.stat().st_size
        except OSError as error:
            raise unreadable(content, error) from error
        if digest != fingerprint:
            reason = f"{content}, to be {path}, is not the file that the dataset was made with"
            raise InvalidData(reason, remedy=_MAKE_AGAIN)
        return digest, size

    def _put(self, target: str, content: bytes | Path) -> None:
        self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
        if isinstance(content, bytes):
            self.files.pipe_file(target, content)
        else:
            self.files.put_file(str(content), target)

    def _sizes(self, root: str, below: str = "") -> dict[str, int]:
        """Files under `root`, relative to it, with their sizes."""
        start = f"{root}/{below}".rstrip("/")
        self.files.invalidate_cache(start)
        try:
            found = self.files.find(start, detail=True)
        except FileNotFoundError:
            return {}
        prefix = root.rstrip("/") + "/"
        return {name.removeprefix(prefix): int(facts["size"]) for name, facts in found.items()}

    def _remove_strays(self, index: Index) -> None:
        wanted = {one.path for one in index.files}
        for name in self._sizes(self.root):
            if name not in wanted and not name.startswith(f"{JOURNAL}/"):
                self.files.rm_file(f"{self.root}/{name}")

    def _remove_journal(self) -> None:
        if self.files.exists(f"{self.root}/{JOURNAL}"):
            self.files.rm(f"{self.root}/{JOURNAL}", recursive=True)

    @contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except MinerError:
            raise
        except Exception as error:  # every filesystem has errors of its own
            raise Unavailable(
                f"{self.shown} cannot be reached or written: {error or type(error).__name__}",
                remedy="check the address, the permissions and the space, then run again: what has arrived stays",
            ) from error


def still_there(noted: Mapping[str, Written], sizes: Mapping[str, int]) -> dict[str, Written]:
    """Files that were noted and are there with their sizes."""
    return {path: one for path, one in noted.items() if sizes.get(path) == one.size}


def unreadable(file: Path, error: OSError) -> InvalidData:
    """The error for a file that should be sent and cannot be read."""
    return InvalidData(f"{file} cannot be read: {error.strerror}", remedy=_MAKE_AGAIN)
