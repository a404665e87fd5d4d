"""Is this the same picture, encoded another way? 256 bits that survive another encoder, size or quality.

A difference hash: the picture's luma on 17 × 16 places, one bit for each place that is clearly darker than the next one
to its right. "Clearly" keeps plain surfaces, where only the encoder's noise differs, from flipping bits.
"""

import io
from typing import Final

import numpy as np
from PIL import Image

SIDE: Final = 16
CLEARLY: Final = 2
"""Luma levels of 255."""

SIMILAR_BITS: Final = 20
"""Of 256. The same frame from another encode differs in 0 to 8 (measured on the test videos), other frames in more."""


def difference_hash(picture: bytes) -> str:
    """64 hex digits for the bytes of a picture file.

    Raises:
        ValueError: they are no picture.
    """
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            # JPEG is decoded at a fraction of its size, which is all that is needed.
            opened.draft("L", (8 * SIDE, 8 * SIDE))
            small = opened.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    luma = np.asarray(small, np.int16)
    return np.packbits(luma[:, 1:] - luma[:, :-1] > CLEARLY).tobytes().hex()


def differing_bits(one: str, other: str) -> int:
    """How many of the 256 bits of two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
