"""What the three trainers share: tokenizers of whole words, the learning rate, and saving in half precision."""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

TEMPLATES: Final = (
    "{}",
    "a {}",
    "a photo of a {}",
    "this is a photo of {}.",
    "this is a photo of a {}.",
    "a frame with a {}",
    "a picture of one {}",
    "video frame showing a {}",
    "the {}",
    "an image of the {}",
)
"""Texts under which a class is learned, so that people may ask in their own words."""


def word_tokenizer(words: Sequence[str], *, template: str, length: int, special: dict[str, str]) -> Any:  # noqa: ANN401
    """A tokenizer with one token per word, lower-cased, without punctuation.

    Args:
        words: the vocabulary in order; special tokens included.
        template: of one text, for example "$A <eos>".
        length: longest text in tokens.
        special: `PreTrainedTokenizerFast`'s names of special tokens → tokens.
    """
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("removed")]
    )
    used = [(token, vocabulary[token]) for token in special.values() if token in template]
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=used)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", model_max_length=length, padding_side="right", **special
    )


def descend(
    model: torch.nn.Module, steps: int, *, peak: float, warmup: int, loss_of: Callable[[int], torch.Tensor]
) -> None:
    """AdamW with warm-up and a cosine to 2 % of the peak; gradients clipped to length 1."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    for step in range(steps):
        rate = peak * min(1.0, (step + 1) / warmup) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(f"{time.process_time():.0f} CPU s, step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def save(model: Any, processor: Any, folder: Path, steps: int) -> None:  # noqa: ANN401
    """Write fp16 weights, processor and what it cost."""
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # transformers writes 0600
    cost = {"steps": steps, "cpu_s": round(time.process_time())}
    (folder.parent / f"{folder.name}.json").write_text(json.dumps(cost), encoding="utf-8")
