"""SigLIP 2 NaFlex: as SigLIP, but a picture keeps its shape and is seen as a grid of patches.

Reference: arXiv:2502.14786, section 2.4.2. A 16:9 frame is neither squashed nor cropped: with 256 patches of 16 pixels
it is read at 336x192 pixels, where a square model of the same cost has 256x256.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Siglip2Model

from miner_resources.errors import NotConfigured
from miner_resources.models.loaded import Checkpoint
from miner_resources.models.preprocess import SQUASH, read_preprocess
from miner_resources.models.preprocess_patches import patches
from miner_resources.models.siglip import SigmoidModel


class NaflexTextImageModel(SigmoidModel):
    """Pictures in their own shape, filled up to one number of patches: each costs the same.

    Only pictures with the same grid share a batch, so a data set of many shapes is slower.

    Raises:
        NotConfigured: another way of resizing than the default is asked for.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        if checkpoint.resize != SQUASH:
            raise NotConfigured(
                f"{checkpoint.name} sees pictures in their own shape, so resize: {checkpoint.resize} cannot be",
                remedy=f"leave resize at its default, {SQUASH}, or choose a model of square input",
            )
        self._patches = read_preprocess(checkpoint.folder, patches)
        super().__init__(checkpoint, Siglip2Model, self._patches)

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """The layers of the image tower: what precedes them depends on the shape of the pictures."""
        return [model.vision_model.encoder]

    def _inputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        height, width = images.shape[1:3]
        values, mask = self._patches.patches(self.preprocess.normalize(images, self._dtype))
        side = self._patches.patch
        # All pictures of a batch have one shape, so one row will do: the position table is resized once and broadcast,
        # not once per picture. On the CPU, as transformers reads the numbers: a GPU would have to be waited for.
        shapes = torch.tensor([[height // side, width // side]])
        return {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}
