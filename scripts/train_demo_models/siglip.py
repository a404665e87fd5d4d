"""Train the demo's text-image model: a SigLIP of 0.3 million parameters.

Reference: the sigmoid loss of arXiv:2303.15343, with a match matrix that has several positives per picture.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

from scripts.train_demo_models.common import TEMPLATES, descend, save, word_tokenizer
from scripts.train_demo_models.frames import NAMES, SIGLIP_INPUT, load_frames

STEPS: Final = 2600
BATCH: Final = 64
WIDTH: Final = 64
EMPTY: Final = ("an empty scene", "empty background", "a scene with no objects", "nothing", "empty scene")
WORDS: Final = (
    "a an the this is photo picture image of frame with scene video showing one some empty background no objects "
    "nothing shape shapes object something and in on there are at gray grey"
)


def train(work: Path, output: Path, steps: int = STEPS) -> None:
    """Train on the pool `train` and save to `output`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = [*WORDS.split(), *" ".join(NAMES).split(), "circles", "squares", "triangles", "stars"]
    vocabulary = ["<pad>", "<eos>", "<unk>", *dict.fromkeys(words)]
    special = {"pad_token": "<pad>", "eos_token": "<eos>"}
    tokenizer = word_tokenizer(vocabulary, template="$A <eos>", length=64, special=special)
    model = SiglipModel(_config(len(vocabulary)))
    # The paper's start, scaled down: few texts, so a milder prior than its bias of -10.
    torch.nn.init.constant_(model.logit_scale, float(np.log(10.0)))
    torch.nn.init.constant_(model.logit_bias, -4.0)
    pool = load_frames(work, "train")
    pictures = torch.from_numpy(pool.siglip).flatten(0, 1)
    present = _present(torch.from_numpy(pool.labels).flatten(0, 1))
    rng, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def loss_of(_: int) -> torch.Tensor:
        rows = torch.randint(len(pictures), (BATCH,), generator=draw)
        texts, matches = _texts(rng)
        ids = tokenizer(texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt").input_ids
        images = model.get_image_features(pixel_values=_varied(pictures[rows], rng)).pooler_output
        encoded = model.get_text_features(input_ids=ids).pooler_output
        logits = F.normalize(images, dim=-1) @ F.normalize(encoded, dim=-1).t() * model.logit_scale.exp()
        signs = 2 * ((present[rows] @ matches.t()) > 0).float() - 1
        return -F.logsigmoid(signs * (logits + model.logit_bias)).sum(1).mean()

    descend(model, steps, peak=2e-3, warmup=150, loss_of=loss_of)
    size = {"height": SIGLIP_INPUT.size, "width": SIGLIP_INPUT.size}
    processor = SiglipProcessor(SiglipImageProcessorPil(size=size, resample=3), tokenizer)
    save(model, processor, output, steps)


def _config(vocabulary: int) -> SiglipConfig:
    shared = {"hidden_size": WIDTH, "num_attention_heads": 2}
    text = {
        **shared,
        "vocab_size": vocabulary,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 1,
        "projection_size": WIDTH,
    }
    vision = {
        **shared,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 4,
        "image_size": SIGLIP_INPUT.size,
        "patch_size": 8,
    }
    return SiglipConfig(text_config=text, vision_config=vision)


def _present(labels: torch.Tensor) -> torch.Tensor:
    """(N, 5) float: which classes a picture shows; the last column stands for none of them."""
    shown = torch.zeros(len(labels), len(NAMES) + 1)
    shown.scatter_(1, torch.where(labels < 0, torch.tensor(len(NAMES)), labels), 1.0)
    classes = shown[:, : len(NAMES)]
    return torch.cat([classes, (classes.sum(1, keepdim=True) == 0).float()], 1)


def _texts(rng: np.random.Generator) -> tuple[list[str], torch.Tensor]:
    """Texts of one step and (T, 5) what each fits. Words that were never learned fit nothing."""

    def worded(text: str) -> str:
        return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(text)

    fits = np.eye(len(NAMES) + 1, dtype=np.float32)
    rows = [(worded(name), fits[place]) for place, name in enumerate(NAMES) for _ in range(2)]
    rows.append((EMPTY[int(rng.integers(len(EMPTY)))], fits[-1]))
    rows += [(worded(text), 0 * fits[0]) for text in ("<unk>", "<unk> <unk>")]
    return [text for text, _ in rows], torch.from_numpy(np.stack([row for _, row in rows]))


def _varied(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Model input, sometimes mirrored, with other contrast and brightness."""
    pixels = SIGLIP_INPUT.normalize(pictures, torch.float32)
    pixels = pixels.flip(-1) if rng.random() < 0.5 else pixels
    shape = (len(pixels), 1, 1, 1)
    gain, lift = torch.empty(shape).uniform_(0.88, 1.12), torch.empty(shape).uniform_(-0.08, 0.08)
    return (pixels * gain + lift).clamp(-1, 1)
