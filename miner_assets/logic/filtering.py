"""Which frames show one of the classes: from logits to kept or dropped, with the reason.

A class scores as its best prompt does. Thresholds apply to stored logits, so changing one costs no model.
Reference: SigLIP's sigmoid reading of a logit, arXiv:2303.15343, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from miner_resources.config_sections import ClassSpec
from miner_resources.records import Floats
from miner_resources.scores import sigmoid

BELOW_THRESHOLD: Final = "below_threshold"
NEGATIVE_PROMPT: Final = "negative_prompt"


@dataclass(frozen=True)
class Question:
    """All texts to score a frame against, and which class each is for.

    Attributes:
        texts: P prompts, negatives after positives.
        owners: (P,) index of the class of each text.
        negative: (P,) bool.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    owners: npt.NDArray[np.int64]
    negative: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """What the filter says about N frames and C classes.

    Attributes:
        best: (N,) index of the class with the highest score.
        kept: (N,) bool.
        reasons: N reasons, None for kept frames.
        scores: (N, C) float32, sigmoid of the logits.
    """

    best: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]
    reasons: list[str | None]
    scores: Floats


def thresholds_of(classes: Mapping[str, ClassSpec], default: float) -> list[float]:
    """The threshold of each class: its own, or that of the filter."""
    return [default if spec.threshold is None else spec.threshold for spec in classes.values()]


def question(classes: Mapping[str, ClassSpec], templates: Sequence[str]) -> Question:
    """The texts for `classes`, in the order of the configuration.

    Args:
        classes: name → its texts.
        templates: texts for classes without prompts of their own, with {} for the name.
    """
    rows: list[tuple[str, int, bool]] = []
    for index, (name, spec) in enumerate(classes.items()):
        own = spec.prompts or [template.replace("{}", name) for template in templates]
        rows += [(text, index, False) for text in own]
        rows += [(text, index, True) for text in spec.negatives]
    rows.sort(key=lambda row: row[2])
    return Question(
        tuple(classes),
        tuple(text for text, _, _ in rows),
        np.array([owner for _, owner, _ in rows], np.int64),
        np.array([negative for _, _, negative in rows], np.bool_),
    )


def class_logits(logits: Floats, asked: Question) -> tuple[Floats, Floats]:
    """Best logit per class.

    Args:
        logits: (N, P) of each frame and text.
        asked: what the texts are for.

    Returns:
        (N, C) of the best prompt, and (N, C) of the best negative, -inf where a class has none.
    """
    shape = (len(logits), len(asked.classes))
    positive, negative = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    for column, (owner, is_negative) in enumerate(zip(asked.owners, asked.negative, strict=True)):
        target = negative if is_negative else positive
        target[:, owner] = np.maximum(target[:, owner], logits[:, column])
    return positive, negative


def judge(positive: Floats, negative: Floats, thresholds: Sequence[float]) -> Verdict:
    """Keep the frames in which a class reaches its threshold and beats its negatives.

    Args:
        positive: (N, C) logits of the classes.
        negative: (N, C) logits of their best negatives, -inf where there is none.
        thresholds: one score in 0..1 per class.
    """
    scores = sigmoid(positive)
    reaches = scores >= np.array(thresholds, np.float32)
    passes = reaches & (positive >= negative)
    kept: npt.NDArray[np.bool_] = np.logical_or.reduce(passes, axis=1)
    vetoed: npt.NDArray[np.bool_] = np.logical_or.reduce(reaches, axis=1) & ~kept
    # Among the classes that pass if any does, so that the best class of a kept frame is one that kept it.
    ranked = np.where(passes | ~kept[:, None], positive, -np.inf)
    reasons = [None if kept[row] else NEGATIVE_PROMPT if vetoed[row] else BELOW_THRESHOLD for row in range(len(scores))]
    best = ranked.argmax(axis=1) if len(ranked) else np.zeros(0, np.int64)
    return Verdict(best.astype(np.int64), kept, reasons, scores)
