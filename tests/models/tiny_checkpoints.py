"""Real architectures with tiny random weights and local tokenizers, written as checkpoints: no network, no binaries.

To cover another family: a builder here, its folder in `Checkpoints`, and a row in `test_adapters.py`.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

from tests.models.tiny_closed_set import build_d_fine, build_rf_detr, build_rt_detr, build_rt_detr_v2
from tests.models.tiny_florence2 import build_florence2
from tests.models.tiny_grounding import build_grounding_dino, build_mm_grounding_dino
from tests.models.tiny_naflex import build_naflex
from tests.models.tiny_sam3 import build_sam3

WORDS = [
    *("a", "photo", "of", "the", "red", "blue", "green", "yellow"),
    *("circle", "square", "triangle", "star", "cat", "dog", "person", "car"),
]
SIGLIP_SIZE = 48
DINO_SIZE = 42
OWL_SIZE = 64


@dataclass(frozen=True)
class Checkpoints:
    """Folders by family."""

    siglip: Path
    naflex: Path
    dinov2: Path
    dinov2_with_registers: Path
    dinov3: Path
    owlv2: Path
    grounding_dino: Path
    mm_grounding_dino: Path
    florence2: Path
    rf_detr: Path
    rt_detr: Path
    rt_detr_v2: Path
    d_fine: Path
    sam3: Path


def build_all(root: Path) -> Checkpoints:
    """Write one checkpoint of each family below `root`; the same bytes of weights every time."""
    builders = {
        "siglip": build_siglip,
        "naflex": build_naflex,
        "dinov2": build_dinov2,
        "dinov2_with_registers": build_dinov2_with_registers,
        "dinov3": build_dinov3,
        "owlv2": build_owlv2,
        "grounding_dino": build_grounding_dino,
        "mm_grounding_dino": build_mm_grounding_dino,
        "florence2": build_florence2,
        "rf_detr": build_rf_detr,
        "rt_detr": build_rt_detr,
        "rt_detr_v2": build_rt_detr_v2,
        "d_fine": build_d_fine,
        "sam3": build_sam3,
    }
    for name, build in builders.items():
        build(root / name)
    return Checkpoints(**{name: root / name for name in builders})


def build_siglip(folder: Path, seed: int = 0) -> None:
    """Half precision in the file, as trained checkpoints may be: loaders must not take that over."""
    words = ["<pad>", "<eos>", "<unk>", *WORDS]
    tokenizer = _words(words, "<unk>", "$A <eos>", [("<eos>", 1)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<eos>",
        model_max_length=16,
        model_input_names=["input_ids", "attention_mask"],  # the mask must not reach the text tower
    )
    text = {**_tower(), "vocab_size": len(words), "max_position_embeddings": 16, "projection_size": 32}
    config = SiglipConfig(
        text_config={**text, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1},
        vision_config={**_tower(), "image_size": SIGLIP_SIZE, "patch_size": 8},
    )
    model = _seeded(SiglipModel, config, seed)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.5)
    model.half().save_pretrained(folder)
    processor = SiglipImageProcessorPil(size={"height": SIGLIP_SIZE, "width": SIGLIP_SIZE})
    SiglipProcessor(processor, wrapped).save_pretrained(folder)


def build_dinov2(folder: Path, seed: int = 0) -> None:
    """With the processor of the released checkpoints: shorter side, then the middle."""
    config = Dinov2Config(**_dino())
    _seeded(Dinov2Model, config, seed).half().save_pretrained(folder)
    _bit_processor().save_pretrained(folder)


def build_dinov2_with_registers(folder: Path, seed: int = 0) -> None:
    """As `build_dinov2`, with four register tokens."""
    config = Dinov2WithRegistersConfig(**_dino(), num_register_tokens=4)
    _seeded(Dinov2WithRegistersModel, config, seed).save_pretrained(folder)
    _bit_processor().save_pretrained(folder)


def build_dinov3(folder: Path, seed: int = 0) -> None:
    """Its processor class needs torchvision, so the file is written as released checkpoints have it."""
    config = DINOv3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        num_register_tokens=4,
    )
    _seeded(DINOv3ViTModel, config, seed).save_pretrained(folder)
    settings = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": 32, "width": 32},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def clip_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """CLIP's, with a small vocabulary."""
    # The text tower pools where the id is largest, so the end token must come last.
    words = ["<|pad|>", "<unk>", "<|startoftext|>", *WORDS, "<|endoftext|>"]
    last = len(words) - 1
    tokenizer = _words(
        words, "<unk>", "<|startoftext|> $A <|endoftext|>", [("<|startoftext|>", 2), ("<|endoftext|>", last)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<|pad|>",
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_owlv2(folder: Path, seed: int = 0) -> None:
    """Heads are drawn again with small weights: as transformers draws them, all boxes fill the picture."""
    wrapped = clip_tokenizer(16)
    last = len(wrapped) - 1
    text = {**_tower(), "vocab_size": len(wrapped), "max_position_embeddings": 16}
    config = Owlv2Config(
        text_config={**text, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": last},
        vision_config={**_tower(), "image_size": OWL_SIZE, "patch_size": 16},
        projection_dim=32,
    )
    model = _seeded(Owlv2ForObjectDetection, config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for head in (model.box_head, model.class_head):
            for parameter in head.parameters():
                parameter.normal_(0, 0.2, generator=generator)
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessorPil(size={"height": OWL_SIZE, "width": OWL_SIZE}), wrapped).save_pretrained(
        folder
    )


def _seeded(model_class, config, seed):
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        return model_class(config)


def _tower():
    return {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def _dino():
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 70,  # other than the input: the position table is interpolated, as in the released checkpoints
        "patch_size": 14,
    }


def _bit_processor() -> BitImageProcessorPil:
    return BitImageProcessorPil(
        size={"shortest_edge": 48},
        crop_size={"height": DINO_SIZE, "width": DINO_SIZE},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def _words(words: list[str], unknown: str, template: str, special: list[tuple[str, int]]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return tokenizer
