"""Remove near-duplicates, within one video and across videos, exactly as defined and fast.

Definition: in canonical order, a frame is kept iff its cosine similarity to every kept frame before it is below the
threshold. `plain_deduplicate` is that sentence as code. `deduplicate` gives the same arrays bit for bit: matrix
products only rule pairs out, what they leave open is decided by one canonical dot product (`similarity.py`).
`unique_across` applies it to many videos and compares only the frames that are new since the last time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import numpy as np
import polars as pl

from miner_assets.logic.similarity import (
    Doubles,
    Flags,
    Indices,
    best_match,
    canonical_similarities,
    canonical_similarity,
    error_bound,
)
from miner_resources.errors import InvalidData
from miner_resources.records import UNIQUE_FRAMES_SCHEMA, Floats, check_unit_length

BLOCK: Final = 192
PIECE: Final = 4096


@dataclass(frozen=True)
class Decisions:
    """What was decided about N frames.

    Attributes:
        kept: (N,) bool.
        duplicate_of: (N,) int64, the most similar kept frame before it (the earliest of equals) as an index into
            `kept_before` followed by the frames themselves; -1 if kept.
        similarity: (N,) float32 cosine to that frame; NaN if kept.
    """

    kept: Flags
    duplicate_of: Indices
    similarity: Floats


@dataclass(frozen=True)
class UniqueFrames:
    """Decisions across videos (`UNIQUE_FRAMES_SCHEMA`) and how many of them were made now or taken from before."""

    table: pl.DataFrame
    computed: int
    reused: int


def plain_deduplicate(vectors: Floats, threshold: float, *, kept_before: Floats | None = None) -> Decisions:
    """The definition, word for word, one pair at a time: what `deduplicate` is tested and measured against."""
    known = vectors if kept_before is None else np.concatenate([kept_before, vectors])
    kept = list(range(len(known) - len(vectors)))
    decisions = _undecided(len(vectors))
    for row, vector in enumerate(vectors):
        nearest, highest = -1, -np.inf
        for index in kept:
            similarity = canonical_similarity(vector, known[index])
            if similarity > highest:
                nearest, highest = index, similarity
        if nearest >= 0 and highest >= threshold:
            decisions.kept[row] = False
            decisions.duplicate_of[row] = nearest
            decisions.similarity[row] = highest
        else:
            kept.append(len(known) - len(vectors) + row)
    return decisions


def deduplicate(
    vectors: Floats, threshold: float, *, kept_before: Floats | None = None, block: int = BLOCK
) -> Decisions:
    """Decide which frames to keep, in the order of the rows.

    Args:
        vectors: (N, D) float32, unit length; may be memory-mapped, it is read in blocks.
        threshold: cosine from which a frame counts as a duplicate. Above 1 everything is kept. Cosines are dot products
            of float32 vectors, so that of two identical ones may be 1 - 1e-7: use 0.9999 to remove only copies.
        kept_before: (M, D) float32, frames kept earlier, in their order; they stay.
        block: frames per matrix product. Changes time and memory, never the result.

    Raises:
        InvalidData: a row is not of unit length, widths differ, or the threshold is NaN.
    """
    before = vectors[:0] if kept_before is None else kept_before
    if before.ndim != 2 or before.shape[1:] != vectors.shape[1:] or np.isnan(threshold):
        raise InvalidData(
            f"cannot compare vectors {vectors.shape} with {before.shape} at threshold {threshold}",
            remedy="embed all videos with the same model; delete the embeddings of the other one",
        )
    decisions = _undecided(len(vectors))
    shelf = _Shelf(before, min(max(threshold, -2.0), 2.0))
    for start in range(0, len(vectors), block):
        rows = _contiguous(vectors[start : start + block])
        part = shelf.place(rows, len(before) + start)
        decisions.kept[start : start + block] = part.kept
        decisions.duplicate_of[start : start + block] = part.duplicate_of
        decisions.similarity[start : start + block] = part.similarity
    return decisions


def unique_across(
    frame_ids: Sequence[str], vectors: Floats, threshold: float, previous: pl.DataFrame | None = None
) -> UniqueFrames:
    """Decide across videos, reusing the decisions on the frames that `frame_ids` and `previous` begin with in common.

    Decisions never depend on later frames, so appending videos changes nothing that was decided. `group_id` counts the
    kept frames from 0 in their order; a duplicate has the group of the frame it duplicates.

    Args:
        frame_ids: N different ids in canonical order.
        vectors: (N, D) float32, unit length, in that order.
        threshold: see `deduplicate`.
        previous: an earlier result. The caller guarantees that it has the same threshold and the same embeddings.

    Raises:
        InvalidData: ids repeat or do not match the vectors, or as in `deduplicate`.
    """
    if len(set(frame_ids)) != len(frame_ids) or len(frame_ids) != len(vectors):
        raise InvalidData(
            f"{len(frame_ids)} frame ids ({len(set(frame_ids))} different) for {len(vectors)} vectors",
            remedy="delete the embeddings of the videos that are there twice and run the embed stage again",
        )
    earlier = (UNIQUE_FRAMES_SCHEMA.to_frame() if previous is None else previous).select(UNIQUE_FRAMES_SCHEMA.names())
    pairs = zip(frame_ids, earlier["frame_id"], strict=False)
    reused = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    earlier = earlier.head(reused)
    keepers = np.flatnonzero(earlier["kept"].to_numpy()).astype(np.int64)
    decisions = deduplicate(vectors[reused:], threshold, kept_before=vectors[keepers])
    latest = _new_rows(frame_ids, reused, keepers, decisions)
    return UniqueFrames(pl.concat([earlier, latest]), computed=len(frame_ids) - reused, reused=reused)


class _Shelf:
    """The kept vectors in pieces of about `PIECE` rows, so that memory per product is bounded and nothing is moved."""

    def __init__(self, before: Floats, threshold: float) -> None:
        starts = range(0, len(before), PIECE)
        self._pieces = [_contiguous(before[start : start + PIECE]) for start in starts]
        self._origin = np.arange(len(before), dtype=np.int64)
        self._threshold = threshold

    def place(self, rows: Floats, first: int) -> Decisions:
        """Decide on `rows`, of which row 0 has index `first`, and take in those that are kept."""
        highest, nearest = self._best_on_shelf(rows)
        fresh = np.flatnonzero(highest < self._threshold)
        chosen = fresh[_keep_in_order(rows[fresh], self._threshold)]
        decisions = _undecided(len(rows))
        decisions.kept[:] = False
        decisions.kept[chosen] = True
        removed = np.flatnonzero(~decisions.kept)
        inner, column = best_match(rows[removed], rows[chosen], self._threshold, chosen[None] < removed[:, None])
        within = inner > highest[removed]  # of equals the earlier one, which is on the shelf
        highest[removed[within]] = inner[within]
        nearest[removed[within]] = first + chosen[column[within]]
        decisions.duplicate_of[removed] = nearest[removed]
        decisions.similarity[removed] = highest[removed]
        self._add(rows[chosen], first + chosen)
        return decisions

    def _best_on_shelf(self, rows: Floats) -> tuple[Doubles, Indices]:
        highest = np.full(len(rows), -np.inf)
        nearest = np.full(len(rows), -1, np.int64)
        offset = 0
        for piece in self._pieces:
            similarity, column = best_match(rows, piece, self._threshold)
            better = similarity > highest
            highest[better] = similarity[better]
            nearest[better] = self._origin[offset + column[better]]
            offset += len(piece)
        return highest, nearest

    def _add(self, rows: Floats, origin: Indices) -> None:
        if self._pieces and len(self._pieces[-1]) + len(rows) <= PIECE:
            self._pieces[-1] = np.concatenate([self._pieces[-1], rows])
        elif len(rows):
            self._pieces.append(rows)
        self._origin = np.concatenate([self._origin, origin])


def _keep_in_order(rows: Floats, threshold: float) -> list[int]:
    """The definition among a few rows; loops over the kept ones and looks closer only inside the error bound."""
    similarity = rows @ rows.T
    band = error_bound(rows.shape[1], np.float32)
    certain = similarity >= threshold + band
    possible = similarity >= threshold - band
    duplicate = np.zeros(len(rows), np.bool_)
    doubtful = np.zeros(len(rows), np.bool_)
    kept: list[int] = []
    for index in range(len(rows)):
        if duplicate[index]:
            continue
        if doubtful[index]:
            near = [other for other in kept if possible[other, index]]
            if np.any(canonical_similarities(rows[near], rows[index][None]) >= threshold):
                continue
        kept.append(index)
        duplicate |= certain[index]
        doubtful |= possible[index]
    return kept


def _new_rows(frame_ids: Sequence[str], reused: int, keepers: Indices, decisions: Decisions) -> pl.DataFrame:
    """Rows of `UNIQUE_FRAMES_SCHEMA` for the frames from `reused` on."""
    origin = np.concatenate([keepers, np.arange(reused, len(frame_ids), dtype=np.int64)])
    group = np.concatenate([np.arange(len(keepers)), len(keepers) + np.cumsum(decisions.kept) - 1])
    own = np.arange(len(keepers), len(origin))
    leader = np.where(decisions.kept, own, decisions.duplicate_of)
    keeper: list[int] = origin[leader].tolist()
    names = [None if kept else frame_ids[at] for kept, at in zip(decisions.kept, keeper, strict=True)]
    parts = [name.rpartition(":") for name in frame_ids[reused:]]
    return pl.DataFrame(
        {
            "frame_id": list(frame_ids[reused:]),
            "video_id": [video_id for video_id, _, _ in parts],
            "frame_index": [int(frame_index) for _, _, frame_index in parts],
            "kept": decisions.kept,
            "duplicate_of": names,
            "similarity": pl.Series(decisions.similarity).fill_nan(None),
            "group_id": group[leader],
        },
        schema=UNIQUE_FRAMES_SCHEMA,
    )


def _contiguous(rows: Floats) -> Floats:
    return check_unit_length(np.ascontiguousarray(rows, dtype=np.float32))


def _undecided(count: int) -> Decisions:
    return Decisions(np.ones(count, np.bool_), np.full(count, -1, np.int64), np.full(count, np.nan, np.float32))
