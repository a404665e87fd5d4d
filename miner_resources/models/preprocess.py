"""From a picture to a model's input, without torchvision: one resize for all families.

torch's antialiased uint8 resize on channels-last memory is within one level of what PIL does when it shrinks (which
the models were trained with) and an order of magnitude faster. Both passes round to uint8, the horizontal one first;
Pillow 13 began to take the cheaper one first, which in noisy portrait pictures changes single pixels by a few levels.
It runs per frame in loader threads; scaling to the model's mean and standard deviation happens per batch on the device,
so that a quarter of the bytes are moved.

To add a way of resizing: a subclass of `Preprocess`, and a function that makes it from a checkpoint's settings.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from miner_resources.errors import InvalidData
from miner_resources.models.checkpoints import PREPROCESSING
from miner_resources.models.pictures import check_picture
from miner_resources.records import Rgb

SQUASH: Final = "squash"
CROP: Final = "crop"
PAD: Final = "pad"

_MODES: Final = {2: "bilinear", 3: "bicubic"}
"""PIL's resampling numbers in preprocessor_config.json."""
_GREY: Final = 128

P = TypeVar("P", bound="Preprocess")


@dataclass(frozen=True, kw_only=True)
class Preprocess(ABC):
    """How one model wants its pictures.

    Attributes:
        mode: "bilinear" or "bicubic".
        mean: per channel, of values in 0..1.
        std: per channel.
    """

    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    @abstractmethod
    def pixels(self) -> int:
        """The most pixels that a picture has afterwards; batch sizes follow it."""

    @abstractmethod
    def accepts(self, height: int, width: int) -> bool:
        """Whether `resize` could have made a picture of that size."""

    @abstractmethod
    def _resized(self, tensor: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) uint8 to the size that the model wants."""

    def resize(self, rgb: Rgb) -> Rgb:
        """(H, W, 3) of any size to what the model wants; safe to call from several threads.

        Raises:
            InvalidData: the array is not (H, W, 3) uint8, or has no pixels.
        """
        check_picture(rgb)
        # A channels-last view of the HWC array: no copy, and the fast kernel needs this layout.
        tensor = torch.from_numpy(_writable(rgb))[None].permute(0, 3, 1, 2)
        small = self._resized(tensor)
        pixels = small[0].permute(1, 2, 0).contiguous().numpy()
        return pixels.copy() if small is tensor else pixels

    def normalize(self, batch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(N, H, W, 3) uint8 on the device to (N, 3, H, W) of `dtype`, computed in float32."""
        values = batch.permute(0, 3, 1, 2).float()
        scale = torch.tensor([1 / (255 * std) for std in self.std], device=batch.device)
        shift = torch.tensor([-mean / std for mean, std in zip(self.mean, self.std, strict=True)], device=batch.device)
        return values.mul_(scale.view(1, -1, 1, 1)).add_(shift.view(1, -1, 1, 1)).to(dtype)

    def interpolate(self, tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Antialiased; the same tensor if it has that size already."""
        if tuple(tensor.shape[2:]) == (height, width):
            return tensor
        return F.interpolate(tensor, size=(height, width), mode=self.mode, antialias=True)


@dataclass(frozen=True, kw_only=True)
class Square(Preprocess):
    """To a square of one size.

    Attributes:
        size: side in pixels.
        resize_to: "squash" to a square; "pad" with grey at the right and bottom; or "crop": shrink the shorter side to
            `shorter` and take the middle.
        shorter: pixels, for "crop".
    """

    size: int
    resize_to: str = SQUASH
    shorter: int = 0

    @property
    def pixels(self) -> int:
        """Of the square."""
        return self.size * self.size

    def accepts(self, height: int, width: int) -> bool:
        """Whether it is the square."""
        return (height, width) == (self.size, self.size)

    def _resized(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.resize_to == CROP:
            return self._middle(tensor)
        if self.resize_to == PAD and tensor.shape[2] != tensor.shape[3]:
            tensor = self._long_side_then_pad(tensor)
        return self.interpolate(tensor, self.size, self.size)

    def _middle(self, tensor: torch.Tensor) -> torch.Tensor:
        height, width = tensor.shape[2:]
        short = min(height, width)
        # Of a strip only the middle is resized: 20000x1 pixels would grow to 20000 times the shorter side.
        longest = short * 64
        top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
        tensor = tensor[:, :, top : top + longest, left : left + longest]
        tall, wide = (int(self.shorter * side / short) for side in tensor.shape[2:])
        small = self.interpolate(tensor, tall, wide)
        top, left = (tall - self.size) // 2, (wide - self.size) // 2
        return small[:, :, top : top + self.size, left : left + self.size]

    def _long_side_then_pad(self, tensor: torch.Tensor) -> torch.Tensor:
        """Shrink the long side, then pad the short one to the long one's old length.

        The same as padding to a full square first, without that square: it would take 768 MB for 16000x1 pixels.
        Bit for bit for wide pictures; for tall ones the order of the two passes differs, which costs one level at most
        (bilinear).
        """
        height, width = tensor.shape[2:]
        wide = width > height
        strip = self.interpolate(tensor, height, self.size) if wide else self.interpolate(tensor, self.size, width)
        missing = abs(width - height)
        return F.pad(strip, (0, 0, 0, missing) if wide else (0, missing, 0, 0), value=_GREY)


Settings = dict[str, Any]
"""What a checkpoint's preprocessor_config.json says."""


def read_preprocess(folder: Path, build: Callable[[Settings], P]) -> P:
    """Make a `Preprocess` of `preprocessor_config.json` (or the newer `processor_config.json`) of a checkpoint.

    Args:
        folder: the checkpoint.
        build: what makes it from the settings.

    Raises:
        InvalidData: there is no such file, it lacks something, or it asks for what `build` does not do.
    """
    path = next((folder / name for name in PREPROCESSING if (folder / name).exists()), folder / PREPROCESSING[0])
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return build(content.get("image_processor", content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData(
            f"{path} does not say how to prepare pictures: {type(error).__name__} {error}",
            remedy="take a checkpoint that has the preprocessor_config.json of its model",
        ) from error


def square(values: Settings, resize_to: str) -> Square:
    """A square input, for checkpoints of square size.

    A checkpoint that shrinks the shorter side and crops the middle (DINOv2) is squashed to its crop size unless "crop"
    is asked for: the crop would see only 43 % of a 16:9 frame, and two frames that differ at the edge would count as
    duplicates.
    """
    size = _side(values)
    shorter = size
    if values.get("do_center_crop") and "shortest_edge" in values["size"]:
        shorter = max(size, int(values["size"]["shortest_edge"]))
    mean, std = mean_and_std(values)
    # Some checkpoints leave this to their processor class: bilinear where it pads (OWLv2), else bicubic.
    return Square(
        size=size,
        resize_to=resize_to,
        shorter=shorter if resize_to == CROP else 0,
        mode=resample(values, "bilinear" if resize_to == PAD else "bicubic"),
        mean=mean,
        std=std,
    )


def resample(values: Settings, default: str) -> str:
    """The way of resampling, "bilinear" or "bicubic"."""
    return _MODES[int(values["resample"])] if values.get("resample") is not None else default


def mean_and_std(values: Settings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, of values in 0..1."""
    if not math.isclose(values.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3):
        raise ValueError(f"rescale_factor is {values['rescale_factor']}, not 1/255")
    if values.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    mean, std = tuple(map(float, values["image_mean"])), tuple(map(float, values["image_std"]))
    if len(mean) != 3 or len(std) != 3:
        raise ValueError("image_mean and image_std need three numbers each")
    return mean, std


def _side(values: Settings) -> int:
    size: Any = values["crop_size"] if values.get("do_center_crop") and values.get("crop_size") else values["size"]
    if isinstance(size, int):
        return size
    height, width = (size["height"], size["width"]) if "height" in size else (size["shortest_edge"],) * 2
    if height != width:
        raise ValueError(f"the input is not square: {size}")
    return int(height)


def _writable(rgb: Rgb) -> Rgb:
    """A view that torch may write to, as it wants it; a copy only if the array is read-only or not contiguous."""
    contiguous = np.ascontiguousarray(rgb)
    return contiguous if contiguous.flags.writeable else contiguous.copy()
