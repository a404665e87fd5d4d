"""What other thresholds would keep, from stored scores, vectors and boxes; no model runs.

The same functions decide as in the stages, in the same order, so the counts are those that a run would give. What a run
would have to compute first (frames that were never embedded or looked at by the detector) is counted apart.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.boxes import confident
from miner_assets.logic.dedup import deduplicate
from miner_assets.logic.filtering import Verdict, judge, thresholds_of
from miner_assets.logic.threshold_grid import AXES, DEDUP, DETECTION, FILTER, Counted, Setting
from miner_assets.logic.unique import Known, decide_across
from miner_assets.threshold_inputs import StoredVideo
from miner_resources.config import MinerConfig
from miner_resources.similarity import Flags, Indices
from miner_resources.vector_index import ExactSearch, Halves

MOST_ACROSS: Final = 20_000
"""Of more frames those that repeat another video's are not counted: each threshold compares all with all."""

_NOTHING: Final = np.empty(0, np.int64)
_Pair = tuple[float, float]


@dataclass
class _Tally:
    """What is known of one threshold within videos."""

    kept: int = 0
    of: int = 0
    items: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True)
class _Survivors:
    """Of one video the U frames that some setting keeps.

    Attributes:
        halves: (U, D) their vectors as they count across videos.
        boxes: detection threshold → (U,) number of boxes.
        unique: (filter, dedup) → which of the U frames are unique in their video.
    """

    halves: Halves
    looked: Flags
    boxes: dict[float, Indices]
    unique: dict[_Pair, Indices]


def configured(config: MinerConfig) -> Setting:
    """The thresholds of a project."""
    return Setting(config.filter.threshold, config.dedup.threshold, config.detection.confidence_threshold)


class ThresholdCounter:
    """Counts over videos that are shown to it one after the other, in the order in which they were added.

    Args:
        config: of the project.
        grids: axis → thresholds to try; the others stay as configured meanwhile.
    """

    def __init__(self, config: MinerConfig, grids: Mapping[str, Sequence[float]]) -> None:
        self._config = config
        self._usual = usual = configured(config)
        self._grids = {axis: sorted(set(grids.get(axis, ()))) for axis in AXES}
        self._tallies = {axis: {value: _Tally() for value in values} for axis, values in self._grids.items()}
        self._unseen = dict.fromkeys([*self._grids[FILTER], usual.filter], 0)
        self._pairs: list[_Pair] = sorted(
            {(usual.filter, usual.dedup)}
            | {(value, usual.dedup) for value in self._grids[FILTER]}
            | {(usual.filter, value) for value in self._grids[DEDUP]}
        )
        self._survivors: list[_Survivors] = []

    def see(self, video: StoredVideo) -> None:
        """Count a video."""
        verdicts = {threshold: self._judge(video, threshold) for threshold in self._unseen}
        for threshold, verdict in verdicts.items():
            self._unseen[threshold] += int((verdict.kept & ~video.embedded).sum())
        embedded = {threshold: np.flatnonzero(verdict.kept & video.embedded) for threshold, verdict in verdicts.items()}
        unique: dict[_Pair, Indices] = {}
        for threshold, dedup in self._pairs:
            rows = embedded[threshold]
            unique[threshold, dedup] = rows[deduplicate(video.vectors[rows], dedup).kept] if len(rows) else _NOTHING
        self._tally_filter(verdicts)
        for threshold, tally in self._tallies[DEDUP].items():
            tally.kept += len(unique[self._usual.filter, threshold])
            tally.of += len(embedded[self._usual.filter])
        boxes = {
            threshold: confident(video.boxes, threshold, self._config.detection.class_agnostic_nms)
            for threshold in {*self._grids[DETECTION], self._usual.detection}
        }
        self._tally_detection(boxes, video.frame_indexes[unique[self._usual.filter, self._usual.dedup]])
        self._survivors.append(_survivors(video, unique, boxes))

    def counted(self) -> dict[str, list[Counted]]:
        """Axis → a row for each of its thresholds, ascending."""
        filled = [video for video in self._survivors if len(video.halves)]
        halves = np.concatenate([video.halves for video in filled]) if filled else np.zeros((0, 1), np.float16)
        looked = np.concatenate([np.zeros(0, np.bool_), *(video.looked for video in filled)])
        starts = np.cumsum([0, *(len(video.halves) for video in filled)])
        images: dict[_Pair, Indices | None] = {}
        for pair in self._pairs:
            rows = [start + video.unique[pair] for start, video in zip(starts, filled, strict=False)]
            images[pair] = self._across(halves, np.concatenate([_NOTHING, *rows]), pair[1])

        def row(axis: str, threshold: float, tally: _Tally) -> Counted:
            setting = replace(self._usual, **{axis: threshold})
            rows = images[setting.filter, setting.dedup]
            boxes = np.concatenate([_NOTHING, *(video.boxes[setting.detection] for video in filled)])
            return Counted(
                threshold,
                tally.kept,
                tally.of,
                dict(tally.items),
                None if rows is None else len(rows),
                None if rows is None else int(boxes[rows].sum()),
                unseen=self._unseen[setting.filter],
                undetected=0 if rows is None else int((~looked[rows]).sum()),
                current=setting == self._usual,
            )

        return {
            axis: [row(axis, threshold, tally) for threshold, tally in tallies.items()]
            for axis, tallies in self._tallies.items()
        }

    def _judge(self, video: StoredVideo, threshold: float) -> Verdict:
        return judge(video.positive, video.negative, thresholds_of(self._config.classes, threshold))

    def _tally_filter(self, verdicts: Mapping[float, Verdict]) -> None:
        names = list(self._config.classes)
        for threshold, tally in self._tallies[FILTER].items():
            verdict = verdicts[threshold]
            best = np.bincount(verdict.best[verdict.kept], minlength=len(names)).tolist()
            tally.kept += int(verdict.kept.sum())
            tally.of += len(verdict.kept)
            for name, frames in zip(names, best, strict=True):
                tally.items[name] += frames

    def _tally_detection(self, boxes: Mapping[float, pl.DataFrame], unique: Indices) -> None:
        """Count boxes on the frames that are unique in their video as configured."""
        for threshold, tally in self._tallies[DETECTION].items():
            sure = boxes[threshold].filter(pl.col("frame_index").is_in(unique))
            counts: dict[str, int] = dict(sure.group_by("category").len().iter_rows())
            tally.kept += sure["frame_index"].n_unique()
            tally.of += len(unique)
            for name in self._config.classes:
                tally.items[name] += counts.get(name, 0)

    def _across(self, halves: Halves, rows: Indices, threshold: float) -> Indices | None:
        """The rows that repeat none before them, as `unique_frames` decides; None if they are too many."""
        if len(rows) > MOST_ACROSS:
            return None
        search = ExactSearch(halves, rows)
        across = self._config.dedup.model_copy(update={"threshold": threshold}).across
        return rows[decide_across(search, search, across, Known.nothing(len(rows))).kept]


def _survivors(video: StoredVideo, unique: dict[_Pair, Indices], boxes: Mapping[float, pl.DataFrame]) -> _Survivors:
    some = np.unique(np.concatenate([_NOTHING, *unique.values()]))
    return _Survivors(
        video.vectors[some].astype(np.float16),
        video.looked[some],
        {threshold: _boxes_on(video, sure)[some] for threshold, sure in boxes.items()},
        {pair: np.searchsorted(some, rows) for pair, rows in unique.items()},
    )


def _boxes_on(video: StoredVideo, boxes: pl.DataFrame) -> Indices:
    """(N,) boxes on each frame."""
    places = np.searchsorted(video.frame_indexes, boxes["frame_index"].to_numpy())
    return np.bincount(places, minlength=len(video.frame_indexes)).astype(np.int64)
