"""SigLIP and SigLIP 2 at fixed resolution: texts against pictures.

Reference: arXiv:2502.14786 (SigLIP 2), arXiv:2303.15343 (the sigmoid loss). Traps that cost others their scores: the
bias belongs to the logit, texts are lower-case and padded to full length, and the text tower gets no attention mask.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SiglipModel

from miner_resources.models.adapter import Batch
from miner_resources.models.loaded import Checkpoint, LoadedModel, padded_tokens, read_tokenizer, read_weights
from miner_resources.models.preprocess import Preprocess, read_preprocess, square
from miner_resources.models.runtime import to_numpy
from miner_resources.records import Floats, check_unit_length


class SigmoidModel(LoadedModel, ABC):
    """A `TextImageModel`, and an `ImageEmbedder` through its image tower. To add one: how pictures enter the tower."""

    def __init__(self, checkpoint: Checkpoint, model_class: Any, preprocess: Preprocess) -> None:  # noqa: ANN401
        model = read_weights(model_class, checkpoint)
        self._tokenizer: Any = read_tokenizer(checkpoint)
        self._scale = float(model.logit_scale.detach().float().exp())
        self._bias = float(model.logit_bias.detach().float())
        self._texts: dict[str, Floats] = {}
        super().__init__(checkpoint, model, preprocess)

    @abstractmethod
    def _inputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What `get_image_features` takes for a batch of (N, H, W, 3) uint8 on the device."""

    @property
    def dimension(self) -> int:
        """Length of a feature vector."""
        return int(self._config.vision_config.hidden_size)

    def text_features(self, texts: Sequence[str]) -> Floats:
        """(P, D) unit vectors; each text is encoded once, alone, so that it does not depend on the others."""
        for text in texts:
            if text not in self._texts:
                self._texts[text] = self._encode(text)
        return np.stack([self._texts[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def image_features(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        if not len(images):
            return np.zeros((0, self.dimension), np.float32)
        (features,) = self._run(images, self._forward)
        return check_unit_length(features)

    def embed(self, images: Batch) -> Floats:
        """(N, D) unit vectors; cosines run higher than DINO's, so a threshold of one does not suit the other."""
        return self.image_features(images)

    def logits(self, image_features: Floats, text_features: Floats) -> Floats:
        """(N, P): cosine · scale + bias, in float64 so that the number of rows does not change the last bit."""
        cosine = image_features.astype(np.float64) @ text_features.astype(np.float64).T
        return (cosine * self._scale + self._bias).astype(np.float32)

    def _forward(self, model: Any, images: torch.Tensor) -> tuple[torch.Tensor]:  # noqa: ANN401
        pooled = model.get_image_features(**self._inputs(images)).pooler_output
        return (F.normalize(pooled.float(), dim=-1),)

    @torch.inference_mode()
    def _encode(self, text: str) -> Floats:
        model, device = self._replicas.first
        length = self._config.text_config.max_position_embeddings
        tokens = padded_tokens(self._tokenizer, text, length, padding_side="right")
        pooled = model.get_text_features(input_ids=tokens.input_ids.to(device)).pooler_output
        return to_numpy(F.normalize(pooled.float(), dim=-1))[0]


class SiglipTextImageModel(SigmoidModel):
    """Pictures as squares of one size."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        preprocess = read_preprocess(checkpoint.folder, lambda values: square(values, checkpoint.resize))
        super().__init__(checkpoint, SiglipModel, preprocess)

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """The image tower; texts are encoded once."""
        return [model.vision_model]

    def _inputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.preprocess.normalize(images, self._dtype)}
