"""Small pictures, made when they are first asked for and kept in memory as long as there is room."""

import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from PIL import Image

from miner_resources.errors import InvalidData
from miner_resources.images import MAX_PIXELS, open_picture

WIDTHS: Final = (160, 320, 640, 1280)
CACHE_BYTES: Final = 128 * 1024 * 1024
"""Some 10,000 thumbnails of usual width."""
TALLEST: Final = 2
"""Times the width, of thumbnails."""
_QUALITY: Final = 82


class Thumbnails:
    """A cache of JPEG files by path, version and width; the least recently wanted go first.

    Args:
        limit_bytes: of all together.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, path: Path, width: int) -> bytes:
        """The picture at most `width` px wide, as JPEG.

        Raises:
            InvalidData: it cannot be read.
        """
        try:
            key = (path, path.stat().st_mtime_ns, width)
        except OSError as error:
            raise InvalidData(f"{path} cannot be read: {error}", remedy="run the stage 'extract' again") from error
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = shrink(path, width, width * TALLEST)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._size += len(made)
            while self._size > self._limit and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made


def shrink(path: Path, width: int, height: int = MAX_PIXELS) -> bytes:
    """A picture file as a JPEG of at most these px; large JPEG files are decoded at a fraction of their size.

    Raises:
        InvalidData: the file is missing, damaged, no picture, or too large.
    """
    try:
        with open_picture(path) as picture:
            scale = min(1.0, width / picture.width, height / picture.height)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture.draft("RGB", size)
            small = picture.convert("RGB")
            small.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=_QUALITY, optimize=False)
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path} cannot be read: {error}", remedy="run the stage 'extract' again") from error
    return buffer.getvalue()
