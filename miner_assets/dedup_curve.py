"""What other thresholds would have left of the frames, for the dataset card: from stored scores and vectors."""

from typing import Final

from miner_assets.logic.threshold_grid import DEDUP, Counted
from miner_assets.threshold_counts import ThresholdCounter, configured
from miner_assets.threshold_inputs import ThresholdInputs
from miner_assets.workspace import Workspace

THRESHOLDS: Final = (0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Of `dedup.threshold`, besides the configured one."""
MOST_FRAMES: Final = 5_000
"""Each threshold compares all frames with all; more would take longer than all else of the dataset."""


def dedup_curve(workspace: Workspace, frames: int) -> list[Counted]:
    """How many frames would be unique in their video, and in the dataset, at several thresholds.

    Args:
        workspace: the project.
        frames: that are compared across videos now.

    Returns:
        Ascending; nothing where `frames` are more than `MOST_FRAMES` or not all videos have their scores.
    """
    if not 0 < frames <= MOST_FRAMES:
        return []
    config = workspace.config
    counter = ThresholdCounter(config, {DEDUP: [*THRESHOLDS, configured(config).dedup]})
    inputs = ThresholdInputs(workspace)
    for video in inputs.videos():
        counter.see(video)
    return [] if inputs.left_out else counter.counted()[DEDUP]
