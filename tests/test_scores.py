"""The sigmoid that all scores come from."""

import numpy as np
import pytest

from miner_resources.scores import sigmoid


def test_sigmoid_is_exact_and_does_not_overflow():
    scores = sigmoid(np.array([-np.inf, -1e4, -2.0, 0.0, 2.0, 1e4], np.float32))
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([0, 0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1], abs=1e-7)


def test_sigmoid_keeps_the_order_of_logits():
    scores = sigmoid(np.linspace(-80, 8, 1001, dtype=np.float32))
    assert (np.diff(scores) > 0).all()
