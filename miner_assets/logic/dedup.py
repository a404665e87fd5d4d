"""Remove near-duplicates exactly as defined and fast: the definition, and what decides within one video.

Definition: in canonical order, a frame is kept iff its cosine similarity to every kept frame before it is below the
threshold. `plain_deduplicate` is that sentence as code. `deduplicate` gives the same arrays bit for bit: matrix
products only rule pairs out, what they leave open is decided by one canonical dot product (`similarity.py`).
Across videos see `unique.py`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from miner_resources.errors import InvalidData
from miner_resources.records import Floats, check_unit_length
from miner_resources.similarity import (
    Doubles,
    Flags,
    Indices,
    best_match,
    best_of_pairs,
    candidate_pairs,
    canonical_similarities,
    canonical_similarity,
    error_bound,
    screen,
    screened_pairs,
)

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


def decide_block(rows: Floats, highest: Doubles, nearest: Indices, first: int, threshold: float) -> Decisions:
    """Decide on a block of frames whose best match among the kept frames before the block is known.

    Args:
        rows: (N, D) float32, the block in order.
        highest: (N,) canonical similarity to that best match, -inf if there is none.
        nearest: (N,) its index.
        first: the index of row 0; those of the frames before the block are lower.
        threshold: see `deduplicate`.
    """
    fresh = np.flatnonzero(highest < threshold)
    chosen = fresh[_keep_in_order(rows[fresh], threshold)]
    decisions = _undecided(len(rows))
    decisions.kept[:] = False
    decisions.kept[chosen] = True
    removed = np.flatnonzero(~decisions.kept)
    inner, column = best_match(rows[removed], rows[chosen], threshold, chosen[None] < removed[:, None])
    best = highest[removed]
    within = inner > best  # of equals the earlier one, which is before the block
    decisions.duplicate_of[removed] = np.where(within, first + chosen[column] if len(chosen) else -1, nearest[removed])
    decisions.similarity[removed] = np.where(within, inner, best)
    return decisions


class _Shelf:
    """The kept vectors in pieces of about `PIECE` rows, so that memory per product is bounded and nothing is moved."""

    def __init__(self, before: Floats, threshold: float) -> None:
        starts = range(0, len(before), PIECE)
        self._pieces = [_contiguous(before[start : start + PIECE]) for start in starts]
        self._screens = [screen(piece) for piece in self._pieces]
        self._origin = np.arange(len(before), dtype=np.int64)
        self._threshold = threshold

    def place(self, rows: Floats, first: int) -> Decisions:
        """Decide on `rows`, of which row 0 has index `first`, and take in those that are kept."""
        highest, nearest = self._best_on_shelf(rows)
        decisions = decide_block(rows, highest, nearest, first, self._threshold)
        chosen = np.flatnonzero(decisions.kept)
        self._add(rows[chosen], first + chosen)
        return decisions

    def _best_on_shelf(self, rows: Floats) -> tuple[Doubles, Indices]:
        highest = np.full(len(rows), -np.inf)
        nearest = np.full(len(rows), -1, np.int64)
        offset, screened = 0, screen(rows)
        for piece, screens in zip(self._pieces, self._screens, strict=True):
            pairs = screened_pairs(screened, screens, self._threshold)
            pairs = candidate_pairs(rows, piece, self._threshold) if pairs is None else pairs
            similarity, column = best_of_pairs(rows, piece, *pairs)
            better = similarity > highest
            highest[better] = similarity[better]
            nearest[better] = self._origin[offset + column[better]]
            offset += len(piece)
        return highest, nearest

    def _add(self, rows: Floats, origin: Indices) -> None:
        if self._pieces and len(self._pieces[-1]) + len(rows) <= PIECE:
            self._pieces[-1] = np.concatenate([self._pieces[-1], rows])
            self._screens[-1] = np.concatenate([self._screens[-1], screen(rows)])
        elif len(rows):
            self._pieces.append(rows)
            self._screens.append(screen(rows))
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


def _contiguous(rows: Floats) -> Floats:
    return check_unit_length(np.ascontiguousarray(rows, dtype=np.float32))


def _undecided(count: int) -> Decisions:
    return Decisions(np.ones(count, np.bool_), np.full(count, -1, np.int64), np.full(count, np.nan, np.float32))
