"""What logits of all models become: scores in 0..1."""

import numpy as np

from miner_resources.records import Floats


def sigmoid(logits: Floats) -> Floats:
    """Element-wise 1 / (1 + exp(-x)), computed in float64: no overflow, and no rounding before the last step."""
    return (1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))).astype(np.float32)
