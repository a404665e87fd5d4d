"""OWLv2: boxes for anything that texts describe, at a cost that hardly grows with the number of texts.

Reference: arXiv:2306.09683. Texts are encoded once; each picture gives one candidate box per patch.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Owlv2ForObjectDetection

from miner_resources.models.adapter import Batch, Detections
from miner_resources.models.boxes import clip, from_centres, suppress
from miner_resources.models.loaded import Checkpoint, LoadedModel, read_tokenizer, read_weights
from miner_resources.models.preprocess import read_preprocess
from miner_resources.models.runtime import sigmoid
from miner_resources.records import Boxes, Floats

NMS_IOU: Final = 0.5
"""The model has no suppression of its own: neighbouring patches find the same object."""


class Owlv2Detector(LoadedModel):
    """An `ObjectDetector`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = read_weights(Owlv2ForObjectDetection, checkpoint)
        # bfloat16 would place boxes on a grid of up to 8 px in a 1920 px frame; the heads cost next to nothing.
        model.class_head.float()
        model.box_head.float()
        self._tokenizer: Any = read_tokenizer(checkpoint)
        self._texts: dict[str, torch.Tensor] = {}
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, pad=True))

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
        if not len(images) or not prompts:
            return [Detections(Boxes(np.zeros((0, 4), np.float32), (), np.zeros(0, np.float32)), ()) for _ in sizes]
        queries = torch.stack([self._encode(prompt) for prompt in prompts])[None]
        logits, boxes = self._run(images, lambda model, batch: self._forward(model, batch, queries))
        return [
            _select(logits[row], boxes[row], size, prompts, labels, floor)
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def _forward(
        self,
        model: Any,  # noqa: ANN401
        images: torch.Tensor,
        queries: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, patches, P) and boxes (N, patches, 4), centre and size as parts of the padded square."""
        grid, _ = model.image_embedder(pixel_values=self.preprocess.normalize(images, self._dtype))
        grid = grid.float()
        features = grid.reshape(len(images), -1, grid.shape[-1])
        logits, _ = model.class_predictor(features, queries.to(grid.device).expand(len(images), -1, -1))
        return logits, model.box_predictor(features, grid)

    @torch.inference_mode()
    def _encode(self, prompt: str) -> torch.Tensor:
        """(D,) float32 unit vector on the CPU; each text alone, so that it does not depend on the others."""
        if prompt not in self._texts:
            model, device = self._replicas.first
            tokens = self._tokenizer(
                [prompt.lower()],
                padding="max_length",
                max_length=self._config.text_config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            encoded = model.owlv2.get_text_features(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
            self._texts[prompt] = F.normalize(encoded.float(), dim=-1)[0].cpu()
        return self._texts[prompt]


def _select(
    logits: Floats,
    boxes: Floats,
    size: tuple[int, int],
    prompts: Sequence[str],
    labels: Sequence[str],
    floor: float,
) -> Detections:
    """The boxes of one picture that are good enough, best first, one per object of a class."""
    best = logits.argmax(axis=1)
    scores = sigmoid(logits.max(axis=1))
    corners = clip(from_centres(boxes) * max(size), *size)
    chosen = np.flatnonzero((scores >= floor) & np.all(corners[:, 2:] > corners[:, :2], axis=1))
    names = list(dict.fromkeys(labels))
    classes = np.array([names.index(label) for label in labels], np.int64)[best]
    chosen = chosen[suppress(corners[chosen], scores[chosen], classes[chosen], NMS_IOU)]
    winners: list[int] = best[chosen].tolist()
    found = Boxes(corners[chosen], tuple(labels[text] for text in winners), scores[chosen])
    return Detections(found, tuple(prompts[text] for text in winners))
