"""How many frames the tables of an MP4 file claim, found without libav.

libav makes room for every sample that a table counts, 24 bytes each, before it looks whether the file holds it: two
kilobytes of header can cost three gigabytes of memory. So the counts are read first. In the tracks of a movie `stsz` or
`stz2` holds the count, in fragments each `trun`.

Reference: ISO/IEC 14496-12, 8.7.3 and 8.8.8.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_PARENTS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_DEEPEST: Final = 6
_MOST_BOXES: Final = 1_000_000


def claimed_samples(path: Path) -> int:
    """The largest count in the tables of one track, or the sum of all fragments if that is larger.

    Sound whose samples last one unit each (PCM) does not count: libav indexes it by chunks.
    """
    largest = fragments = 0
    with path.open("rb") as file:
        for kind, start, end in _boxes(file, 0, path.stat().st_size):
            if kind == b"moov":
                tracks = [(first, last) for name, first, last in _boxes(file, start, end) if name == b"trak"]
                largest = max([largest, *(_of_track(file, *track) for track in tracks)])
            elif kind == b"moof":
                fragments += sum(_word(file, at + 4) for name, at, _ in _all_boxes(file, start, end) if name == b"trun")
    return max(largest, fragments)


def _of_track(file: BinaryIO, start: int, end: int) -> int:
    places: dict[bytes, list[int]] = {}
    for name, at, _ in _all_boxes(file, start, end):
        places.setdefault(name, []).append(at)
    sizes = [*places.get(b"stsz", []), *places.get(b"stz2", [])]
    kinds = {_word(file, at + 8) for at in places.get(b"hdlr", [])[:1]}
    times = [(_word(file, at + 4), _word(file, at + 12)) for at in places.get(b"stts", [])]
    is_pcm = kinds == {int.from_bytes(b"soun", "big")} and times == [(1, 1)]
    return 0 if is_pcm else max((_word(file, at + 8) for at in sizes), default=0)


def _all_boxes(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    for kind, first, last in _boxes(file, start, end):
        yield kind, first, last
        if kind in _PARENTS and depth < _DEEPEST:
            yield from _all_boxes(file, first, last, depth + 1)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where its content starts, where it ends) of the boxes between two places, as far as they make sense."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(16)
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


def _word(file: BinaryIO, place: int) -> int:
    file.seek(place)
    return int.from_bytes(file.read(4), "big")
