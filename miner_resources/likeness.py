"""Is this the same picture, encoded another way? 256 bytes that tell without keeping the picture.

A thumbnail is the picture's luma, averaged over 16 × 16 places. Two are compared by their mean absolute difference. On
107 frames of real videos encoded again at two thirds of the size (H.264, CRF 30) it was 1.2 levels of 255 at the median
and 2.5 at most; frames 45 later differed by 22 at the median. Difference hashes of 64 to 256 bits overlapped far more.
"""

from typing import Final

import numpy as np
from PIL import Image

from miner_resources.images import open_picture

SIDE: Final = 16
SAME_PICTURE: Final = 4.0
"""Thumbnails that differ by at most so many levels are of the same picture, as far as can be told."""


def thumbnail(picture: bytes) -> bytes:
    """`SIDE` × `SIDE` levels of luma, row by row, of a picture file.

    Raises:
        ValueError: it is no picture.
    """
    with open_picture(picture) as opened:
        # JPEG is decoded at a fraction of its size, which is all that is needed.
        opened.draft("L", (8 * SIDE, 8 * SIDE))
        return opened.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def difference(one: bytes, other: bytes) -> float:
    """Mean absolute difference of two thumbnails in levels, 0 to 255."""
    first, second = (np.frombuffer(data, np.uint8).astype(np.int16) for data in (one, other))
    return float(np.abs(first - second).mean())
