"""From logits to kept or dropped."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.filtering import (
    BELOW_THRESHOLD,
    NEGATIVE_PROMPT,
    class_logits,
    judge,
    question,
)
from miner_resources.config_sections import ClassSpec

NO_NEGATIVE = -np.inf
TEMPLATES = ["This is a photo of {}."]


def logits(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_a_class_without_prompts_is_asked_for_with_the_template_and_negatives_come_last() -> None:
    asked = question({"cat": ClassSpec(negatives=["a toy"]), "dog": ClassSpec(prompts=["a dog", "a puppy"])}, TEMPLATES)
    assert asked.texts == ("This is a photo of cat.", "a dog", "a puppy", "a toy")
    assert asked.owners.tolist() == [0, 1, 1, 0]
    assert asked.negative.tolist() == [False, False, False, True]


def test_every_template_gives_a_text() -> None:
    asked = question({"cat {x}": ClassSpec(), "dog": ClassSpec(prompts=["a dog"])}, ["a {}", "the {}, {}"])
    assert asked.texts == ("a cat {x}", "the cat {x}, cat {x}", "a dog")
    assert asked.owners.tolist() == [0, 0, 1]


def test_a_class_scores_as_its_best_prompt() -> None:
    asked = question({"cat": ClassSpec(negatives=["n"]), "dog": ClassSpec(prompts=["p", "q"])}, TEMPLATES)
    positive, negative = class_logits(logits([1, 2, 3, 4]), asked)
    assert positive.tolist() == [[1, 3]]
    assert negative.tolist() == [[4, NO_NEGATIVE]]


def test_reasons_say_why_a_frame_was_dropped() -> None:
    positive = logits([0.1, -9], [-1, -9], [0.1, 0.1], [3, 1])
    negative = logits([0.2, NO_NEGATIVE], [0.2, NO_NEGATIVE], [0.2, NO_NEGATIVE], [5, NO_NEGATIVE])
    verdict = judge(positive, negative, [0.5, 0.5])
    assert verdict.reasons == [NEGATIVE_PROMPT, BELOW_THRESHOLD, None, None]
    assert verdict.kept.tolist() == [False, False, True, True]
    assert verdict.best.tolist() == [0, 0, 1, 1], "the best class of a kept frame is one that kept it"


def test_thresholds_are_per_class_and_inclusive() -> None:
    verdict = judge(logits([0.0, 0.0]), logits([NO_NEGATIVE, NO_NEGATIVE]), [0.51, 0.5])
    assert verdict.kept.tolist() == [True]
    assert verdict.best.tolist() == [1]


def test_no_frames() -> None:
    verdict = judge(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), [0.5, 0.5])
    assert verdict.kept.shape == verdict.best.shape == (0,)


@given(st.lists(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=2), max_size=20), st.floats(0, 1))
def test_a_lower_threshold_never_drops_a_frame(rows: list[list[float]], threshold: float) -> None:
    positive = np.array(rows, np.float32).reshape(-1, 2)
    negative = np.full_like(positive, NO_NEGATIVE)
    high = judge(positive, negative, [threshold, threshold])
    low = judge(positive, negative, [threshold / 2, threshold / 2])
    assert not np.any(high.kept & ~low.kept)
    assert all((reason is None) == kept for reason, kept in zip(high.reasons, high.kept.tolist(), strict=True))
