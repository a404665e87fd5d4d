"""Resizing to a grid of patches: the picture keeps its shape, and has as many patches as a budget allows.

Reference: arXiv:2502.14786, section 2.4.2 (NaFlex). Size and order of the patches are those of transformers'
`Siglip2ImageProcessor`, whose checkpoints were scored with them.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F

from miner_resources.models.preprocess import Preprocess, Settings, mean_and_std, resample

_PATCH: Final = 16
_MOST: Final = 256
"""Patches; for checkpoints that leave these two to their processor class."""
_PRECISION: Final = 1e-5
_SMALLEST: Final = _PRECISION / 10
_LARGEST: Final = 100.0
"""Of the scale that is searched for; they decide whether a grid has one column more or less."""


@dataclass(frozen=True, kw_only=True)
class Patches(Preprocess):
    """To whole patches, in the shape of the picture as far as they allow.

    Attributes:
        patch: side of a patch in pixels.
        most: how many patches a picture may have.
    """

    patch: int
    most: int

    @property
    def pixels(self) -> int:
        """Of all patches."""
        return self.most * self.patch * self.patch

    def accepts(self, height: int, width: int) -> bool:
        """Whether it is a grid of whole patches, and not too many."""
        rows, columns = height / self.patch, width / self.patch
        return rows.is_integer() and columns.is_integer() and 1 <= rows * columns <= self.most

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for a picture of that size, at least one of each.

        The largest scale at which both sides, rounded up to whole patches, stay within the budget.
        """
        low, high = _SMALLEST, _LARGEST
        while high - low >= _PRECISION:
            scale = (low + high) / 2
            rows, columns = self._scaled(height, scale), self._scaled(width, scale)
            low, high = (scale, high) if rows * columns <= self.most else (low, scale)
        return self._scaled(height, low), self._scaled(width, low)

    def patches(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut pictures of one shape into patches, and fill up with empty ones.

        Args:
            pixels: (N, 3, H, W), normalized.

        Returns:
            (N, most, patch · patch · 3), row by row, and (N, most) int32, 1 for patches of the picture.
        """
        count, channels, height, width = pixels.shape
        rows, columns = height // self.patch, width // self.patch
        cut = pixels.reshape(count, channels, rows, self.patch, columns, self.patch).permute(0, 2, 4, 3, 5, 1)
        missing = self.most - rows * columns
        mask = torch.ones((count, rows * columns), dtype=torch.int32, device=pixels.device)
        return F.pad(cut.reshape(count, rows * columns, -1), (0, 0, 0, missing)), F.pad(mask, (0, missing))

    def _scaled(self, side: int, scale: float) -> int:
        return math.ceil(side * scale / self.patch)

    def _resized(self, tensor: torch.Tensor) -> torch.Tensor:
        rows, columns = self.grid(*tensor.shape[2:])
        return self.interpolate(tensor, rows * self.patch, columns * self.patch)


def patches(values: Settings) -> Patches:
    """As `patch_size` and `max_num_patches` of preprocessor_config.json say."""
    patch, most = int(values.get("patch_size", _PATCH)), int(values.get("max_num_patches", _MOST))
    if patch < 1 or most < 1:
        raise ValueError(f"there are no {most} patches of {patch} pixels")
    mean, std = mean_and_std(values)
    return Patches(
        patch=patch,
        most=most,
        mode=resample(values, "bilinear"),
        mean=mean,
        std=std,
    )
