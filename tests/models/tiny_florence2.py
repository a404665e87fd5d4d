"""Tiny Florence-2 with a tokenizer of whole words; its answers are nearly all places."""

import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

SIZE = 64
LONGEST = 24
"""Positions, of what is read and of what is answered."""
WORDS = [
    *("a", "of", "the", "red", "blue", "green", "circle", "square", "triangle", "star", "cat", "dog", "person", "car"),
    *("locate", "in", "image", "."),
]
SIGNS = ["<s>", "<pad>", "</s>", "<unk>", "<image>", "<poly>", "</poly>", "<sep>"]
"""In this order: the ids of the first three are those of BART."""


def build_florence2(folder: Path, seed: int = 0) -> None:
    """With the settings for generation of the released checkpoints: three beams."""
    tokenizer = _tokenizer()
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 32,
            "max_position_embeddings": LONGEST,
            **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
            **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
            **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
        },
        vision_config={
            "depths": [1, 1, 1, 1],
            "embed_dim": [8, 16, 16, 32],
            "num_heads": [1, 1, 2, 2],
            "num_groups": [1, 1, 2, 2],
            "window_size": 4,
            "projection_dim": 32,
        },
        image_token_id=tokenizer.image_token_id,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        model = Florence2ForConditionalGeneration(config)
    _redraw(model, torch.Generator().manual_seed(seed))
    model.generation_config = GenerationConfig(
        num_beams=3,
        early_stopping=True,
        no_repeat_ngram_size=3,
        decoder_start_token_id=2,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(
        size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    images.image_seq_length = (SIZE // 32) ** 2 + 1
    kinds = ("description_with_bboxes_or_polygons", "phrase_grounding")
    Florence2Processor(images, tokenizer, post_processor_config={kind: {} for kind in kinds}).save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    words = [*SIGNS, *WORDS, *(f"<loc_{place}>" for place in range(1000))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=LONGEST,
        model_input_names=["input_ids", "attention_mask"],
    )


def _redraw(model, generator):
    """As transformers draws them, all pictures look the same, no token is likelier than another, and few boxes are any.

    Here places are likelier than words, some answers end early, what is seen counts for much, and in each group of four
    answered places the first two tend to be low and the others high.
    """
    language = model.model.language_model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                fan = 1 if "embed" in name or "shared" in name else parameter[0].numel()
                parameter.normal_(0, fan**-0.5, generator=generator)
        language.decoder.layers[0].encoder_attn.out_proj.weight *= 4
        words = model.get_input_embeddings().weight
        slope = torch.randn(words.shape[1], generator=generator)
        words[-1000:] += torch.linspace(-0.5, 0.5, 1000)[:, None] * slope
        words[:-1000] *= 0.2
        words[2] *= 9
        for place, row in enumerate(language.decoder.embed_positions.weight[2:]):
            row += (2 if place % 4 in {3, 0} else -2) * slope
