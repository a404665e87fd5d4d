"""Grounding DINO, MM-Grounding-DINO and LLMDet: boxes for phrases that are read together with the picture.

References: arXiv:2303.05499, arXiv:2401.02361, arXiv:2501.18954. A picture gives a fixed number of candidates, each
with one logit per token of the text. The score of a phrase is the highest of its tokens; the stock decoding instead
glues together all tokens above a threshold, over the borders of phrases.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForZeroShotObjectDetection

from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.boxes import from_centres, to_pixels
from miner_resources.models.grounding_text import Chunk, check_tokenizer, phrase_ids, split
from miner_resources.models.loaded import Checkpoint, LoadedModel, read_tokenizer, read_weights
from miner_resources.models.preprocess import read_preprocess
from miner_resources.models.preprocess_fit import fit
from miner_resources.models.selection import no_boxes, select
from miner_resources.records import Floats
from miner_resources.scores import sigmoid


class GroundingDetector(LoadedModel):
    """An `ObjectDetector`.

    Phrases that do not fit into one text (256 tokens) are spread over several, each of which takes a pass.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        # Weights stay in float32, and autocast runs what is worth it in half precision. Half-precision weights would
        # drag the coordinates along: in bfloat16 the places of the finest feature map are off by up to 4 px, and boxes
        # lie on a grid of up to 8 px in a 1920 px frame.
        model = read_weights(AutoModelForZeroShotObjectDetection, replace(checkpoint, dtype=torch.float32))
        for projection in model.model.input_proj_vision:
            # transformers computes coordinates in the format that comes out here; autocast sees to it on CUDA only.
            projection[-1].register_forward_pre_hook(_in_float32)
        for layer in model.model.encoder.layers:
            layer.fusion_layer.attn = _OneByOne(layer.fusion_layer.attn)
        self._tokenizer: Any = read_tokenizer(checkpoint)
        check_tokenizer(self._tokenizer, checkpoint.name)
        self._phrases: dict[str, tuple[int, ...]] = {}
        places = int(model.config.num_queries)
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, lambda values: fit(values, places)))

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes with a score of at least the floor, best first; see `ObjectDetector`."""
        chunks = split([self._phrase(prompt) for prompt in query.prompts], int(self._config.max_text_len))
        if not len(images) or not chunks:
            return [no_boxes() for _ in sizes]
        parts = self._run(images, lambda model, batch: self._forward(model, batch, chunks))
        return [
            select(
                _scores([logits[row] for logits in parts[::2]], chunks, len(query.prompts)),
                to_pixels(from_centres(np.concatenate([boxes[row] for boxes in parts[1::2]])), size),
                size,
                query,
                None if asked is None else asked[row],
            )
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401, ARG002
        """None: pictures keep their shapes, and after some shapes PyTorch stops compiling, which rounds otherwise."""
        return []

    def _forward(self, model: Any, images: torch.Tensor, chunks: Sequence[Chunk]) -> list[torch.Tensor]:  # noqa: ANN401
        """For each chunk logits (N, Q, its prompts) and boxes (N, Q, 4), centre and size as parts of the picture."""
        pixels = self.preprocess.normalize(images, torch.float32)
        return [part for chunk in chunks for part in self._read(model, pixels, chunk)]

    def _read(self, model: Any, pixels: torch.Tensor, chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        ids = torch.tensor(chunk.ids, device=pixels.device).expand(len(pixels), -1)
        mask = torch.ones_like(ids)
        with torch.autocast(pixels.device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = model.model(
                pixel_values=pixels,
                input_ids=ids,
                token_type_ids=torch.zeros_like(ids),
                attention_mask=mask,
                return_dict=True,
            )
        logits, boxes = _heads(model, seen, mask.bool())
        return torch.stack([logits[..., start:stop].amax(-1) for start, stop in chunk.spans.values()], -1), boxes

    def _phrase(self, prompt: str) -> tuple[int, ...]:
        if prompt not in self._phrases:
            self._phrases[prompt] = phrase_ids(self._tokenizer, prompt)
        return self._phrases[prompt]


class _OneByOne(torch.nn.Module):
    """Fuses each picture with the text by itself.

    transformers subtracts the highest weight of the whole batch before its softmax, so that a picture's numbers would
    be rounded differently in other company. Nobody asks for the weights, of which there are many.
    """

    def __init__(self, fuse: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.fuse = fuse

    def forward(
        self,
        vision: torch.Tensor,
        text: torch.Tensor,
        vision_attention_mask: torch.Tensor,
        text_attention_mask: torch.Tensor,
    ) -> tuple[tuple[torch.Tensor, None], tuple[torch.Tensor, None]]:
        """(N, places, D) and (N, tokens, D) to what each learns from the other, of the same shapes."""
        rows = zip(*(part.split(1) for part in (vision, text, vision_attention_mask, text_attention_mask)), strict=True)
        fused = [self.fuse(*row) for row in rows]
        return (torch.cat([seen for (seen, _), _ in fused]), None), (torch.cat([read for _, (read, _) in fused]), None)


def _in_float32(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (inputs[0].float(),)


def _heads(model: Any, seen: Any, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """The last step of transformers' forward pass, in float32; it also computes that of all layers before."""
    hidden = seen.intermediate_hidden_states[:, -1].float()
    references = torch.cat([seen.init_reference_points[:, None], seen.intermediate_reference_points], 1)[:, -2].float()
    logits = model.class_embed[-1](hidden, seen.encoder_last_hidden_state_text.float(), mask)
    return logits, (model.bbox_embed[-1](hidden) + torch.special.logit(references, eps=1e-5)).sigmoid()


def _scores(logits: Sequence[Floats], chunks: Sequence[Chunk], prompts: int) -> Floats:
    """(candidates of all chunks, P); -1 for texts that a candidate's chunk does not hold."""
    scores = [np.full((len(part), prompts), -1, np.float32) for part in logits]
    for part, chunk, known in zip(scores, chunks, logits, strict=True):
        part[:, list(chunk.spans)] = sigmoid(known)
    return np.concatenate(scores)
