"""What a threshold does to stored scores: how many frames of each class it keeps, and which ones it is about.

Histograms are binned by logit, not by score: a sigmoid model gives nearly all frames scores near 0, where equal steps
of score would put everything into one bar. Equal steps of logit are equal factors of the odds, everywhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from miner_assets.logic.filtering import judge
from miner_resources.records import Floats, Json
from miner_resources.scores import sigmoid

LOWEST: Final = -12.0
"""Logit where the histogram begins: score 0.000006. The first and the last bin also count what lies outside."""
HIGHEST: Final = 8.0
"""Logit where it ends: score 0.9997."""
BIN_WIDTH: Final = 0.5
BINS: Final = round((HIGHEST - LOWEST) / BIN_WIDTH)
NEAR: Final = 2.0
"""Frames that miss the threshold by fewer logits count as near it: their odds are within a factor of seven."""
TOGETHER: Final = 2
"""Frames of one video that are shown before those of other videos have their turn."""
SCORE_STEPS: Final = (0.0, 0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""Of the histogram in words, for tables."""

ABOVE: Final = "above"
BELOW: Final = "below"
VETOED: Final = "vetoed"

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StoredScores:
    """N frames and what a text-image model said about C classes.

    Attributes:
        frames: (N) rows of `video_id` and `frame_index`, and no other columns.
        positive: (N, C) logits of the classes, -inf where a frame was not scored for a class.
        negative: (N, C) logits of their best negatives, -inf where there is none.
    """

    classes: tuple[str, ...]
    frames: pl.DataFrame
    positive: Floats
    negative: Floats


@dataclass(frozen=True)
class ShownFrame:
    """A frame near the threshold of a class.

    Attributes:
        score: for that class.
        side: `ABOVE` it passes, `VETOED` it reaches the threshold but a negative fits better, `BELOW`.
        kept_as: the best of the classes that keep it, None if it is dropped.
    """

    video_id: str
    frame_index: int
    score: float
    side: str
    kept_as: str | None


@dataclass(frozen=True)
class ClassPreview:
    """What the threshold of one class does.

    Attributes:
        above: frames that reach it and are not vetoed; `above`, `below` and `vetoed` are all that were scored.
        near: frames that miss it by fewer than `NEAR` logits.
        median: of the scores, None without frames.
        histogram: side → (BINS,) frames by logit, from `LOWEST` to `HIGHEST`.
        by_score: frames by score in words, without empty steps.
        shown: best score first; empty for classes that are not pictured.
    """

    name: str
    threshold: float
    above: int
    below: int
    vetoed: int
    near: int
    median: float | None
    histogram: dict[str, Counts]
    by_score: dict[str, int]
    shown: tuple[ShownFrame, ...] = ()

    def numbers(self) -> dict[str, Json]:
        """What a table says about it."""
        return {
            "threshold": self.threshold,
            "above": self.above,
            "below": self.below,
            "vetoed": self.vetoed,
            "median": None if self.median is None else float(f"{self.median:.3g}"),
            "scores": self.by_score,
        }


@dataclass(frozen=True)
class ThresholdPreview:
    """All classes, and those to make a picture of.

    Attributes:
        pictured: names, in the order of `classes`.
    """

    classes: tuple[ClassPreview, ...]
    pictured: tuple[str, ...]
    frames: int
    videos: int


def preview_thresholds(
    stored: StoredScores, thresholds: Sequence[float], *, pictured: int, tiles: int, among: Collection[str] = ()
) -> ThresholdPreview:
    """Judge stored scores by `thresholds`, and choose what to show.

    Args:
        stored: the scores.
        thresholds: one score in 0..1 per class.
        pictured: classes to show frames of, at most: those with most frames near or above their threshold.
        tiles: frames to show of each, half of them above; where one side has fewer, the other fills the places.
        among: classes to picture if they are not too many; empty: all.
    """
    verdict = judge(stored.positive, stored.negative, thresholds)
    reaches = verdict.scores >= np.array(thresholds, np.float32)
    passes = reaches & (stored.positive >= stored.negative)
    previews = [
        _count(stored, column, thresholds[column], reaches[:, column], passes[:, column])
        for column in range(len(stored.classes))
    ]
    order = sorted(
        (column for column, name in enumerate(stored.classes) if not among or name in among),
        key=lambda column: -previews[column].near - _reaching(previews[column]),
    )
    chosen = sorted(order[:pictured])
    for column in chosen:
        rows = _choose(stored, column, reaches[:, column], tiles)
        shown = [
            ShownFrame(
                video_id,
                frame_index,
                float(verdict.scores[row, column]),
                _side(bool(reaches[row, column]), bool(passes[row, column])),
                stored.classes[verdict.best[row]] if verdict.kept[row] else None,
            )
            for row, (video_id, frame_index) in zip(rows, stored.frames[rows].iter_rows(), strict=True)
        ]
        previews[column] = replace(previews[column], shown=tuple(shown))
    names = tuple(stored.classes[column] for column in chosen)
    return ThresholdPreview(tuple(previews), names, len(stored.frames), stored.frames["video_id"].n_unique())


def logit(score: float) -> float:
    """The logit of a score; -inf for 0 and inf for 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(score) - np.log1p(-score))


def _reaching(counted: ClassPreview) -> int:
    return counted.above + counted.vetoed


def _side(reaches: bool, passes: bool) -> str:
    if passes:
        return ABOVE
    return VETOED if reaches else BELOW


def _count(
    stored: StoredScores, column: int, threshold: float, reaches: npt.NDArray[np.bool_], passes: npt.NDArray[np.bool_]
) -> ClassPreview:
    logits = stored.positive[:, column]
    scored = logits > -np.inf
    members = {ABOVE: scored & passes, VETOED: scored & reaches & ~passes, BELOW: scored & ~reaches}
    bins = ((np.clip(logits, LOWEST, HIGHEST) - LOWEST) / BIN_WIDTH).astype(np.int64).clip(0, BINS - 1)
    scores = sigmoid(logits[scored])
    steps, _ = np.histogram(scores, SCORE_STEPS)
    words = [f"{low:g}–{high:g}" for low, high in pairwise(SCORE_STEPS)]
    return ClassPreview(
        name=stored.classes[column],
        threshold=threshold,
        above=int(members[ABOVE].sum()),
        below=int(members[BELOW].sum()),
        vetoed=int(members[VETOED].sum()),
        near=int((members[BELOW] & (logits > logit(threshold) - NEAR)).sum()),
        median=float(np.median(scores)) if len(scores) else None,
        histogram={side: np.bincount(bins[rows], minlength=BINS).astype(np.int64) for side, rows in members.items()},
        by_score={word: int(count) for word, count in zip(words, steps, strict=True) if count},
    )


def _choose(stored: StoredScores, column: int, reaches: npt.NDArray[np.bool_], tiles: int) -> list[int]:
    """Row numbers of the frames nearest to the threshold on either side, best score first."""
    logits = stored.positive[:, column]
    upper = np.flatnonzero(reaches & (logits > -np.inf))
    lower = np.flatnonzero(~reaches & (logits > -np.inf))
    half = tiles // 2
    above = _nearest(stored, upper, logits[upper], max(half, tiles - len(lower)))
    below = _nearest(stored, lower, -logits[lower], max(tiles - half, tiles - len(above)))
    return sorted([*above, *below], key=lambda row: (-logits[row], row))


def _nearest(stored: StoredScores, rows: npt.NDArray[np.int64], distance: Floats, count: int) -> list[int]:
    """The rows with the least `distance`; of one video no more than `TOGETHER` while others have some."""
    videos = stored.frames["video_id"].gather(rows)
    if videos.n_unique() <= 1:
        return rows[np.argsort(distance, kind="stable")[:count]].tolist()
    nearest = pl.struct("distance", "row").bottom_k(count).alias("nearest")
    candidates = (
        pl.DataFrame({"video_id": videos, "row": rows, "distance": distance})
        .group_by("video_id")
        .agg(nearest)
        .explode("nearest")
        .select(pl.col("nearest").struct.unnest(), "video_id")
        .sort("distance", "row")
    )
    turn = pl.int_range(pl.len()).over("video_id") // TOGETHER
    return candidates.sort(turn, "distance", "row")["row"].head(count).to_list()
