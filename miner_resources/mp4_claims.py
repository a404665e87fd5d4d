"""How many frames the header of an MP4 file claims, found without libav.

libav makes room for every sample that a table counts, 24 bytes each, before it looks whether the file holds it: two
kilobytes of header can cost three gigabytes of memory. So the counts are read first. In the tracks of a movie `stsz` or
`stz2` holds the count, in fragments each `trun`; each edit (`elst`) may show all samples of its track once more.

libav takes boxes wherever they are, so that what is asked here is not where a box should be but where libav would find
it: anything may hold boxes. Where that is not clear (after the fields of an `stsd` entry) their names are searched for.

Reference: ISO/IEC 14496-12, 8.6.6, 8.7.3 and 8.8.8.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

MAX_HEADER_BYTES: Final = 256_000_000
"""Of all boxes without pictures or sound. Five million frames need half of it; libav keeps up to four times as much."""

_WITHOUT_BOXES: Final = frozenset({b"mdat", b"free", b"skip", b"ftyp"})
_SEARCHED: Final = frozenset({b"stsd", b"meta"})
_COUNTS: Final = (b"stsz", b"stz2", b"trun", b"elst", b"stts", b"hdlr", b"cmov")
_SOUND: Final = frozenset({b"soun", b"alis", b"url "})
_DEEPEST: Final = 12
"""libav itself gives up at ten."""
_MOST_BOXES: Final = 2_000_000

Places = defaultdict[bytes, list[int]]


class Unclear(ValueError):
    """What a header claims cannot be told: it is compressed, huge, or has more boxes than anybody needs."""


class Claims(NamedTuple):
    """How many samples a header promises, each as often as edits may show it.

    Sound whose samples last one unit each (PCM) does not count: libav indexes it by chunks.

    Attributes:
        largest: of one track, or of all fragments together if that is more.
        total: of all.
    """

    largest: int
    total: int


def claimed_samples(path: Path) -> Claims:
    """What the header of an MP4 file, or of one of its relatives, claims.

    Raises:
        Unclear: it is of no kind that could be counted; the message says why.
    """
    tracks, fragments, header = [0], 0, 0
    with path.open("rb") as file:
        reader = _Reader(file)
        for kind, start, end in reader.boxes(0, path.stat().st_size):
            if kind in _WITHOUT_BOXES:
                continue
            header += end - start
            if header > MAX_HEADER_BYTES:
                raise Unclear(f"its header has more than {MAX_HEADER_BYTES:,} bytes")
            parts = reader.boxes(start, end) if kind == b"moov" else [(kind, start, end)]
            for part in parts:
                places = reader.places(*part)
                tracks.append(_samples(file, places))
                fragments += sum(_word(file, at + 4) for at in places[b"trun"])
    return Claims(max(*tracks, fragments), sum(tracks) + fragments)


class _Reader:
    """Walks over boxes, as many as `_MOST_BOXES` in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_BOXES

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """(kind, where its content starts, where it ends) of the boxes between two places, while they make sense."""
        while start + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise Unclear(f"it has more than {_MOST_BOXES:,} boxes")
            self._file.seek(start)
            head = self._file.read(16)
            if len(head) < 8:
                return
            size, kind = struct.unpack(">I4s", head[:8])
            header = 8
            if size == 1 and len(head) == 16:  # the real size follows as 64 bits
                size, header = int.from_bytes(head[8:], "big"), 16
            size = size or end - start
            if size < header:
                return
            yield kind, start + header, min(start + size, end)
            start += size

    def places(self, kind: bytes, start: int, end: int) -> Places:
        """Where the contents of boxes that count something begin, this one and all in it."""
        found: Places = defaultdict(list)
        self._collect(found, (kind, start, end), 0)
        return found

    def _collect(self, found: Places, box: tuple[bytes, int, int], depth: int) -> None:
        kind, start, end = box
        if kind in _COUNTS:
            found[kind].append(start)
        elif kind in _SEARCHED:
            self._search(found, start, end)
        elif depth < _DEEPEST:
            for inner in self.boxes(start, end):
                self._collect(found, inner, depth + 1)

    def _search(self, found: Places, start: int, end: int) -> None:
        self._file.seek(start)
        data = self._file.read(end - start)
        for kind in _COUNTS:
            at = data.find(kind)
            while at >= 0:
                found[kind].append(start + at + 4)
                at = data.find(kind, at + 1)


def _samples(file: BinaryIO, places: Places) -> int:
    if places[b"cmov"]:
        raise Unclear("its header is compressed")
    if _is_pcm(file, places):
        return 0
    edits = sum(_word(file, at + 4) for at in places[b"elst"])
    return max(1, edits) * sum(_word(file, at + 8) for at in places[b"stsz"] + places[b"stz2"])


def _is_pcm(file: BinaryIO, places: Places) -> bool:
    kinds = {_bytes(file, at + 8) for at in places[b"hdlr"]}
    times = {(_word(file, at + 4), _word(file, at + 12)) for at in places[b"stts"]}
    return b"soun" in kinds and kinds <= _SOUND and times == {(1, 1)}


def _bytes(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(4)


def _word(file: BinaryIO, place: int) -> int:
    return int.from_bytes(_bytes(file, place), "big")
