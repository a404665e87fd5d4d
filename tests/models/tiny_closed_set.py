"""Tiny RF-DETR, RT-DETR, RT-DETRv2 and D-FINE that know what the tests of adapters ask for, and a little more."""

import json
import re
import warnings
from pathlib import Path

import torch
from transformers import (
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    RfDetrConfig,
    RfDetrDinov2Config,
    RfDetrForObjectDetection,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

SIDE = 64
QUERIES = 12
NAMES = ("N/A", "a red circle", "dog", "N/A", "The Blue Square", "sofa")
"""Of classes; as in RF-DETR's checkpoints for COCO, some numbers are not used."""


def build_rf_detr(folder: Path, seed: int = 16) -> None:
    """Its processor class needs torchvision, so the file is written as released checkpoints have it."""
    backbone = RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=72,  # other than the input: the position table is interpolated, as in the released checkpoints
        patch_size=8,
        num_windows=2,
        out_features=["stage1", "stage2"],
    )
    config = RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        decoder_n_points=2,
        c2f_num_blocks=1,
        group_detr=2,
        num_queries=QUERIES,
        id2label=dict(enumerate(NAMES)),
    )
    _save(RfDetrForObjectDetection, config, folder, seed)
    settings = {
        "image_processor_type": "RfDetrImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_pad": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def build_rt_detr(folder: Path, seed: int = 5) -> None:
    """With the processor of the released checkpoints, at a tenth of their size."""
    config = RTDetrConfig(backbone_config=_resnet(), **_hybrid())
    _save(RTDetrForObjectDetection, config, folder, seed)
    _processor(folder)


def build_rt_detr_v2(folder: Path, seed: int = 8) -> None:
    """As `build_rt_detr`."""
    config = RTDetrV2Config(backbone_config=_resnet(), **_hybrid())
    _save(RTDetrV2ForObjectDetection, config, folder, seed)
    _processor(folder)


def build_d_fine(folder: Path, seed: int = 3) -> None:
    """As `build_rt_detr`, with another backbone; it has the processor of RT-DETR."""
    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        stage_light_block=[False, False, True, True],
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        embedding_size=8,
        out_indices=[2, 3, 4],
    )
    config = DFineConfig(backbone_config=backbone, lqe_hidden_dim=16, max_num_bins=8, **_hybrid())
    _save(DFineForObjectDetection, config, folder, seed)
    _processor(folder)


def _resnet():
    return RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", out_indices=[2, 3, 4]
    )


def _hybrid():
    return {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [16, 24, 32],
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "decoder_in_channels": [32, 32, 32],
        "d_model": 32,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "decoder_n_points": 2,
        "hidden_expansion": 0.5,
        "num_denoising": 4,
        "num_queries": QUERIES,
        "id2label": dict(enumerate(NAMES)),
    }


def _processor(folder):
    RTDetrImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def _save(model_class, config, folder, seed):
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        model = model_class(config)
    _redraw(model, torch.Generator().manual_seed(seed))
    model.save_pretrained(folder)


def _redraw(model, generator):
    """As transformers draws them, all scores are 0.01, boxes are the proposals, and attention is flat."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if re.search(r"(enc|pre)_bbox_head\.layers\.2\.bias|reference_point_embed", name):
                parameter.copy_(torch.tensor([0.0, 0.0, 1.5, 1.5]).expand_as(parameter))  # larger than the proposals
            elif re.search(r"bbox_(embed|head)", name):
                parameter.normal_(0, 0.25, generator=generator)
            elif re.search(r"(class_embed|score_head).*weight", name):
                parameter.normal_(0, 0.5, generator=generator)
            elif re.search(r"(class_embed|score_head).*bias", name):
                parameter.fill_(-1)
            elif re.search(r"(sampling_offsets|attention_weights)\.weight", name):
                parameter.normal_(0, 0.1, generator=generator)
