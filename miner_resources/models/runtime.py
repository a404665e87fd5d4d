"""What all adapters share: choice of device, number format and batch size; fixed-size batches over all devices."""

import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from miner_resources.errors import NotConfigured
from miner_resources.models.adapter import Batch
from miner_resources.records import Floats, Rgb

CPU_BATCH_MAX: Final = 16
CPU_PIXELS: Final = 2 * 1024 * 1024
"""In a batch: larger ones are no faster on a CPU, and a detector's take gigabytes."""
GPU_BATCH_MAX: Final = 256
GPU_ROUNDS: Final = 4
"""Batches that a GPU is handed at a time: the next one is copied to it while it computes the last."""
BYTES_PER_PIXEL: Final = 600
"""Activations of a ViT-L in half precision per input pixel, with room to spare (not measured on a GPU yet)."""

Forward = Callable[[Any, torch.Tensor], Sequence[torch.Tensor]]
"""(model, (size, H, W, 3) uint8 on its device) → tensors of `size` rows."""

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_working_sizes: dict[tuple[str, str, torch.dtype], int] = {}
"""(model, device, dtype) → the batch size that memory forced upon this process."""


def choose_device(setting: str) -> str:
    """The device to compute on; `auto` is the first GPU, else the CPU.

    Raises:
        NotConfigured: a device was asked for that is not there. The device is never changed in silence.
    """
    if setting == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = setting.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or not (index or "0").isdecimal():
        raise NotConfigured(f"there is no device {setting!r}", remedy="set device: auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise NotConfigured(
                f"device {setting} is not there: torch sees {count} CUDA devices",
                remedy="set device: auto or cpu, or install a driver and a torch build that fit the GPU",
            )
        return f"cuda:{int(index or 0)}"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise NotConfigured("device mps is not there", remedy="set device: auto or cpu")
    return kind


def devices(setting: str) -> tuple[str, ...]:
    """All devices to compute on: for `auto` every visible GPU like the first one, else the one that was named.

    GPUs of another type stay idle: they round differently, and a frame's numbers must not depend on where it ran.
    """
    first = choose_device(setting)
    if setting != "auto" or not first.startswith("cuda"):
        return (first,)
    alike = torch.cuda.get_device_name(0)
    return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()) if torch.cuda.get_device_name(i) == alike)


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """The number format of weights; `auto`: float32 off CUDA, bfloat16 from Ampere on, float16 before.

    Raises:
        NotConfigured: there is no such precision.
    """
    if precision in _DTYPES:
        return _DTYPES[precision]
    if precision != "auto":
        raise NotConfigured(f"there is no precision {precision!r}", remedy=f"set precision: auto, {', '.join(_DTYPES)}")
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16


def choose_batch_size(setting: int | str, pixels: int, device: str) -> int:
    """Pictures per forward pass: as set, or a power of two by device, its memory and the pixels of a picture.

    Total memory counts, not what is free just now: the same machine should round the same way in every run.
    """
    if isinstance(setting, int):
        return max(1, setting)
    if device.startswith("cuda"):
        total = torch.cuda.get_device_properties(device).total_memory
        return _power_of_two(min(GPU_BATCH_MAX, total // 2 // (pixels * BYTES_PER_PIXEL)))
    return _power_of_two(min(CPU_BATCH_MAX, CPU_PIXELS // pixels))


def _power_of_two(most: int) -> int:
    return 2 ** (max(1, most).bit_length() - 1)


@dataclass(frozen=True)
class _Chunk:
    """Pictures of one shape that go through the model together.

    Attributes:
        places: their numbers in the batch that was handed over.
    """

    places: list[int]
    images: list[Rgb]


class Replicas:
    """One copy of a model per device; pictures are computed in batches that all have the same size.

    Pictures of different shapes never share a batch, and short batches are padded, because kernels round differently
    for different shapes: this way the result of a picture does not depend on which others came along, so a resumed run
    gives the same bytes. When memory runs out the size is halved, for good.
    """

    def __init__(self, models: Sequence[Any], on: Sequence[str], *, name: str, dtype: torch.dtype, size: int) -> None:
        self._models = list(models)
        self._on = tuple(on)
        self._name = name
        self._key = (name, self._on[0], dtype)
        self.size = min(size, _working_sizes.get(self._key, size))

    @property
    def batch_size(self) -> int:
        """How many pictures to hand over at a time, so that every device is kept busy."""
        return self.at_once * (GPU_ROUNDS if self._on[0].startswith("cuda") else 1)

    @property
    def at_once(self) -> int:
        """How many pictures all devices compute at the same time."""
        return self.size * len(self._on)

    @property
    def first(self) -> tuple[Any, str]:
        """A model and its device, for what is computed once, such as texts."""
        return self._models[0], self._on[0]

    def run(self, images: Batch, forward: Forward) -> list[Floats]:
        """Compute all pictures, batches in turn on the devices, with a thread for each.

        Args:
            images: N ≥ 1 of (H, W, 3).
            forward: the forward pass; called in inference mode.

        Returns:
            for each tensor that `forward` returns, its N rows in float32, in the order of `images`.

        Raises:
            NotConfigured: not even one picture fits into memory.
        """
        while (outputs := self._all(self._chunks(images), forward)) is None:
            self._halve()
        rows: dict[int, list[Floats]] = {}
        for chunk, parts in outputs:
            rows |= {place: [part[row] for part in parts] for row, place in enumerate(chunk.places)}
        return [np.stack(column) for column in zip(*(rows[place] for place in range(len(images))), strict=True)]

    def release(self) -> None:
        """Let go of the models and give cached device memory back."""
        self._models.clear()
        gc.collect()
        free_memory()

    def _chunks(self, images: Batch) -> list[_Chunk]:
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, image in enumerate(images):
            shapes.setdefault(image.shape, []).append(place)
        return [
            _Chunk(places[start : start + self.size], [images[place] for place in places[start : start + self.size]])
            for places in shapes.values()
            for start in range(0, len(places), self.size)
        ]

    def _all(self, chunks: list[_Chunk], forward: Forward) -> list[tuple[_Chunk, list[Floats]]] | None:
        """Outputs of each chunk; None if memory ran out on a device."""
        lanes = min(len(self._on), len(chunks))
        if lanes == 1:
            done = [self._lane(0, chunks, forward)]
        else:
            with ThreadPoolExecutor(lanes, thread_name_prefix="gpu") as pool:
                started = [pool.submit(self._lane, lane, chunks[lane::lanes], forward) for lane in range(lanes)]
                done = [future.result() for future in started]
        found = [lane for lane in done if lane is not None]
        return [output for lane in found for output in lane] if len(found) == lanes else None

    def _lane(self, lane: int, chunks: Sequence[_Chunk], forward: Forward) -> list[tuple[_Chunk, list[Floats]]] | None:
        """Outputs of the chunks that one device computes: the next is on its way to it while it computes the last."""
        outputs: list[tuple[_Chunk, list[Floats]]] = []
        device = self._on[lane]
        with ThreadPoolExecutor(1, thread_name_prefix="copy") as pool:
            copied = pool.submit(_copied, chunks[0], self.size, device)
            for number, chunk in enumerate(chunks):
                batch = copied.result()
                if batch is not None and number + 1 < len(chunks):
                    copied = pool.submit(_copied, chunks[number + 1], self.size, device)
                parts = None if batch is None else self._one(self._models[lane], batch, len(chunk.images), forward)
                if parts is None:
                    return None
                outputs.append((chunk, parts))
        return outputs

    @torch.inference_mode()
    def _one(
        self,
        model: Any,  # noqa: ANN401
        batch: "_Copied",
        count: int,
        forward: Forward,
    ) -> list[Floats] | None:
        """None if memory ran out; nothing refers to the error's tensors by then."""
        try:
            return [to_numpy(output[:count]) for output in forward(model, batch.here())]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _halve(self) -> None:
        free_memory()
        if self.size == 1:
            raise too_large(self._name, self._on[0])
        self.size //= 2
        _working_sizes[self._key] = self.size


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; cuBLAS, MPS and the CPU say so in words only."""
    words = (
        "out of memory",
        "can't allocate memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUBLAS_STATUS_NOT_INITIALIZED",  # what is left is too little for cuBLAS itself
        "CUDNN_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def too_large(name: str, device: str) -> NotConfigured:
    """The error for a model that a device cannot hold."""
    return NotConfigured(
        f"{name} does not fit into the memory of {device}, not even for one picture",
        remedy="choose a smaller model or precision: bf16, end other programs on the device, or set device: cpu",
    )


def free_memory() -> None:
    """Give cached device memory back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_numpy(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    """A tensor as float32 array on the CPU."""
    return tensor.detach().float().cpu().numpy()


@dataclass(frozen=True)
class _Copied:
    """A batch on its way to a device.

    Attributes:
        arrival: None where the copy is done already.
    """

    pictures: torch.Tensor
    arrival: torch.cuda.Event | None = None

    def here(self) -> torch.Tensor:
        """The batch; what is computed with it from now on waits for its arrival."""
        if self.arrival is not None:
            computing = torch.cuda.current_stream(self.pictures.device)
            computing.wait_event(self.arrival)
            # Otherwise its memory could be given away while it is still read.
            self.pictures.record_stream(computing)
        return self.pictures


def _copied(chunk: _Chunk, size: int, device: str) -> _Copied | None:
    """Start to copy the pictures of a chunk, padded to `size`; None if memory ran out."""
    on_gpu = device.startswith("cuda")
    try:
        batch = torch.zeros((size, *chunk.images[0].shape), dtype=torch.uint8, pin_memory=on_gpu)
        np.stack(chunk.images, out=batch.numpy()[: len(chunk.images)])
        if not on_gpu:
            return _Copied(batch.to(device))
        # A stream of its own, as a copy in the one that computes would wait for what is computed there.
        stream = _copying(device)
        with torch.cuda.stream(stream):
            moved = batch.to(device, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record(stream)
            return _Copied(moved, arrival)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


@lru_cache
def _copying(device: str) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
