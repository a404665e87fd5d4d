"""DINOv2, with and without registers, and DINOv3: vectors whose cosine says how alike two pictures are.

References: arXiv:2304.07193, arXiv:2508.10104. The vector is the class token after the final layer norm.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModel

from miner_resources.models.adapter import Batch
from miner_resources.models.loaded import Checkpoint, LoadedModel, read_weights
from miner_resources.models.preprocess import read_preprocess, square
from miner_resources.records import Floats, check_unit_length


class DinoEmbedder(LoadedModel):
    """An `ImageEmbedder`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        preprocess = read_preprocess(checkpoint.folder, lambda values: square(values, checkpoint.resize))
        super().__init__(checkpoint, read_weights(AutoModel, checkpoint), preprocess)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._config.hidden_size)

    def embed(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        if not len(images):
            return np.zeros((0, self.dimension), np.float32)
        (vectors,) = self._run(images, self._forward)
        return check_unit_length(vectors)

    def _forward(self, model: Any, images: torch.Tensor) -> tuple[torch.Tensor]:  # noqa: ANN401
        hidden = model(pixel_values=self.preprocess.normalize(images, self._dtype)).pooler_output
        return (F.normalize(hidden.float(), dim=-1),)
