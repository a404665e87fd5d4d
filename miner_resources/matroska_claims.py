"""How large the header of a Matroska or WebM file is, found without libav.

libav reads everything but the clusters, which hold pictures and sound, when it opens a file: attachments such as fonts
three times over, and small elements such as tags in thirty times the memory that they have in the file.

Reference: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from miner_resources.mp4_claims import Unclear

MAX_HEADER_BYTES: Final = 32_000_000
"""Without attachments. An index of a day has two."""

MAX_ATTACHED_BYTES: Final = 100_000_000

_SEGMENT: Final = 0x18538067
_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_POSITION: Final = 0x53AC
_ATTACHMENTS: Final = 0x1941A469
_READ: Final = frozenset({_SEEK_HEAD, _ATTACHMENTS, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1254C367})
"""And facts, tracks, index, chapters, tags."""

_MOST_ELEMENTS: Final = 10_000_000
_MOST_HEAD: Final = 12


def check_header(path: Path) -> None:
    """Refuse a file whose header libav should not read.

    Raises:
        Unclear: it is too large, or has more elements than anybody needs.
    """
    with path.open("rb") as file:
        reader = _Reader(file)
        for kind, start, end in reader.elements(0, path.stat().st_size):
            if kind == _SEGMENT:
                reader.check_segment(start, end)
                return


class _Reader:
    """Walks over elements, as many as `_MOST_ELEMENTS` in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_ELEMENTS

    def check_segment(self, start: int, end: int) -> None:
        """Add up what lies in the segment, and what its tables of contents name, wherever that is."""
        sizes = Counter[bool]()
        seen, todo = set[int](), [start]
        while todo:
            for kind, first, last in self.elements(todo.pop(), end):
                if kind not in _READ:
                    continue
                if first in seen:
                    break
                seen.add(first)
                sizes[kind == _ATTACHMENTS] += last - first
                if kind == _SEEK_HEAD:
                    todo += self._named(first, last, start)
        if sizes[False] > MAX_HEADER_BYTES:
            raise Unclear(f"its header has more than {MAX_HEADER_BYTES:,} bytes")
        if sizes[True] > MAX_ATTACHED_BYTES:
            raise Unclear(f"its attachments have more than {MAX_ATTACHED_BYTES:,} bytes")

    def elements(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(id, where its content starts, where it ends) of the elements between two places, while they make sense.

        Of an element that does not say its size the content comes as if it stood beside it.
        """
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise Unclear(f"it has more than {_MOST_ELEMENTS:,} elements")
            self._file.seek(start)
            head = self._file.read(_MOST_HEAD)
            kind, id_length = _number(head, keep_marker=True)
            size, size_length = _number(head[id_length:], keep_marker=False)
            if not id_length or not size_length:
                return
            first = start + id_length + size_length
            if size == (1 << 7 * size_length) - 1:  # not known
                size = end - first if kind == _SEGMENT else 0
            start = min(first + size, end)
            yield kind, first, start

    def _named(self, start: int, end: int, segment: int) -> Iterator[int]:
        for kind, first, last in self.elements(start, end):
            for inner, at, until in self.elements(first, last) if kind == _SEEK else ():
                if inner == _SEEK_POSITION:
                    self._file.seek(at)
                    yield segment + int.from_bytes(self._file.read(min(until - at, 8)), "big")


def _number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """A number of variable length and its length, 0 if there is none."""
    length = 9 - data[0].bit_length() if data and data[0] else 0
    if not length or len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length
