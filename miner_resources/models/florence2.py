"""Florence-2: boxes for one phrase at a time, written out as text, without scores.

Reference: arXiv:2311.06242. A picture is encoded once; each phrase then has its sequence of image vectors and words,
which is read and answered word by word. The answer is the likeliest word at each step, where the authors search with
three beams: a third of the cost, and the same answer in whatever company.
"""

import copy
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from transformers import Florence2ForConditionalGeneration

from miner_resources.errors import InvalidData
from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.florence2_answers import Corners, in_pixels, read_answer, read_signs
from miner_resources.models.loaded import Checkpoint, LoadedModel, read_tokenizer, read_weights
from miner_resources.models.preprocess import SQUASH, read_preprocess, square
from miner_resources.models.runtime import to_numpy
from miner_resources.models.unscored import select_unscored
from miner_resources.records import Floats

QUESTION: Final = "Locate {} in the image."
"""What the task `<OPEN_VOCABULARY_DETECTION>` stands for; the model knows the sentence only."""
ANSWER_MAX: Final = 1024
"""Tokens: about 250 boxes. Upstream's limit."""

_Pair = tuple[int, int]
"""Numbers of a picture and of a text."""


class Florence2Detector(LoadedModel):
    """An `ObjectDetector` without scores."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        _check_layout(checkpoint)
        model = read_weights(Florence2ForConditionalGeneration, checkpoint)
        model.lm_head = _in_float32(model.lm_head)
        self._tokenizer: Any = read_tokenizer(checkpoint)
        self._signs = read_signs(self._tokenizer, checkpoint.name)
        self._texts: dict[str, Floats] = {}
        self._positions = int(model.config.text_config.max_position_embeddings)
        self._longest = min(ANSWER_MAX, self._positions - 1)
        # The released files ask for beams, and those of some fine-tuned checkpoints name the wrong special tokens. What
        # else they say, such as never to write the same three tokens twice, stays.
        model.generation_config.update(
            num_beams=1,
            do_sample=False,
            early_stopping=False,
            use_cache=True,
            max_new_tokens=self._longest,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        super().__init__(checkpoint, model, read_preprocess(checkpoint.folder, lambda values: square(values, SQUASH)))

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes in the order of the texts, all without a score; see `ObjectDetector`."""
        wanted = np.ones((len(images), len(query.prompts)), np.bool_) if asked is None else asked
        answers = self._answers(images, query.prompts, wanted)
        return [
            select_unscored(
                [in_pixels(answers.get((row, text), ()), size) for text in range(len(query.prompts))], size, query
            )
            for row, size in zip(range(len(images)), sizes, strict=True)
        ]

    def hot_parts(self, model: Any) -> Sequence[Any]:  # noqa: ANN401
        """The image tower: what follows it depends on the length of texts and answers."""
        return [model.model.vision_tower]

    def _answers(self, images: Batch, prompts: Sequence[str], wanted: Asked) -> dict[_Pair, list[Corners]]:
        looked: list[int] = np.flatnonzero(wanted.any(axis=1)).tolist()
        if not looked:
            return {}
        (features,) = self._run([images[row] for row in looked], self._see)
        seen = dict(zip(looked, features, strict=True))
        questions = [self._encode(prompt, self._positions - features.shape[1]) for prompt in prompts]
        answers: dict[_Pair, list[Corners]] = {}
        # Questions of one length share a batch whatever they ask for: with few pictures per phrase, batches stay full.
        pairs = [(row, text) for row in looked for text in range(len(prompts)) if wanted[row, text]]
        pairs.sort(key=lambda pair: len(questions[pair[1]]))
        for _, alike in groupby(pairs, key=lambda pair: len(questions[pair[1]])):
            answers |= self._ask(list(alike), seen, questions)
        return answers

    def _ask(
        self, pairs: Sequence[_Pair], seen: dict[int, Floats], questions: Sequence[Floats]
    ) -> dict[_Pair, list[Corners]]:
        """Batch by batch: a sequence takes megabytes."""
        answers: dict[_Pair, list[Corners]] = {}
        step = self._replicas.at_once
        for start in range(0, len(pairs), step):
            some = pairs[start : start + step]
            (tokens,) = self._replicas.run(
                [_bytes(np.concatenate([seen[row], questions[text]])) for row, text in some], self._say
            )
            answers |= {
                pair: read_answer(line.astype(int).tolist(), self._signs)
                for pair, line in zip(some, tokens, strict=True)
            }
        return answers

    def _see(self, model: Any, images: torch.Tensor) -> tuple[torch.Tensor]:  # noqa: ANN401
        """(N, S, D): what the text model reads of each picture."""
        return (model.get_image_features(pixel_values=self.preprocess.normalize(images, self._dtype)).pooler_output,)

    def _say(self, model: Any, sequences: torch.Tensor) -> tuple[torch.Tensor]:  # noqa: ANN401
        """(N, S + L, 4 D) bytes to (N, `_longest` + 1) token ids, padded."""
        embedded = sequences.view(torch.float32).to(self._dtype)
        tokens = model.generate(
            encoder_outputs=model.get_encoder()(inputs_embeds=embedded),
            attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device),
        )
        rest = self._longest + 1 - tokens.shape[1]
        return (F.pad(tokens, (0, rest), value=self._tokenizer.pad_token_id),)

    @torch.inference_mode()
    def _encode(self, prompt: str, room: int) -> Floats:
        """(L, D) vectors of a question of at most `room` tokens."""
        if prompt not in self._texts:
            model, device = self._replicas.first
            words = self._tokenizer(
                QUESTION.format(prompt.strip()), add_special_tokens=False, truncation=True, max_length=room - 2
            ).input_ids
            ids = torch.tensor([self._tokenizer.bos_token_id, *words, self._tokenizer.eos_token_id], device=device)
            self._texts[prompt] = to_numpy(model.get_input_embeddings()(ids))
        return self._texts[prompt]


def _check_layout(checkpoint: Checkpoint) -> None:
    config = (checkpoint.folder / "config.json").read_text(encoding="utf-8")
    if '"florence2_language"' in config:
        raise InvalidData(
            f"{checkpoint.name} is Florence-2 in the layout of its authors, which needs code from the hub",
            remedy="take it in the layout of transformers: florence-community/Florence-2-large-ft or the like",
        )


def _bytes(vectors: Floats) -> npt.NDArray[np.uint8]:
    """Batches are made of bytes, as pictures are; half precision survives the way through float32 unchanged."""
    return np.ascontiguousarray(vectors, np.float32).view(np.uint8)


def _in_float32(head: Any) -> Any:  # noqa: ANN401
    """A copy of the output layer that computes in float32.

    In bfloat16 many of the thousand places have equal logits, and the first of them would always win. It is a copy as
    the weights are also those of the words that are read.
    """
    if head.weight.dtype == torch.float32:
        return head
    precise = copy.deepcopy(head).float()
    precise.register_forward_pre_hook(_to_float32)
    return precise


def _to_float32(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (inputs[0].float(),)
