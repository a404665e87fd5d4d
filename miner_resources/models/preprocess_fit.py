"""Resizing that keeps the aspect ratio: the shorter side to a length, unless the longer one would get too long.

The rule and its rounding are those of transformers' `get_size_with_aspect_ratio`, which DETR and its kin were trained
with. Strips are the exception: that rule gives 1x20000 pixels a height of 0.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch

from miner_resources.models.preprocess import Preprocess, Settings, mean_and_std, resample

STRIDE: Final = 8
"""Pixels per place of the finest feature map of such detectors."""
_LONGEST: Final = 1333
"""Of checkpoints that name the shorter side only: what their processor class assumes."""


@dataclass(frozen=True, kw_only=True)
class Fit(Preprocess):
    """To a size within bounds.

    Attributes:
        shortest: of the shorter side in pixels, where `longest` allows it.
        longest: of the longer side in pixels.
        thinnest: a strip whose shorter side would get thinner is stretched to `thinnest` x `longest`.
    """

    shortest: int
    longest: int
    thinnest: int = 1

    @property
    def pixels(self) -> int:
        """Of the largest picture, but for a row that `sides` may leave on it."""
        return self.shortest * self.longest

    def accepts(self, height: int, width: int) -> bool:
        """Whether it would be left as it is, or has lost a pixel of its length to truncation."""
        short, long = sorted((height, width))
        cut = long == self.longest - 1 and self.thinnest <= short <= self.shortest
        return cut or self.sides(height, width) == (height, width)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture gets.

        One whose shorter side is right already keeps the longer one, which may miss `longest` by some pixels.
        """
        short, long = sorted((height, width))
        limited = long / short * self.shortest > self.longest
        exact = self.longest * short / long if limited else self.shortest
        thickness = round(exact)
        if thickness < self.thinnest:
            thickness, length = self.thinnest, self.longest
        else:
            length = long if thickness == short else int(exact * long / short)
        return (length, thickness) if height > width else (thickness, length)

    def _resized(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.interpolate(tensor, *self.sides(*tensor.shape[2:]))


def fit(values: Settings, places: int) -> Fit:
    """Keeping the aspect ratio, as `size` says: {"shortest_edge", "longest_edge"}, or a number with `max_size`.

    Args:
        values: of preprocessor_config.json.
        places: how many places of a feature map the model picks its candidates from; it fails on pictures with fewer.
    """
    size: Any = values["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size}
    longest = int(size.get("longest_edge") or values.get("max_size") or _LONGEST)
    shortest = min(int(size["shortest_edge"]), longest)
    mean, std = mean_and_std(values)
    return Fit(
        shortest=shortest,
        longest=longest,
        thinnest=min(shortest, math.ceil(places * STRIDE**2 / longest)),
        mode=resample(values, "bilinear"),
        mean=mean,
        std=std,
    )
