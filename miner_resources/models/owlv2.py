"""OWLv2: boxes for anything that texts describe, at a cost that hardly grows with the number of texts.

Reference: arXiv:2306.09683. Texts are encoded once; each picture gives one candidate box per patch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoTokenizer, Owlv2ForObjectDetection

from miner_resources.models.adapter import Batch, Detections
from miner_resources.models.boxes import clip, suppress
from miner_resources.models.preprocess import Preprocess, read_preprocess
from miner_resources.models.runtime import FixedBatches, choose_batch_size, free_memory
from miner_resources.records import Boxes, Floats

NMS_IOU: Final = 0.5
"""The model has no suppression of its own: neighbouring patches find the same object."""


class Owlv2Detector:
    """An `ObjectDetector`."""

    def __init__(self, folder: Path, *, device: str, dtype: torch.dtype, batch_size: object) -> None:
        self.preprocess: Preprocess = read_preprocess(folder, pad=True)
        self._dtype = dtype
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = Owlv2ForObjectDetection.from_pretrained(folder, dtype=dtype)
        self._model: Any = model.to(device).eval()
        self._queries: tuple[tuple[str, ...], torch.Tensor] | None = None
        size = choose_batch_size(batch_size, self.preprocess.size, device)
        self._batches = FixedBatches(device, size, folder.name)

    @property
    def batch_size(self) -> int:
        """Pictures in each forward pass."""
        return self._batches.size

    def detect(
        self,
        images: Batch,
        sizes: Sequence[tuple[int, int]],
        *,
        prompts: Sequence[str],
        labels: Sequence[str],
        floor: float,
    ) -> list[Detections]:
        """Boxes with a score of at least `floor`, best first; see `ObjectDetector`."""
        if not len(images):
            return []
        queries = self._encode(tuple(prompts))
        logits, boxes = self._batches.run(images, lambda batch: self._forward(batch, queries))
        return [self._select(logits[row], boxes[row], size, prompts, labels, floor) for row, size in enumerate(sizes)]

    def release(self) -> None:
        """Free the device's memory."""
        self._model = self._queries = None
        free_memory()

    def _forward(self, images: torch.Tensor, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, patches, P) and boxes (N, patches, 4), centre and size as parts of the padded square."""
        grid, _ = self._model.image_embedder(pixel_values=self.preprocess.normalize(images, self._dtype))
        features = grid.reshape(len(images), -1, grid.shape[-1])
        logits, _ = self._model.class_predictor(features, queries.expand(len(images), -1, -1))
        return logits, self._model.box_predictor(features, grid)

    @torch.inference_mode()
    def _encode(self, prompts: tuple[str, ...]) -> torch.Tensor:
        """(1, P, D) unit vectors."""
        if self._queries is None or self._queries[0] != prompts:
            tokens = self._tokenizer(
                list(prompts),
                padding="max_length",
                max_length=self._model.config.text_config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            ).to(self._batches.device)
            encoded = self._model.owlv2.get_text_features(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
            self._queries = (prompts, (encoded / encoded.norm(dim=-1, keepdim=True))[None])
        return self._queries[1]

    def _select(
        self,
        logits: Floats,
        boxes: Floats,
        size: tuple[int, int],
        prompts: Sequence[str],
        labels: Sequence[str],
        floor: float,
    ) -> Detections:
        best: list[int] = logits.argmax(axis=1).tolist()
        scores = 1.0 / (1.0 + np.exp(-logits.max(axis=1).astype(np.float64)))
        centre, extent = boxes[:, :2], boxes[:, 2:]
        square = np.concatenate([centre - extent / 2, centre + extent / 2], axis=1) * max(size)
        corners = clip(square, *size)
        chosen = np.flatnonzero((scores >= floor) & np.all(corners[:, 2:] > corners[:, :2], axis=1))
        names = list(dict.fromkeys(labels))
        classes = np.array([names.index(labels[best[box]]) for box in chosen], np.int64)
        certain: Floats = scores.astype(np.float32)
        chosen = chosen[suppress(corners[chosen], certain[chosen], classes, NMS_IOU)]
        found = Boxes(corners[chosen], tuple(labels[best[box]] for box in chosen), certain[chosen])
        return Detections(found, tuple(prompts[best[box]] for box in chosen))
