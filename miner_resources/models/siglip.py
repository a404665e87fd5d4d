"""SigLIP and SigLIP 2 at fixed resolution: texts against pictures.

Reference: arXiv:2502.14786 (SigLIP 2), arXiv:2303.15343 (the sigmoid loss). Traps that cost others their scores: the
bias belongs to the logit, texts are lower-case and padded to full length, and the text tower gets no attention mask.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, SiglipModel

from miner_resources.models.adapter import Batch
from miner_resources.models.preprocess import Preprocess, read_preprocess
from miner_resources.models.runtime import FixedBatches, choose_batch_size, free_memory, to_numpy
from miner_resources.records import Floats, check_unit_length


class SiglipTextImageModel:
    """A `TextImageModel`."""

    def __init__(self, folder: Path, *, device: str, dtype: torch.dtype, batch_size: object) -> None:
        self.preprocess: Preprocess = read_preprocess(folder)
        self._dtype = dtype
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = SiglipModel.from_pretrained(folder, dtype=dtype)
        self._model: Any = model.to(device).eval()
        self._scale = float(self._model.logit_scale.detach().float().exp())
        self._bias = float(self._model.logit_bias.detach().float())
        self._texts: dict[str, Floats] = {}
        size = choose_batch_size(batch_size, self.preprocess.size, device)
        self._batches = FixedBatches(device, size, folder.name)

    @property
    def batch_size(self) -> int:
        """Pictures in each forward pass."""
        return self._batches.size

    def text_features(self, texts: Sequence[str]) -> Floats:
        """(P, D) unit vectors; each text is encoded once, alone, so that it does not depend on the others."""
        for text in texts:
            if text not in self._texts:
                self._texts[text] = self._encode(text)
        return np.stack([self._texts[text] for text in texts])

    def image_features(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        if not len(images):
            return np.zeros((0, self._model.config.vision_config.hidden_size), np.float32)
        (features,) = self._batches.run(images, self._forward)
        return check_unit_length(features)

    def logits(self, image_features: Floats, text_features: Floats) -> Floats:
        """(N, P): cosine · scale + bias, in float64 so that the number of rows does not change the last bit."""
        cosine = image_features.astype(np.float64) @ text_features.astype(np.float64).T
        return (cosine * self._scale + self._bias).astype(np.float32)

    def release(self) -> None:
        """Free the device's memory."""
        self._model = None
        free_memory()

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        pixels = self.preprocess.normalize(images, self._dtype)
        pooled = self._model.get_image_features(pixel_values=pixels).pooler_output
        return (F.normalize(pooled.float(), dim=-1),)

    @torch.inference_mode()
    def _encode(self, text: str) -> Floats:
        length = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(
            [text.lower()],
            padding="max_length",
            max_length=length,
            truncation=True,
            padding_side="right",
            return_tensors="pt",
        )
        pooled = self._model.get_text_features(input_ids=tokens.input_ids.to(self._batches.device)).pooler_output
        return to_numpy(F.normalize(pooled.float(), dim=-1))[0]
