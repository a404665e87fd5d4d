"""Tiny SAM 3 with a tokenizer of a few words; the file of its processor is written as released checkpoints have it."""

import json
from pathlib import Path

import torch
from transformers import Sam3Config, Sam3Model

SIDE = 112
QUERIES = 8
_SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "dropout": 0.0}


def build_sam3(folder: Path, seed: int = 0) -> None:
    """Its heads are drawn wider than transformers does, so that pictures and texts matter."""
    from tests.models.tiny_checkpoints import clip_tokenizer

    tokenizer = clip_tokenizer(32)
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    }
    text = {
        "model_type": "clip_text_model",
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": len(tokenizer) - 1,
    }
    config = Sam3Config(
        vision_config={
            "backbone_config": backbone,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config=text,
        geometry_encoder_config={"num_layers": 1, "roi_size": 3, **_SMALL},
        detr_encoder_config={"num_layers": 1, **_SMALL},
        detr_decoder_config={"num_layers": 2, "num_queries": QUERIES, **_SMALL},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2, "num_upsampling_stages": 3},
    )
    torch.manual_seed(seed)
    model = Sam3Model(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1 and not name.startswith(("geometry_encoder", "mask_decoder")):
                weights.normal_(std=1.2 / weights[0].numel() ** 0.5)
        model.detr_decoder.reference_points.weight.normal_(std=1.0)
        model.detr_decoder.presence_head.layer2.bias.fill_(2.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "Sam3ImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
