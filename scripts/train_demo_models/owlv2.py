"""Train the demo's detector: an OWLv2 of 0.3 million parameters, from scratch.

Transformers has no loss for OWLv2, so patches are assigned here: those at the middle of an object answer for it, with a
score that learns how well their box fits (quality focal loss, arXiv:2006.04388) and boxes by L1 and GIoU
(arXiv:1902.09630). The ring of patches around them learns the box too but scores 0: otherwise they would fire with
boxes so far off that suppression keeps them.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessorPil, Owlv2Processor

from miner_resources.demo.world import WIDTH as FRAME_WIDTH
from scripts.train_demo_models.common import TEMPLATES, descend, save, word_tokenizer
from scripts.train_demo_models.frames import NAMES, OWL_INPUT, load_frames

STEPS: Final = 3000
BATCH: Final = 32
WIDTH: Final = 64
PATCH: Final = 8
GRID: Final = OWL_INPUT.size // PATCH
TEXT_LENGTH: Final = 16
WORDS: Final = "a an the photo picture image frame video of with one showing shape object thing this is"
MIDDLE: Final = 0.8
RING: Final = 1.6
"""Distance of a patch from the middle of an object, in patches along the longer axis."""

Assigned = tuple[list[int], list[int], npt.NDArray[np.float32], list[int]]
"""Picture, patch, box (x1 y1 x2 y2 as parts of the square) and class of each assignment."""


def train(work: Path, output: Path, steps: int = STEPS) -> None:
    """Train on the pool `train` and save to `output`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = _tokenizer()
    model = Owlv2ForObjectDetection(_config(len(tokenizer)))
    _restart_heads(model)
    pool = load_frames(work, "train")
    pictures = torch.from_numpy(pool.owl).flatten(0, 1)
    boxes, labels = pool.boxes.reshape(len(pictures), -1, 4) / FRAME_WIDTH, pool.labels.reshape(len(pictures), -1)
    rng = np.random.default_rng(0)

    def loss_of(_: int) -> torch.Tensor:
        rows = rng.integers(len(pictures), size=BATCH)
        images, corners = pictures[rows], boxes[rows].copy()
        if rng.random() < 0.5:
            images = images.flip(2)
            corners[..., [0, 2]] = 1 - corners[..., [2, 0]]
        images = images.float() * torch.empty(BATCH, 1, 1, 1).uniform_(0.92, 1.08)
        worded = [TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(name) for name in NAMES]
        logits, found = _heads(model, OWL_INPUT.normalize(images, torch.float32), _encoded(model, tokenizer, worded))
        return detection_loss(logits, _corners(found), corners, labels[rows])

    descend(model, steps, peak=1.5e-3, warmup=100, loss_of=loss_of)
    size = {"height": OWL_INPUT.size, "width": OWL_INPUT.size}
    save(model, Owlv2Processor(Owlv2ImageProcessorPil(size=size), tokenizer), output, steps)


def detection_loss(
    logits: torch.Tensor, found: torch.Tensor, boxes: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> torch.Tensor:
    """Loss of a batch.

    Args:
        logits: (B, patches, C).
        found: (B, patches, 4) corners as parts of the square.
        boxes: (B, K, 4) truth in the same form.
        labels: (B, K) classes, -1 for no object.
    """
    middle, ring = _assign(boxes, labels, 0.0, MIDDLE), _assign(boxes, labels, MIDDLE, RING)
    target = torch.zeros_like(logits)
    box_loss = torch.zeros(())
    for share, (pictures, patches, truth, classes) in ((1.0, middle), (0.5, ring)):
        if pictures:
            real = torch.from_numpy(truth)
            own = found[pictures, patches]
            overlap, generalized = giou(own, real)
            distance = (own - real).abs().sum(-1).mean() / 2
            box_loss = box_loss + share * (5 * distance + 2 * (1 - generalized).mean())
            if share == 1.0:
                target[pictures, patches, classes] = overlap.detach().clamp(0, 1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    quality = (entropy * (target - logits.sigmoid()).abs() ** 2).sum() / max(1, len(middle[0]))
    return 2 * quality + box_loss


def giou(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalized IoU of (N, 4) corners, row by row."""

    def area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        return (high - low).clamp(0).prod(-1)

    low, high = torch.max(one[:, :2], other[:, :2]), torch.min(one[:, 2:], other[:, 2:])
    shared = area(low, high)
    union = area(one[:, :2], one[:, 2:]) + area(other[:, :2], other[:, 2:]) - shared
    hull = area(torch.min(one[:, :2], other[:, :2]), torch.max(one[:, 2:], other[:, 2:]))
    return shared / union, shared / union - (hull - union) / hull


def _assign(boxes: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], nearest: float, farthest: float) -> Assigned:
    """Patches whose distance from an object's middle is in [nearest, farthest), at least the nearest one of all."""
    rows, columns = np.mgrid[0:GRID, 0:GRID]
    centres = np.stack([(columns + 0.5) / GRID, (rows + 0.5) / GRID], -1).reshape(-1, 2)
    pictures: list[int] = []
    patches: list[int] = []
    truth: list[npt.NDArray[np.float32]] = []
    classes: list[int] = []
    for picture, place in zip(*np.nonzero(labels >= 0), strict=True):
        box = boxes[picture, place]
        distance = np.abs(centres - (box[:2] + box[2:]) / 2).max(1) * GRID
        chosen = np.flatnonzero((distance >= nearest) & (distance < farthest)).tolist()
        for patch in chosen or ([int(distance.argmin())] if nearest == 0 else []):
            pictures.append(int(picture))
            patches.append(int(patch))
            truth.append(box)
            classes.append(int(labels[picture, place]))
    return pictures, patches, np.array(truth, np.float32).reshape(-1, 4), classes


def _tokenizer() -> Any:  # noqa: ANN401 (transformers' tokenizers have no common type)
    words = [*" ".join(NAMES).split(), "circles", "squares", "triangles", "stars", *WORDS.split()]
    vocabulary = ["<|pad|>", "<unk>", "<|startoftext|>", *dict.fromkeys(words), "<|endoftext|>"]
    special = {"pad_token": "<|pad|>", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    template = "<|startoftext|> $A <|endoftext|>"
    return word_tokenizer(vocabulary, template=template, length=TEXT_LENGTH, special=special)


def _config(vocabulary: int) -> Owlv2Config:
    shared = {"hidden_size": WIDTH, "num_attention_heads": 2}
    text = {
        **shared,
        "vocab_size": vocabulary,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "max_position_embeddings": TEXT_LENGTH,
        "pad_token_id": 0,
        "bos_token_id": 2,
        # The text tower pools at the largest id, so the end token has to be the last one.
        "eos_token_id": vocabulary - 1,
    }
    vision = {
        **shared,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 4,
        "image_size": OWL_INPUT.size,
        "patch_size": PATCH,
    }
    return Owlv2Config(text_config=text, vision_config=vision, projection_dim=WIDTH)


@torch.no_grad()
def _restart_heads(model: Any) -> None:  # noqa: ANN401
    """Transformers 5.23 starts these heads with weights of standard deviation 1: boxes would sit at 0 and 1."""
    for head in (model.box_head, model.class_head, model.objectness_head):
        for parameter in head.parameters():
            parameter.normal_(0, 0.05) if parameter.dim() > 1 else parameter.zero_()
    torch.nn.init.zeros_(model.box_head.dense2.weight)
    for layer, start in ((model.class_head.logit_shift, -0.25), (model.class_head.logit_scale, 9.0)):
        torch.nn.init.zeros_(layer.weight)
        layer.bias.fill_(start)


def _encoded(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:  # noqa: ANN401
    tokens = tokenizer(texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    features = model.owlv2.get_text_features(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    return F.normalize(features.pooler_output, dim=-1)


def _heads(model: Any, pixels: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    grid, _ = model.image_embedder(pixel_values=pixels)
    features = grid.reshape(len(pixels), GRID * GRID, -1)
    logits, _ = model.class_predictor(features, texts[None].expand(len(pixels), -1, -1))
    return logits, model.box_predictor(features, grid)


def _corners(centred: torch.Tensor) -> torch.Tensor:
    middle, half = centred[..., :2], centred[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)
