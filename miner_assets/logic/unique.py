"""Remove near-duplicates across videos; when videos come, change or go, repair the earlier decisions.

The definition is that of `dedup.py` over all videos, in canonical order: when the video was added, its id, time. The
result of a repair equals a decision from nothing, whatever has changed: decisions hang only on the frames kept before,
so a frame has to be looked at again only if a kept frame before it came or went.

- A frame that is new, or whose keeper went, is searched for among all frames kept before it.
- Every other frame is compared only with what is kept now and was not before (`added`); after the last change of a
  project that only grows there is nothing of that kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.dedup import Decisions, decide_block
from miner_resources.records import UNIQUE_FRAMES_SCHEMA, Floats
from miner_resources.similarity import Flags, Indices, canonical_similarities
from miner_resources.vector_index import ExactSearch, Search

BLOCK: Final = 512


@dataclass(frozen=True)
class VideoFrames:
    """Frames of one video.

    Attributes:
        version: of its vectors and their frames; the same for the same.
        frame_indexes: (n,) int64, ascending.
    """

    video_id: str
    version: str
    frame_indexes: Indices


@dataclass(frozen=True)
class Known:
    """Earlier decisions on N frames; arrays are (N,).

    Attributes:
        decided: whether there is one.
        kept: what it was.
        leader: position of the frame that it repeats; -1 if kept, undecided, or that frame is gone.
        similarity: float32 cosine to it; NaN if kept or undecided.
    """

    decided: Flags
    kept: Flags
    leader: Indices
    similarity: Floats

    @classmethod
    def nothing(cls, count: int) -> "Known":
        """No decision on any of `count` frames."""
        no = np.zeros(count, np.bool_)
        return cls(no, no.copy(), np.full(count, -1, np.int64), np.full(count, np.nan, np.float32))

    @property
    def open(self) -> Flags:
        """Frames that have to be searched for."""
        return ~self.decided | (~self.kept & (self.leader < 0))

    def pairs(self) -> int:
        """About how many comparisons an exact search makes."""
        asked = self.open
        first = int(np.argmax(asked)) if asked.any() else len(asked)
        before = np.cumsum(self.kept | asked)
        settled = int((~asked[first:]).sum())
        return int(before[asked].sum()) + settled * int(asked.sum())


def known_decisions(videos: Sequence[VideoFrames], before: Sequence[tuple[str, str]], table: pl.DataFrame) -> Known:
    """What an earlier result says about the frames of `videos`.

    Args:
        videos: in canonical order, now.
        before: (video id, version) in canonical order, then.
        table: the earlier result (`UNIQUE_FRAMES_SCHEMA`), of the same threshold and model.
    """
    known = Known.nothing(sum(len(video.frame_indexes) for video in videos))
    runs = table["video_id"].rle().struct.unnest()
    sizes = dict(zip(runs["value"], runs["len"], strict=True))
    starts = dict(zip(runs["value"], (runs["len"].cum_sum() - runs["len"]).to_list(), strict=True))
    order = {pair: place for place, pair in enumerate(before)}
    now_at = np.full(len(table), -1, np.int64)
    latest, start = -1, 0
    for video in videos:
        size = len(video.frame_indexes)
        place = order.get((video.video_id, video.version), -1)
        # Decisions follow from what lies before, so only videos that kept their order keep theirs.
        if place > latest and sizes.get(video.video_id, 0) == size:
            latest = place
            if size:
                now_at[starts[video.video_id] : starts[video.video_id] + size] = np.arange(start, start + size)
        start += size
    then = np.flatnonzero(now_at >= 0)
    now = now_at[then]
    kept = table["kept"].to_numpy()
    keepers = np.flatnonzero(kept)[table["group_id"].to_numpy()]
    known.decided[now] = True
    known.kept[now] = kept[then]
    known.leader[now] = np.where(kept[then], -1, now_at[keepers[then]])
    known.similarity[now] = table["similarity"].fill_null(np.nan).to_numpy()[then]
    return known


def decide_across(search: Search, exact: ExactSearch, threshold: float, known: Known, block: int = BLOCK) -> Decisions:
    """Decide on all frames, in the order of their positions.

    Args:
        search: how frames that are open are searched for.
        exact: over the same frames.
        threshold: cosine from which a frame is a duplicate, as in `deduplicate`.
        known: earlier decisions.
        block: frames decided at once. Changes time and memory, never the result (of an exact search).
    """
    repair = _Repair(search, exact, min(max(threshold, -2.0), 2.0), known)
    for start in range(0, len(known.kept), block):
        repair.visit(np.arange(start, min(start + block, len(known.kept))))
    return Decisions(repair.kept, repair.leader, repair.similarity)


def unique_table(videos: Sequence[VideoFrames], decisions: Decisions) -> pl.DataFrame:
    """`UNIQUE_FRAMES_SCHEMA`: `group_id` counts kept frames in their order; a duplicate has that of its keeper."""
    sizes = [len(video.frame_indexes) for video in videos]
    own = np.arange(len(decisions.kept))
    leader = np.where(decisions.kept, own, decisions.duplicate_of)
    indexes = [video.frame_indexes for video in videos]
    names = pl.Series([video.video_id for video in videos], dtype=pl.String)
    frames = pl.DataFrame(
        {
            "video_id": names.gather(np.repeat(np.arange(len(videos)), sizes)),
            "frame_index": np.concatenate(indexes) if indexes else np.empty(0, np.int64),
            "kept": decisions.kept,
            "similarity": pl.Series(decisions.similarity).fill_nan(None),
            "group_id": (np.cumsum(decisions.kept) - 1)[leader],
        }
    ).with_columns(frame_id=pl.concat_str("video_id", pl.lit(":"), "frame_index"))
    keeper = frames["frame_id"].gather(leader)
    repeats = pl.when("kept").then(None).otherwise(keeper).alias("duplicate_of")
    return frames.with_columns(repeats).select(UNIQUE_FRAMES_SCHEMA.names()).cast(UNIQUE_FRAMES_SCHEMA)


class _Repair:
    """The decisions so far: final before the block that is visited, the earlier ones from it on."""

    def __init__(self, search: Search, exact: ExactSearch, threshold: float, known: Known) -> None:
        self.kept = known.kept.copy()
        self.leader = known.leader.copy()
        self.similarity = known.similarity.copy()
        self._open = known.open
        self._search = search
        self._exact = exact
        self._threshold = threshold
        self._added = np.empty(0, np.int64)

    def visit(self, block: Indices) -> None:
        """Decide on a block of positions."""
        waiting = self._open[block]
        if not len(self._added) and not waiting.any():
            return
        rows = self._exact.read(block)
        settled = np.flatnonzero(~waiting)
        highest = np.full(len(block), -np.inf)
        nearest = np.full(len(block), -1, np.int64)
        highest[settled], nearest[settled] = self._exact.best(rows[settled], self._added, self._threshold)
        if not waiting.any() and not np.any(highest >= self._threshold):
            return
        # A keeper inside the block may be lost in it, so its followers are searched for again.
        waiting |= self.leader[block] >= block[0]
        repeats = np.flatnonzero(~waiting & ~self.kept[block])
        leader = self.leader[block[repeats]]
        similarity = canonical_similarities(rows[repeats], self._exact.read(leader))
        same = (similarity > highest[repeats]) | ((similarity == highest[repeats]) & (leader < nearest[repeats]))
        highest[repeats[same]] = similarity[same]
        nearest[repeats[same]] = leader[same]
        members = np.flatnonzero(self.kept[: block[0]])
        asked = np.flatnonzero(waiting)
        highest[asked], nearest[asked] = self._search.best(rows[asked], members, self._threshold)
        self._settle(block, decide_block(rows, highest, nearest, int(block[0]), self._threshold))

    def _settle(self, block: Indices, decisions: Decisions) -> None:
        before = self.kept[block] & ~self._open[block]
        added = block[decisions.kept & ~before]
        lost = block[before & ~decisions.kept]
        self.kept[block] = decisions.kept
        self.leader[block] = decisions.duplicate_of
        self.similarity[block] = decisions.similarity
        self._open[block] = False
        self._added = np.concatenate([self._added, added])
        self._search.add(added)
        if len(lost):
            later = slice(block[-1] + 1, None)
            self._open[later] |= np.isin(self.leader[later], lost)
