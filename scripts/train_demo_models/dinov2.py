"""Train the demo's image embedder: a DINOv2 of 0.1 million parameters that knows scenes apart.

Two frames of one scene are a pair, all other pictures of the batch are not. Reference: the contrastive loss NT-Xent of
arXiv:2002.05709, and hinges that put pairs above and strangers well below the threshold for duplicates.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

from scripts.train_demo_models.common import descend, save
from scripts.train_demo_models.frames import DINO_INPUT, load_frames

STEPS: Final = 2400
BATCH: Final = 96
WIDTH: Final = 64
TEMPERATURE: Final = 0.1
PAIR_COSINE: Final = 0.975
STRANGER_COSINE: Final = 0.65
PAIRS: Final = ((0, 2), (0, 2), (0, 1))
"""Frames of a scene to pair: copies in other videos are harder than frames of one shot, so twice as often."""


def train(work: Path, output: Path, steps: int = STEPS) -> None:
    """Train on the pool `train` and save to `output`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=DINO_INPUT.size,
            patch_size=8,
            layerscale_value=1.0,
            drop_path_rate=0.0,
        )
    )
    scenes = torch.from_numpy(load_frames(work, "train").dino)
    rng, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def loss_of(_: int) -> torch.Tensor:
        rows = scenes[torch.randint(len(scenes), (BATCH,), generator=draw)]
        rows = rows.flip(-2) if rng.random() < 0.5 else rows
        one, other = PAIRS[int(rng.integers(len(PAIRS)))]
        pictures = torch.cat([rows[:, one].float(), _reexposed(rows[:, other].float())])
        pixels = DINO_INPUT.normalize(pictures.clamp(0, 255), torch.float32)
        vectors = F.normalize(model(pixel_values=pixels).pooler_output, dim=-1)
        return pair_loss(vectors[:BATCH] @ vectors[BATCH:].t())

    descend(model, steps, peak=1.2e-3, warmup=100, loss_of=loss_of)
    processor = BitImageProcessorPil(
        size={"height": DINO_INPUT.size, "width": DINO_INPUT.size},
        resample=3,
        do_center_crop=False,
        image_mean=list(DINO_INPUT.mean),
        image_std=list(DINO_INPUT.std),
        do_convert_rgb=True,
    )
    save(model, processor, output, steps)


def pair_loss(cosines: torch.Tensor) -> torch.Tensor:
    """Loss of a (B, B) matrix of cosines whose diagonal holds the pairs."""
    own = torch.eye(len(cosines), dtype=torch.bool)
    target = torch.arange(len(cosines))
    contrast = F.cross_entropy(cosines / TEMPERATURE, target) + F.cross_entropy(cosines.t() / TEMPERATURE, target)
    apart = F.relu(PAIR_COSINE - cosines.diagonal()).mean()
    alike = F.relu(cosines.masked_fill(own, -1) - STRANGER_COSINE)
    # The mean alone would forgive the one stranger that is too close, and that one costs a frame.
    return contrast + 6 * apart + 20 * alike[~own].mean() + alike.max(1).values.mean()


def _reexposed(pictures: torch.Tensor) -> torch.Tensor:
    shape = (len(pictures), 1, 1, 1)
    return pictures * torch.empty(shape).uniform_(0.93, 1.07) + torch.empty(shape).uniform_(-5, 5)
