"""RF-DETR, RT-DETR, RT-DETRv2 and D-FINE: fast detectors of the classes that they were trained on, mostly COCO's 80.

References: arXiv:2511.09554, arXiv:2304.08069, arXiv:2407.17140, arXiv:2410.13842. A picture gives a fixed number of
candidates, each with one logit per class; the sigmoid of a logit is the score. Texts only choose among the classes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoModelForObjectDetection

from miner_resources.errors import InvalidData, NotConfigured
from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.boxes import from_centres, to_pixels
from miner_resources.models.closed_set_names import match, own_classes
from miner_resources.models.loaded import Checkpoint, LoadedModel, read_weights
from miner_resources.models.preprocess import SQUASH, Settings, Square, read_preprocess, square
from miner_resources.models.preprocess_sampled import Sampled
from miner_resources.models.selection import no_boxes, select
from miner_resources.records import Floats
from miner_resources.scores import sigmoid

_HEAVY: Final = ("backbone", "encoder")
"""Where nearly all the work is. RF-DETR has no encoder besides its backbone."""
_BILINEAR: Final = 2

_log = logging.getLogger(__name__)


class ClosedSetDetector(LoadedModel):
    """An `ObjectDetector` that knows its own classes only."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        # Weights stay in float32 and the decoder, which works on coordinates, computes in it: in bfloat16, places and
        # boxes lie on a grid of up to 8 px in a 1920 px frame.
        try:
            model = read_weights(AutoModelForObjectDetection, replace(checkpoint, dtype=torch.float32))
        except ImportError as error:
            raise _unsupported(checkpoint, error) from error
        self._known = _classes(model.config, checkpoint)
        self._parts = [name for name in _HEAVY if hasattr(model.model, name)]
        if checkpoint.dtype != torch.float32:
            for name in self._parts:
                setattr(model.model, name, _InHalf(getattr(model.model, name), checkpoint.dtype))
        self._meanings: dict[Query, list[tuple[int, ...]]] = {}
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, _preprocess))

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes with a score of at least the floor, best first; see `ObjectDetector`.

        Raises:
            NotConfigured: the model knows nothing that a class's texts mean; also when there are no pictures.
        """
        meanings = self._meaning(query)
        if not len(images) or not query.prompts:
            return [no_boxes() for _ in sizes]
        logits, boxes = self._run(images, self._forward)
        return [
            select(
                _scores(logits[row], meanings),
                to_pixels(from_centres(boxes[row]), size),
                size,
                query,
                None if asked is None else asked[row],
            )
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """All but the decoder."""
        return [getattr(model.model, name) for name in self._parts]

    def _forward(self, model: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        """Logits (N, Q, classes) and boxes (N, Q, 4), centre and size as parts of the picture."""
        seen = model(pixel_values=self.preprocess.normalize(images, torch.float32))
        return seen.logits, seen.pred_boxes

    def _meaning(self, query: Query) -> list[tuple[int, ...]]:
        if query not in self._meanings:
            found = match(query.prompts, query.labels, self._known, self._name)
            if unknown := [prompt for prompt, numbers in zip(query.prompts, found, strict=True) if not numbers]:
                _log.warning("%s has no class for these prompts and ignores them: %s", self._name, ", ".join(unknown))
            self._meanings[query] = found
        return self._meanings[query]


class _InHalf(torch.nn.Module):
    """Computes a part of a model in half precision and hands on float32."""

    def __init__(self, part: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        self.part = part
        self.dtype = dtype

    def forward(self, first: Any, *others: Any, **options: Any) -> Any:  # noqa: ANN401 (as the part has it)
        """The output of the part."""
        device = (first if isinstance(first, torch.Tensor) else first[0]).device
        with torch.autocast(device.type, self.dtype):
            return _in_float32(self.part(first, *others, **options))


def _in_float32(output: Any) -> Any:  # noqa: ANN401 (what the parts of transformers' models give)
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, Mapping):
        return type(output)(**{name: _in_float32(value) for name, value in output.items()})
    return type(output)(map(_in_float32, output))


def _unsupported(checkpoint: Checkpoint, error: ImportError) -> NotConfigured:
    said = " ".join(str(error).split())
    return NotConfigured(
        f"{checkpoint.name} is built on a package that is not installed: {said}",
        remedy="install that package, or take a model that needs none, such as rt-detr",
    )


def _classes(config: Any, checkpoint: Checkpoint) -> dict[int, str]:  # noqa: ANN401
    """The classes of the model by the number of their logit."""
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if set(names) != set(range(len(names))):
        raise InvalidData(
            f"the config.json of {checkpoint.name} in {checkpoint.folder} names {len(names)} classes, "
            f"numbered up to {max(names)}, so that it is not clear which score belongs to which",
            remedy="number the classes in id2label from 0, without gaps",
        )
    return own_classes(names)


def _preprocess(values: Settings) -> Square:
    """A square, as all released checkpoints want; RF-DETR's own processor does not smooth."""
    if "height" not in values["size"]:
        raise ValueError(f"size is {values['size']}, not a height and a width")
    mode = _BILINEAR if values.get("resample") is None else values["resample"]
    made = square({**values, "resample": mode, "do_center_crop": False}, SQUASH)
    if str(values.get("image_processor_type")).startswith("RfDetr"):
        return Sampled(size=made.size, mode=made.mode, mean=made.mean, std=made.std)
    return made


def _scores(logits: Floats, meanings: Sequence[tuple[int, ...]]) -> Floats:
    """(Q, P); -1 for texts that mean no class of the model."""
    scores = sigmoid(logits)
    columns = [
        scores[:, list(numbers)].max(axis=1) if numbers else np.full(len(scores), -1, np.float32)
        for numbers in meanings
    ]
    return np.stack(columns, axis=1)
