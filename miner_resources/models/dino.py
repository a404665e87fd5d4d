"""DINOv2, with and without registers: vectors whose cosine says how alike two pictures are.

Reference: arXiv:2304.07193. The vector is the class token after the final layer norm.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModel

from miner_resources.models.adapter import Batch
from miner_resources.models.preprocess import Preprocess, read_preprocess
from miner_resources.models.runtime import FixedBatches, choose_batch_size, free_memory
from miner_resources.records import Floats, check_unit_length


class DinoEmbedder:
    """An `ImageEmbedder`."""

    def __init__(self, folder: Path, *, device: str, dtype: torch.dtype, batch_size: object) -> None:
        self.preprocess: Preprocess = read_preprocess(folder)
        self._dtype = dtype
        self._model: Any = AutoModel.from_pretrained(folder, dtype=dtype).to(device).eval()
        self._dimension = int(self._model.config.hidden_size)
        size = choose_batch_size(batch_size, self.preprocess.size, device)
        self._batches = FixedBatches(device, size, folder.name)

    @property
    def batch_size(self) -> int:
        """Pictures in each forward pass."""
        return self._batches.size

    def embed(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        if not len(images):
            return np.zeros((0, self._dimension), np.float32)
        (vectors,) = self._batches.run(images, self._forward)
        return check_unit_length(vectors)

    def release(self) -> None:
        """Free the device's memory."""
        self._model = None
        free_memory()

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        hidden = self._model(pixel_values=self.preprocess.normalize(images, self._dtype)).pooler_output
        return (F.normalize(hidden.float(), dim=-1),)
