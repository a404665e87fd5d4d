"""What all adapters demand of the pictures that they are given."""

import numpy as np

from miner_resources.errors import InvalidData
from miner_resources.records import Rgb


def is_picture(rgb: Rgb) -> bool:
    """Whether an array is (H, W, 3) uint8 with pixels."""
    return rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8 and rgb.size > 0


def check_picture(rgb: Rgb) -> None:
    """Refuse what `prepare` cannot take.

    Raises:
        InvalidData: the array is not (H, W, 3) uint8, or has no pixels.
    """
    if not is_picture(rgb):
        raise InvalidData(f"a picture must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}", remedy="report this bug")


def check_prepared(rgb: Rgb, name: str, *, fits: bool) -> None:
    """Refuse what `prepare` of the model `name` would not have made.

    Args:
        rgb: the array.
        name: of the model, for the message.
        fits: whether a picture of that size could have come from it.

    Raises:
        InvalidData: it does not fit, or is no picture at all.
    """
    if not (fits and is_picture(rgb)):
        raise InvalidData(
            f"{name} takes uint8 pictures as it prepares them, got {rgb.shape} {rgb.dtype}",
            remedy="call prepare() on each picture first",
        )
