"""OWLv2: boxes for anything that texts describe, at a cost that hardly grows with the number of texts.

Reference: arXiv:2306.09683. Texts are encoded once; each picture gives one candidate box per patch, and
neighbouring patches find the same object.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import Owlv2ForObjectDetection

from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.boxes import from_centres
from miner_resources.models.loaded import Checkpoint, LoadedModel, padded_tokens, read_tokenizer, read_weights
from miner_resources.models.preprocess import PAD, read_preprocess, square
from miner_resources.models.selection import no_boxes, select
from miner_resources.scores import sigmoid


class Owlv2Detector(LoadedModel):
    """An `ObjectDetector`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = read_weights(Owlv2ForObjectDetection, checkpoint)
        # bfloat16 would place boxes on a grid of up to 8 px in a 1920 px frame; the heads cost next to nothing.
        model.class_head.float()
        model.box_head.float()
        self._tokenizer: Any = read_tokenizer(checkpoint)
        self._texts: dict[str, torch.Tensor] = {}
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, lambda values: square(values, PAD)))

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes with a score of at least the floor, best first; see `ObjectDetector`."""
        if not len(images) or not query.prompts:
            return [no_boxes() for _ in sizes]
        texts = torch.stack([self._encode(prompt) for prompt in query.prompts])[None]
        logits, boxes = self._run(images, lambda model, batch: self._forward(model, batch, texts))
        return [
            select(
                sigmoid(logits[row]),
                from_centres(boxes[row]) * max(size),
                size,
                query,
                None if asked is None else asked[row],
            )
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """The image tower; the heads work on one vector per patch."""
        return [model.owlv2.vision_model]

    def _forward(
        self,
        model: Any,  # noqa: ANN401
        images: torch.Tensor,
        texts: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, patches, P) and boxes (N, patches, 4), centre and size as parts of the padded square."""
        grid, _ = model.image_embedder(pixel_values=self.preprocess.normalize(images, self._dtype))
        grid = grid.float()
        features = grid.reshape(len(images), -1, grid.shape[-1])
        logits, _ = model.class_predictor(features, texts.to(grid.device).expand(len(images), -1, -1))
        return logits, model.box_predictor(features, grid)

    @torch.inference_mode()
    def _encode(self, prompt: str) -> torch.Tensor:
        """(D,) float32 unit vector on the CPU; each text alone, so that it does not depend on the others."""
        if prompt not in self._texts:
            model, device = self._replicas.first
            length = self._config.text_config.max_position_embeddings
            tokens = padded_tokens(self._tokenizer, prompt, length).to(device)
            encoded = model.owlv2.get_text_features(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
            self._texts[prompt] = F.normalize(encoded.float(), dim=-1)[0].cpu()
        return self._texts[prompt]
