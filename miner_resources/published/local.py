"""A local folder: it grows beside its place, is made of hard links where it can be, and gets its name by a rename."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from miner_resources.published.index import INDEX, Index, Written, check_ours, foreign, hashed, index_bytes, read_index
from miner_resources.published.place import Place, still_there, unreadable
from miner_resources.storage import link


class LocalPlace(Place):
    """A local folder: it grows beside `target` and replaces it by a rename."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.partial = target.with_name(f".{target.name}.partial")
        super().__init__(LocalFileSystem(), str(self.partial), str(target))

    def index(self) -> Index | None:
        """The index at the final place."""
        return read_index(self.files, f"{self.target}/{INDEX}")

    def is_whole(self, index: Index) -> bool:
        """Whether all files are at the final place with their sizes."""
        with self._reaching():
            sizes = self._sizes(str(self.target))
        return all(sizes.get(one.path) == one.size for one in index.files)

    def claim(self, there: Index | None) -> dict[str, Written]:
        """Leave the folder that is there alone until the new one is whole."""
        with self._reaching():
            if self.target.exists() and not self.target.is_dir():
                raise foreign(self.shown, "it is a file")
            check_ours(self._sizes(str(self.target)), there, self.shown)
            self.partial.mkdir(parents=True, exist_ok=True)
            whole = read_index(self.files, f"{self.root}/{INDEX}")
            sizes = self._sizes(self.root)
            noted = {one.path: one for one in whole.files} if whole else {}
            return still_there(noted | self._noted(sizes), sizes)

    def put_made(
        self, path: str, write: Callable[[Path], Iterable[int]], fingerprint: str, advance: Callable[[int], None]
    ) -> Written:
        """Make a file where it belongs."""
        made = self.partial / path
        with self._reaching():
            made.parent.mkdir(parents=True, exist_ok=True)
            made.unlink(missing_ok=True)
        for items in write(made):
            advance(items)
        return Written(path, made.stat().st_size, hashed(made), fingerprint)

    def finish(self, index: Index) -> None:
        """Swap the folders."""
        with self._reaching():
            self._remove_journal()
            (self.partial / INDEX).unlink(missing_ok=True)
            self._remove_strays(index)
            (self.partial / INDEX).write_bytes(index_bytes(index))
            old = self.target.with_name(f".{self.target.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            if self.target.exists():
                self.target.rename(old)
            self.partial.rename(self.target)
            shutil.rmtree(old, ignore_errors=True)

    def _checked(self, content: bytes | Path, path: str, fingerprint: str) -> tuple[str, int]:
        """As for any place, but a file that is only linked is not read."""
        if isinstance(content, bytes):
            return super()._checked(content, path, fingerprint)
        try:
            return fingerprint, content.stat().st_size
        except OSError as error:
            raise unreadable(content, error) from error

    def _put(self, target: str, content: bytes | Path) -> None:
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            link(content, path)
