"""What adapters of transformers checkpoints share: reading weights and tokenizer, batches, identity, release."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer

from miner_resources.errors import InvalidData
from miner_resources.models.adapter import Batch
from miner_resources.models.pictures import check_prepared
from miner_resources.models.preprocess import SQUASH, Preprocess
from miner_resources.models.runtime import Forward, Replicas, choose_batch_size, is_out_of_memory, too_large
from miner_resources.records import Floats, Rgb
from miner_resources.storage import stable_hash

_OWN_CODE: Final = {"local_files_only": True, "trust_remote_code": False}
"""Without the second, transformers asks at the terminal whether to run code that a folder brings."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What an adapter is made from.

    Attributes:
        name: for messages.
        folder: with config, safetensors, and, as the family needs them, preprocessor and tokenizer files.
        identity: changes when the weights do.
        devices: one replica on each.
        dtype: of the weights.
        batch_size: per forward pass and device, or "auto".
        resize: how pictures become square, where the family leaves a choice.
        compiled: whether to compile the model.
    """

    name: str
    folder: Path
    identity: str
    devices: tuple[str, ...]
    dtype: torch.dtype
    batch_size: int | str = "auto"
    resize: str = SQUASH
    compiled: bool = False


class LoadedModel:
    """Base of the adapters: the model on its devices, and what `Adapter` asks for."""

    def __init__(self, checkpoint: Checkpoint, model: Any, preprocess: Preprocess) -> None:  # noqa: ANN401
        self.preprocess = preprocess
        self.identity = stable_hash(checkpoint.identity, str(checkpoint.dtype), repr(preprocess), checkpoint.compiled)
        self._name = checkpoint.name
        self._dtype = checkpoint.dtype
        self._config: Any = model.config
        self._replicas = Replicas(
            [self._compiled(replica, checkpoint) for replica in _replicated(model, checkpoint)],
            checkpoint.devices,
            name=checkpoint.name,
            dtype=checkpoint.dtype,
            size=choose_batch_size(checkpoint.batch_size, preprocess.pixels, checkpoint.devices[0]),
        )

    @property
    def batch_size(self) -> int:
        """How many pictures to hand over at a time."""
        return self._replicas.batch_size

    def release(self) -> None:
        """Free the device's memory."""
        self._replicas.release()

    def prepare(self, rgb: Rgb) -> Rgb:
        """A picture at the size that the model takes."""
        return self.preprocess.resize(rgb)

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401 (transformers' classes are untyped)
        """The modules that take the time and whose inputs always have one shape: what is worth compiling."""
        return [model]

    def _compiled(self, model: Any, checkpoint: Checkpoint) -> Any:  # noqa: ANN401
        if checkpoint.compiled:
            for part in self.hot_parts(model):
                part.compile(dynamic=False)
        return model

    def _run(self, images: Batch, forward: Forward) -> list[Floats]:
        for image in images:
            check_prepared(image, self._name, fits=image.ndim == 3 and self.preprocess.accepts(*image.shape[:2]))
        return self._replicas.run(images, forward)


def read_weights(auto_class: Any, checkpoint: Checkpoint) -> Any:  # noqa: ANN401 (transformers' classes are untyped)
    """The model of a checkpoint on the CPU, in the checkpoint's dtype, ready for inference.

    Raises:
        InvalidData: files are damaged or do not fit together. transformers only warns when weights are missing and
            goes on with random ones.
    """
    try:
        # The dtype is always explicit: the default takes that of the file, and half precision crawls on a CPU.
        model, report = auto_class.from_pretrained(
            checkpoint.folder, dtype=checkpoint.dtype, output_loading_info=True, use_safetensors=True, **_OWN_CODE
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(checkpoint, f"{type(error).__name__}: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise _unreadable(checkpoint, f"{len(missing)} weights are missing, such as {missing[0]}")
    return model.eval()


def read_tokenizer(checkpoint: Checkpoint) -> Any:  # noqa: ANN401 (transformers' classes are untyped)
    """The tokenizer of a checkpoint.

    Raises:
        InvalidData: there is none that can be read.
    """
    try:
        return AutoTokenizer.from_pretrained(checkpoint.folder, **_OWN_CODE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(checkpoint, f"the tokenizer cannot be read: {type(error).__name__} {error}") from error


def padded_tokens(tokenizer: Any, text: str, length: int, **options: str) -> Any:  # noqa: ANN401
    """One text as the text towers were trained on it: in small letters, cut or padded to `length` tokens.

    Returns:
        `input_ids` and, as the tokenizer has it, `attention_mask`, each (1, length) int64.
    """
    return tokenizer(
        [text.lower()], padding="max_length", max_length=length, truncation=True, return_tensors="pt", **options
    )


def _unreadable(checkpoint: Checkpoint, what: str) -> InvalidData:
    return InvalidData(
        f"the checkpoint of {checkpoint.name} in {checkpoint.folder} cannot be used: {what}",
        remedy="delete the folder and get the model again: video-miner models download NAME",
    )


def _replicated(model: Any, checkpoint: Checkpoint) -> list[Any]:  # noqa: ANN401
    # One copy at a time: a host may have less memory than all its GPUs together.
    others = [_placed(copy.deepcopy(model), device, checkpoint.name) for device in checkpoint.devices[1:]]
    return [_placed(model, checkpoint.devices[0], checkpoint.name), *others]


def _placed(model: Any, device: str, name: str) -> Any:  # noqa: ANN401
    try:
        return model.to(device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise too_large(name, device) from error
        raise
