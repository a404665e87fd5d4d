"""Tiny Grounding DINO and MM-Grounding-DINO with a tokenizer that spells unknown words letter by letter."""

import math
import string
import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    PreTrainedTokenizerFast,
    SwinConfig,
)

SHORTEST, LONGEST = 64, 128
QUERIES = 12
WORDS = [
    *("a", "photo", "of", "the", "red", "blue", "green", "yellow", "shirt", "running"),
    *("circle", "square", "triangle", "star", "cat", "dog", "person", "car"),
]
_FIXED = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
"""Ids that transformers has in its code."""


def build_grounding_dino(folder: Path, seed: int = 0) -> None:
    """With the processor of the released checkpoints, at a tenth of their size."""
    _build(folder, GroundingDinoConfig, GroundingDinoForObjectDetection, seed, length=1.5)


def build_mm_grounding_dino(folder: Path, seed: int = 1) -> None:
    """As `build_grounding_dino`; its classifier has a scale and a bias."""
    _build(folder, MMGroundingDinoConfig, MMGroundingDinoForObjectDetection, seed, length=8)


def tokenizer() -> PreTrainedTokenizerFast:
    """BERT's, with a small vocabulary: words, letters and punctuation; other signs are unknown."""
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase), *"-,'/&!"]
    words = {**{200 + number: word for number, word in enumerate(dict.fromkeys([*WORDS, *letters]))}, **_FIXED}
    vocabulary = {words.get(number, f"[unused{number}]"): number for number in range(1030)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _build(folder, config_class, model_class, seed, length):
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    config = config_class(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=16, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4, out_indices=[2, 3]
        ),
        text_config=BertConfig(
            vocab_size=1030, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        ),
        num_queries=QUERIES,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        num_feature_levels=3,
        **heads,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        model = model_class(config)
    _redraw(model, length, torch.Generator().manual_seed(seed))
    model.save_pretrained(folder)
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": SHORTEST, "longest_edge": LONGEST})
    GroundingDinoProcessor(processor, tokenizer()).save_pretrained(folder)


def _redraw(model, length, generator):
    """As transformers draws them, box heads give the proposals, no text reaches a picture, and attention is flat.

    `length` is that of the vectors whose product with a token's is a logit.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "fusion_layer.vision_param" in name or "fusion_layer.text_param" in name:
                parameter.normal_(0, 0.3, generator=generator)
            elif "bbox_embed" in name:
                parameter.normal_(0, 0.2, generator=generator)
            elif "sampling_offsets.weight" in name or "attention_weights.weight" in name:
                parameter.normal_(0, 0.1, generator=generator)
            elif "text_projection" in name or "query_position_embeddings" in name:
                parameter.normal_(0, 0.5, generator=generator)
            elif name.endswith("class_embed.0.bias"):
                parameter.zero_()
        model.model.decoder.layer_norm.weight.fill_(length / math.sqrt(model.config.d_model))
