"""What all adapters share: device and number format, fixed-size batches, and what to do when memory runs out."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from miner_resources.errors import NotConfigured
from miner_resources.models.adapter import Batch

SMALL_INPUT: Final = 128
CPU_BATCH: Final = 8
CPU_BATCH_SMALL: Final = 32
GPU_BATCH_MAX: Final = 256
BYTES_PER_PIXEL: Final = 600
"""Activations of a ViT-L in half precision per input pixel, with room to spare."""


def choose_device(setting: str) -> str:
    """The device to compute on; `auto` is the first GPU, else the CPU.

    Raises:
        NotConfigured: a GPU was asked for that is not there. The device is never changed in silence.
    """
    if setting == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    wanted = torch.device(setting)
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            raise NotConfigured(
                f"device {setting} is not there: torch sees {count} CUDA devices",
                remedy="set device: auto or cpu, or install a driver and a torch build that fit the GPU",
            )
        return f"cuda:{wanted.index or 0}"
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise NotConfigured("device mps is not there", remedy="set device: auto or cpu")
    return setting


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """The number format of weights; `auto`: float32 off CUDA, bfloat16 from Ampere on, float16 before."""
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16


def choose_batch_size(setting: object, input_size: int, device: str) -> int:
    """Pictures per forward pass: as set, or by device, its memory and the input size."""
    if isinstance(setting, int):
        return setting
    if not device.startswith("cuda"):
        return CPU_BATCH_SMALL if input_size <= SMALL_INPUT else CPU_BATCH
    total = torch.cuda.get_device_properties(device).total_memory
    fitting = total // 2 // (input_size * input_size * BYTES_PER_PIXEL)
    return 2 ** (max(1, min(GPU_BATCH_MAX, fitting)).bit_length() - 1)


class FixedBatches:
    """Runs a forward pass on batches that all have the same size.

    Short batches are padded, because kernels round differently for different shapes: this way the result of a picture
    does not depend on how many others came along, so a resumed run gives the same bytes. When memory runs out the size
    is halved, for good.
    """

    def __init__(self, device: str, size: int, model_name: str) -> None:
        self.device = device
        self.size = size
        self._name = model_name

    @torch.inference_mode()
    def run(
        self, images: Batch, forward: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    ) -> list[npt.NDArray[np.float32]]:
        """Compute all pictures.

        Args:
            images: (N, S, S, 3), N ≥ 1.
            forward: takes (size, S, S, 3) uint8 on the device; returns tensors of `size` rows.

        Returns:
            for each tensor that `forward` returns, its N rows in float32.

        Raises:
            NotConfigured: not even one picture fits into memory.
        """
        parts: list[list[npt.NDArray[np.float32]]] = []
        start = 0
        while start < len(images):
            outputs = self._try(images[start : start + self.size], forward)
            if outputs is None:
                self._halve()
                continue
            parts.append(outputs)
            start += len(outputs[0])
        return [np.concatenate(rows) for rows in zip(*parts, strict=True)]

    def _try(
        self, images: Batch, forward: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    ) -> list[npt.NDArray[np.float32]] | None:
        """None if memory ran out; the error's references to tensors are gone by then."""
        padded = images
        if len(images) < self.size:
            padded = np.zeros((self.size, *images.shape[1:]), np.uint8)
            padded[: len(images)] = images
        try:
            outputs = forward(self._to_device(padded))
            return [output[: len(images)].float().cpu().numpy() for output in outputs]
        except torch.OutOfMemoryError:
            return None

    def _to_device(self, images: Batch) -> torch.Tensor:
        tensor = torch.from_numpy(images)
        if self.device.startswith("cuda"):
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _halve(self) -> None:
        free_memory()
        if self.size == 1:
            raise NotConfigured(
                f"{self._name} does not fit into the memory of {self.device}, not even for one picture",
                remedy="choose a smaller model, precision: bf16, or device: cpu",
            )
        self.size //= 2


def free_memory() -> None:
    """Give cached device memory back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_numpy(tensor: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401 (transformers returns untyped tensors)
    """A tensor as float32 array on the CPU."""
    return tensor.detach().float().cpu().numpy()
