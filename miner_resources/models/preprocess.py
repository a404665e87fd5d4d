"""From a picture to a model's input, without torchvision: one resize for all families.

torch's antialiased uint8 resize on channels-last memory is within one level of PIL's (which the models were trained
with) and an order of magnitude faster. It runs per frame in loader threads; scaling to the model's mean and standard
deviation happens per batch on the device, so that a quarter of the bytes are moved.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from miner_resources.errors import InvalidData
from miner_resources.records import Rgb

PREPROCESS_VERSION: Final = 1
"""Part of compute keys: raise it when the same picture would give other input."""

_MODES: Final = {2: "bilinear", 3: "bicubic"}
"""PIL's resampling numbers in preprocessor_config.json."""
_GREY: Final = 128
_DEFAULT_MEAN: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocess:
    """How one model wants its pictures.

    Attributes:
        size: side of the square input in pixels.
        pad: fill up to a square with grey at the right and bottom before resizing; else squash to a square.
        mode: "bilinear" or "bicubic".
        mean: per channel, of values in 0..1.
        std: per channel.
    """

    size: int
    pad: bool
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def resize(self, rgb: Rgb) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of any size to (S, S, 3)."""
        picture = _padded(rgb) if self.pad else rgb
        if picture.shape[:2] == (self.size, self.size):
            return np.ascontiguousarray(picture)
        # A channels-last view of the HWC array: no copy, and the fast kernel needs this layout.
        tensor = torch.from_numpy(_writable(picture))[None].permute(0, 3, 1, 2)
        small = F.interpolate(tensor, size=(self.size, self.size), mode=self.mode, antialias=True)
        return small[0].permute(1, 2, 0).contiguous().numpy()

    def normalize(self, batch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(N, S, S, 3) uint8 on the device to (N, 3, S, S) of `dtype`, computed in float32."""
        values = batch.permute(0, 3, 1, 2).float()
        mean = torch.tensor(self.mean, device=batch.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=batch.device).view(1, -1, 1, 1)
        return ((values / 255 - mean) / std).to(dtype)


def read_preprocess(folder: Path, *, pad: bool = False) -> Preprocess:
    """Read `preprocessor_config.json` of a checkpoint.

    A checkpoint that resizes the shorter side and crops the middle (DINOv2) is squashed to its crop size instead: the
    crop would see only 43 % of a 16:9 frame, and two frames that differ at the edge would count as duplicates.

    Raises:
        InvalidData: the file is missing or lacks the size.
    """
    path = folder / "preprocessor_config.json"
    if not path.exists():
        path = folder / "processor_config.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values = values.get("image_processor", values)
        size = _side(values)
        mode = _MODES[int(values.get("resample", 3))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidData(
            f"{path} does not say how to prepare pictures: {error}", remedy="take a complete checkpoint"
        ) from error
    mean, std = values.get("image_mean", _DEFAULT_MEAN), values.get("image_std", _DEFAULT_MEAN)
    return Preprocess(size, pad, mode, tuple(mean), tuple(std))


def _side(values: dict[str, Any]) -> int:
    cropped = values.get("do_center_crop") and values.get("crop_size")
    size: Any = values["crop_size"] if cropped else values["size"]
    if isinstance(size, int):
        return size
    return int(size["height"] if "height" in size else size["shortest_edge"])


def _padded(rgb: Rgb) -> Rgb:
    height, width = rgb.shape[:2]
    if height == width:
        return rgb
    square = np.full((max(height, width), max(height, width), 3), _GREY, np.uint8)
    square[:height, :width] = rgb
    return square


def _writable(rgb: Rgb) -> Rgb:
    """A view that torch may write to, as it wants it; a copy only if the array is read-only."""
    contiguous = np.ascontiguousarray(rgb)
    return contiguous if contiguous.flags.writeable else contiguous.copy()
