"""Tiny SigLIP 2 NaFlex with a tokenizer that spells words letter by letter."""

import string
import warnings
from pathlib import Path

import torch
from tokenizers.processors import TemplateProcessing
from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Processor, Siglip2Tokenizer

PATCH = 8
MOST = 40
TEXT_LENGTH = 64


def build_naflex(folder: Path, seed: int = 0) -> None:
    """Half precision in the file; as many positions as no picture has patches, so that the table is always resized."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*specials, "▁", *string.ascii_lowercase]
    tokenizer = Siglip2Tokenizer(
        vocab={letter: index for index, letter in enumerate(letters)},
        merges=[],
        padding_side="right",
        model_max_length=TEXT_LENGTH,
        model_input_names=["input_ids", "attention_mask"],  # the mask must not reach the text tower
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Siglip2Config(
        text_config={
            **tower,
            "vocab_size": len(letters),
            "max_position_embeddings": TEXT_LENGTH,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 1,
        },
        vision_config={**tower, "num_patches": 49, "patch_size": PATCH},
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        model = Siglip2Model(config)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.5)
    model.half().save_pretrained(folder)
    processor = Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=MOST)
    Siglip2Processor(processor, tokenizer).save_pretrained(folder)
