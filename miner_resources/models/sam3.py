"""SAM 3: boxes for anything that texts describe, one text at a time over one encoding of the picture.

Reference: arXiv:2511.16719. A text gives a fixed number of candidates, each with a logit, and one more logit for
whether the picture shows such a thing at all; a score is the product of both sigmoids. Masks are not asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import numpy as np
import torch
from transformers import Sam3Model

from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.boxes import to_pixels
from miner_resources.models.loaded import Checkpoint, LoadedModel, padded_tokens, read_tokenizer, read_weights
from miner_resources.models.preprocess import SQUASH, read_preprocess, square
from miner_resources.models.selection import no_boxes, select
from miner_resources.records import Floats
from miner_resources.scores import sigmoid


@dataclass(frozen=True)
class _Text:
    """An encoded text on the CPU: (1, tokens, D) features, and (1, tokens) which of them are no padding."""

    features: torch.Tensor
    mask: torch.Tensor


class Sam3Detector(LoadedModel):
    """An `ObjectDetector`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = read_weights(Sam3Model, replace(checkpoint, dtype=torch.float32))
        # These see pictures and take the time. What handles coordinates stays in float32: bfloat16 would place boxes on
        # a grid of up to 8 px in a 1920 px frame.
        model.vision_encoder.to(checkpoint.dtype)
        model.detr_encoder.to(checkpoint.dtype)
        # Of no use for texts and boxes; of the maps of features the last one is for masks, and boxes are found on the
        # one before.
        del model.geometry_encoder, model.mask_decoder
        neck, decoder = model.vision_encoder.neck, model.detr_decoder
        neck.fpn_layers = torch.nn.ModuleList([neck.fpn_layers[-2]])
        neck.position_encoding = _Places(neck.position_encoding)
        # transformers' cache of this would keep the decoder alive for ever.
        decoder._get_coords = MethodType(type(decoder)._get_coords.__wrapped__, decoder)
        self._tokenizer: Any = read_tokenizer(checkpoint)
        self._texts: dict[str, _Text] = {}
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, lambda values: square(values, SQUASH)))

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes with a score of at least the floor, best first; see `ObjectDetector`."""
        wanted = np.ones((len(images), len(query.prompts)), np.bool_) if asked is None else asked
        prompts = list(dict.fromkeys(query.prompts[number] for number in np.flatnonzero(wanted.any(axis=0))))
        if not len(images) or not prompts:
            return [no_boxes() for _ in sizes]
        texts = [self._encode(prompt) for prompt in prompts]
        logits, presence, boxes = self._run(images, lambda model, batch: self._forward(model, batch, texts))
        owners = [[number for number, text in enumerate(query.prompts) if text == prompt] for prompt in prompts]
        return [
            select(
                _scores(logits[row], presence[row], owners, len(query.prompts)),
                to_pixels(boxes[row].reshape(-1, 4), size),
                size,
                query,
                wanted[row],
            )
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """The image tower, which takes nearly all of the time."""
        return [model.vision_encoder]

    def _forward(
        self,
        model: Any,  # noqa: ANN401
        images: torch.Tensor,
        texts: Sequence[_Text],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (N, T, Q), presence (N, T) and corners (N, T, Q, 4) as parts of the picture."""
        seen = model.vision_encoder(self.preprocess.normalize(images, self._dtype))
        (features,), (places,) = seen.fpn_hidden_states, seen.fpn_position_encoding
        found = [self._look(model, features, places, text) for text in texts]
        logits, presence, boxes = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        return logits, presence, boxes

    def _look(
        self,
        model: Any,  # noqa: ANN401
        features: torch.Tensor,
        places: torch.Tensor,
        text: _Text,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The part of transformers' forward pass that finds boxes, for one text."""
        count, device = len(features), features.device
        mask = text.mask.to(device).expand(count, -1)
        words = text.features.to(device, features.dtype).expand(count, -1, -1)
        mixed = model.detr_encoder(
            vision_features=[features],
            text_features=words,
            vision_pos_embeds=[places.to(features.dtype)],
            text_mask=mask,
        )
        decoder, words = model.detr_decoder, mixed.text_features.float()
        found = decoder(
            vision_features=mixed.last_hidden_state.float(),
            text_features=words,
            vision_pos_encoding=mixed.pos_embeds_flattened.float(),
            text_mask=mask,
            spatial_shapes=mixed.spatial_shapes,
        )
        last = found.intermediate_hidden_states[-1]
        logits = model.dot_product_scoring(decoder_hidden_states=last[None], text_features=words, text_mask=mask)
        centres = (torch.special.logit(found.reference_boxes[-1], eps=1e-3) + decoder.box_head(last)).sigmoid()
        middle, half = centres[..., :2], centres[..., 2:] / 2
        return logits[0, ..., 0], found.presence_logits[-1][:, 0], torch.cat([middle - half, middle + half], -1)

    @torch.inference_mode()
    def _encode(self, prompt: str) -> _Text:
        """Each text alone, so that it does not depend on the others."""
        if prompt not in self._texts:
            model, device = self._replicas.first
            length = self._config.text_config.max_position_embeddings
            tokens = padded_tokens(self._tokenizer, prompt, length).to(device)
            encoded = model.get_text_features(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
            self._texts[prompt] = _Text(encoded.pooler_output.float().cpu(), tokens.attention_mask.bool().cpu())
        return self._texts[prompt]


class _Places(torch.nn.Module):
    """Where each place of a map of features is; one for all pictures, as transformers would keep it for each."""

    def __init__(self, encoding: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.encoding = encoding

    def forward(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """(N, D, H, W) for features of that shape."""
        return self.encoding(torch.Size((1, *shape[1:])), device, dtype).expand(shape[0], -1, -1, -1)


def _scores(logits: Floats, presence: Floats, owners: Sequence[Sequence[int]], prompts: int) -> Floats:
    """(T * Q, P) scores; -1 for texts that a candidate is not for.

    Args:
        logits: (T, Q) of each text's candidates.
        presence: (T,) logits of its presence.
        owners: for each text the numbers of the prompts that say it.
        prompts: how many there are, P.
    """
    scores = np.full((*logits.shape, prompts), -1, np.float32)
    for row, numbers in enumerate(owners):
        scores[row][:, numbers] = (sigmoid(logits[row]) * sigmoid(presence[row]))[:, None]
    return scores.reshape(-1, prompts)
