"""Are splits really apart? The similarity of every frame to the nearest one in another split, from stored embeddings.

Recorded duplicates are not enough. Frames of two videos can both be kept and still be near-duplicates: when the
threshold within videos is below the one across videos, when an approximate index missed a pair, or when the last
digits of a similarity were rounded. `separate` joins such videos before the splits are fixed; the asset check looks
again at what was written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from miner_assets.logic.splits import Splits
from miner_resources.errors import InvalidData
from miner_resources.records import Floats, check_unit_length

BLOCK: Final = 2048
SLACK: Final = 1e-4
"""Videos are joined at this much below the threshold: products round differently from one machine to the next."""
EDGES: Final = tuple(round(step / 20, 2) for step in range(21))
"""Bins of the histogram: 0, 0.05, … 1."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FrameVectors:
    """Frames of the dataset with their embeddings.

    Attributes:
        videos: N video ids.
        vectors: (N, D) float32, unit length.
    """

    videos: Sequence[str]
    vectors: Floats

    def __post_init__(self) -> None:
        if len(self.videos) != len(self.vectors):
            raise InvalidData(
                f"{len(self.videos)} frames have {len(self.vectors)} embeddings", remedy="run the embed stage again"
            )
        check_unit_length(self.vectors)


@dataclass(frozen=True)
class Crossing:
    """What lies near to each other although it lies in different splits.

    Attributes:
        similarity: (N,) float32, the highest cosine to a frame of another split; NaN if there is no other split.
        leaks: pairs of videos (each sorted, all sorted) with frames at least as similar as the threshold.
    """

    similarity: Floats
    leaks: tuple[tuple[str, str], ...]

    @property
    def highest(self) -> float | None:
        """The highest of all; None if there are no two splits."""
        values = self.similarity[~np.isnan(self.similarity)]
        return round(float(values.max()), 6) if len(values) else None


def compare_across(frames: FrameVectors, splits: Sequence[str], threshold: float) -> Crossing:
    """Compare every frame with all frames of other splits, exactly, in blocks.

    Time is the number of pairs that cross splits: 100,000 frames at 80/10/10 take about a minute on two CPU cores.

    Args:
        frames: the frames.
        splits: N, the split of each frame.
        threshold: cosine from which two frames are near-duplicates.
    """
    names = sorted(set(frames.videos))
    codes = {name: code for code, name in enumerate(names)}
    owner = np.array([codes[name] for name in frames.videos], np.int64)
    rows = [np.flatnonzero(np.array(splits, dtype=object) == split) for split in sorted(set(splits))]
    highest = np.full(len(owner), -np.inf, np.float32)
    leaks: set[tuple[int, int]] = set()
    for sides in combinations(rows, 2):
        leaks |= _compare(frames.vectors, owner, sides, highest, threshold)
    pairs = sorted({(min(a, b), max(a, b)) for a, b in leaks})
    highest[np.isneginf(highest)] = np.nan
    return Crossing(highest, tuple((names[one], names[other]) for one, other in pairs))


def separate(
    assign: Callable[[Sequence[tuple[str, str]]], Splits], frames: FrameVectors, threshold: float
) -> tuple[Splits, Crossing]:
    """Assign splits, join the videos that turn out to share footage across them, and assign again until none does.

    Args:
        assign: gives the splits when the videos of the given pairs are also kept together.
        frames: the frames of the videos.
        threshold: cosine from which two frames are near-duplicates.
    """
    found: list[tuple[str, str]] = []
    while True:
        splits = assign(found)
        crossing = compare_across(frames, [splits.split_of[name] for name in frames.videos], threshold - SLACK)
        if not crossing.leaks:
            return splits, crossing
        # Each round joins groups that were apart, so this ends.
        found.extend(crossing.leaks)


def similarity_histogram(splits: Sequence[str], similarity: Floats) -> dict[str, list[int]]:
    """Split → how many of its frames have their nearest neighbour in another split at a similarity in each bin.

    Args:
        splits: N, the split of each frame.
        similarity: (N,), as in `Crossing`.

    Returns:
        Counts between neighbouring `EDGES`; below 0 counts as 0, and a split that is alone has counts of 0.
    """
    of_split = np.array(splits, dtype=object)
    histogram: dict[str, list[int]] = {}
    for name in sorted(set(splits)):
        values = similarity[of_split == name]
        counts, _ = np.histogram(np.clip(values[~np.isnan(values)], 0.0, 1.0), bins=np.array(EDGES))
        histogram[name] = counts.tolist()
    return histogram


def _compare(
    vectors: Floats, owner: Indices, sides: tuple[Indices, Indices], highest: Floats, threshold: float
) -> set[tuple[int, int]]:
    """Raise `highest` in place to what the two sides have in common; returns pairs of owners at or above the threshold.

    The few pairs that pass become pairs of videos block by block, so that a dataset full of repeats fits into memory.
    """
    found: set[tuple[int, int]] = set()
    for left in _blocks(sides[0]):
        one = vectors[left]
        for right in _blocks(sides[1]):
            similarity = one @ vectors[right].T
            highest[left] = np.maximum(highest[left], similarity.max(axis=1))
            highest[right] = np.maximum(highest[right], similarity.max(axis=0))
            row, column = np.nonzero(similarity >= threshold)
            if len(row):
                pairs = np.unique(np.stack([owner[left[row]], owner[right[column]]]), axis=1)
                found.update((int(a), int(b)) for a, b in pairs.T)
    return found


def _blocks(rows: Indices) -> list[Indices]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
