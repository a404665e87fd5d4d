"""Squashing to a square without smoothing: each pixel is sampled from its four nearest, however much is shrunk.

RF-DETR's processor class asks for it (`antialias=False`), unlike all others.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from miner_resources.models.preprocess import Square


@dataclass(frozen=True, kw_only=True)
class Sampled(Square):
    """To a square of one size, with the aliasing that the model was tuned for."""

    def interpolate(self, tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Within one level of the same in floating point; the same tensor if it has that size already."""
        if tuple(tensor.shape[2:]) == (height, width):
            return tensor
        return F.interpolate(tensor, size=(height, width), mode=self.mode, antialias=False)
