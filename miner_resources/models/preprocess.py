"""From a picture to a model's input, without torchvision: one resize for all families.

torch's antialiased uint8 resize on channels-last memory is within one level of what PIL does when it shrinks (which
the models were trained with) and an order of magnitude faster. Both passes round to uint8, the horizontal one first;
Pillow 13 began to take the cheaper one first, which in noisy portrait pictures changes single pixels by a few levels.
It runs per frame in loader threads; scaling to the model's mean and standard deviation happens per batch on the device,
so that a quarter of the bytes are moved.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from miner_resources.errors import InvalidData
from miner_resources.records import Rgb

PREPROCESSING: Final = ("preprocessor_config.json", "processor_config.json")
"""Where checkpoints keep these settings; the first that exists counts."""

_MODES: Final = {2: "bilinear", 3: "bicubic"}
"""PIL's resampling numbers in preprocessor_config.json."""
_GREY: Final = 128


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
        """(H, W, 3) of any size to (S, S, 3); safe to call from several threads.

        Raises:
            InvalidData: the array is not (H, W, 3) uint8, or has no pixels.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
            raise InvalidData(
                f"a picture must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}", remedy="report this bug"
            )
        # A channels-last view of the HWC array: no copy, and the fast kernel needs this layout.
        tensor = torch.from_numpy(_writable(rgb))[None].permute(0, 3, 1, 2)
        if self.pad and rgb.shape[0] != rgb.shape[1]:
            tensor = self._long_side_then_pad(tensor)
        small = self._interpolate(tensor, self.size, self.size)
        pixels = small[0].permute(1, 2, 0).contiguous().numpy()
        return pixels.copy() if small is tensor else pixels

    def normalize(self, batch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(N, S, S, 3) uint8 on the device to (N, 3, S, S) of `dtype`, computed in float32."""
        values = batch.permute(0, 3, 1, 2).float()
        scale = torch.tensor([1 / (255 * std) for std in self.std], device=batch.device)
        shift = torch.tensor([-mean / std for mean, std in zip(self.mean, self.std, strict=True)], device=batch.device)
        return values.mul_(scale.view(1, -1, 1, 1)).add_(shift.view(1, -1, 1, 1)).to(dtype)

    def _long_side_then_pad(self, tensor: torch.Tensor) -> torch.Tensor:
        """Shrink the long side, then pad the short one to the long one's old length.

        The same as padding to a full square first, without that square: it would take 768 MB for 16000x1 pixels.
        Bit for bit for wide pictures; for tall ones the order of the two passes differs, which costs one level at most
        (bilinear).
        """
        height, width = tensor.shape[2:]
        wide = width > height
        strip = self._interpolate(tensor, height, self.size) if wide else self._interpolate(tensor, self.size, width)
        missing = abs(width - height)
        return F.pad(strip, (0, 0, 0, missing) if wide else (0, missing, 0, 0), value=_GREY)

    def _interpolate(self, tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:
        if tuple(tensor.shape[2:]) == (height, width):
            return tensor
        return F.interpolate(tensor, size=(height, width), mode=self.mode, antialias=True)


def read_preprocess(folder: Path, *, pad: bool = False) -> Preprocess:
    """Read `preprocessor_config.json` (or the newer `processor_config.json`) of a checkpoint.

    A checkpoint that resizes the shorter side and crops the middle (DINOv2) is squashed to its crop size instead: the
    crop would see only 43 % of a 16:9 frame, and two frames that differ at the edge would count as duplicates.

    Args:
        folder: the checkpoint.
        pad: what its family does with pictures that are not square.

    Raises:
        InvalidData: there is no such file, it lacks something, or it asks for what this module does not do.
    """
    path = next((folder / name for name in PREPROCESSING if (folder / name).exists()), folder / PREPROCESSING[0])
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = content.get("image_processor", content)
        # Some checkpoints leave this to their processor class: bilinear where it pads (OWLv2), else bicubic.
        mode = _MODES[int(values.get("resample", 2 if pad else 3))]
        preprocess = Preprocess(_side(values), pad, mode, *_mean_and_std(values))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData(
            f"{path} does not say how to prepare pictures: {type(error).__name__} {error}",
            remedy="take a checkpoint that has the preprocessor_config.json of its model",
        ) from error
    return preprocess


def _side(values: dict[str, Any]) -> int:
    size: Any = values["crop_size"] if values.get("do_center_crop") and values.get("crop_size") else values["size"]
    if isinstance(size, int):
        return size
    height, width = (size["height"], size["width"]) if "height" in size else (size["shortest_edge"],) * 2
    if height != width:
        raise ValueError(f"the input is not square: {size}")
    return int(height)


def _mean_and_std(values: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not math.isclose(values.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3):
        raise ValueError(f"rescale_factor is {values['rescale_factor']}, not 1/255")
    if values.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    mean, std = tuple(map(float, values["image_mean"])), tuple(map(float, values["image_std"]))
    if len(mean) != 3 or len(std) != 3:
        raise ValueError("image_mean and image_std need three numbers each")
    return mean, std


def _writable(rgb: Rgb) -> Rgb:
    """A view that torch may write to, as it wants it; a copy only if the array is read-only or not contiguous."""
    contiguous = np.ascontiguousarray(rgb)
    return contiguous if contiguous.flags.writeable else contiguous.copy()
