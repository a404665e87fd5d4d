"""Cosine similarities that decide: fast products rule pairs out, one canonical dot product settles the rest.

A BLAS may round differently for every shape, thread count and machine, so no decision may hang on its digits. It gives
candidates within a proven error bound; `canonical_similarities` gives the number that is compared and stored. An
approximate index that proposes candidates (FAISS) verifies them with the same function.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from miner_resources.records import Floats

PAIRS: Final = 128
CROWD: Final = 8

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def canonical_similarities(left: Floats, right: Floats) -> Doubles:
    """Dot product of each row of `left` (N, D) with the same row of `right`: the numbers that decide.

    Products of two float32 are exact in float64. They are added in halves, a fixed tree of elementwise IEEE additions,
    so a value depends on its two vectors alone: not on their order, their neighbours, the BLAS, its threads or the
    machine. `np.dot` promises none of that.
    """
    sums = np.multiply(left, right, dtype=np.float64)
    width = sums.shape[1]
    while width > 1:
        half = (width + 1) // 2
        sums[:, : width - half] += sums[:, half:width]
        width = half
    return sums[:, 0].copy()


def canonical_similarity(left: Floats, right: Floats) -> float:
    """The canonical dot product of two vectors (D,)."""
    return float(canonical_similarities(left[None], right[None])[0])


def best_match(rows: Floats, others: Floats, threshold: float, visible: Flags | None = None) -> tuple[Doubles, Indices]:
    """The most similar of `others` for each row: canonical similarity and column, -inf and -1 if none can reach it."""
    return best_of_pairs(rows, others, *candidate_pairs(rows, others, threshold, visible))


def best_of_pairs(rows: Floats, others: Floats, row: Indices, column: Indices) -> tuple[Doubles, Indices]:
    """The best proposed pair (row, column) of each row, the first column of equals; as in `best_match`."""
    highest = np.full(len(rows), -np.inf)
    nearest = np.full(len(rows), -1, np.int64)
    exact = np.empty(len(row))
    for start in range(0, len(row), PAIRS):
        part = slice(start, start + PAIRS)
        exact[part] = canonical_similarities(rows[row[part]], others[column[part]])
    order = np.lexsort((column, -exact, row))
    found, leader = np.unique(row[order], return_index=True)
    highest[found] = exact[order[leader]]
    nearest[found] = column[order[leader]]
    return highest, nearest


def candidate_pairs(
    rows: Floats, others: Floats, threshold: float, visible: Flags | None = None
) -> tuple[Indices, Indices]:
    """Every pair that may be the best match of its row and reach the threshold, as (row, column) arrays.

    A crowd of candidates (a still picture at a threshold near 1) is thinned with a float64 product: fifty times
    cheaper than their canonical dot products.
    """
    row = column = np.empty(0, np.int64)
    if not len(rows) or not len(others):
        return row, column
    for dtype in (np.float32, np.float64):
        similarity = rows.astype(dtype, copy=False) @ others.astype(dtype, copy=False).T
        if visible is not None:
            similarity[~visible] = -np.inf
        band = error_bound(rows.shape[1], dtype)
        top = similarity.max(axis=1)
        hit = np.flatnonzero(top >= threshold - band)
        floor = np.maximum(top[hit] - 2 * band, threshold - band)
        row, column = np.nonzero(similarity[hit] >= floor[:, None])
        row = hit[row]
        if len(row) <= CROWD * len(rows):
            break
    return row, column


def screen(rows: Floats) -> Floats:
    """Half of the numbers of each row (N, D) and the length of the rest, (N, D // 2 + 1) float32.

    By Cauchy-Schwarz, the dot product of two of these is at least that of the whole rows: half the work rules out most.
    """
    half = rows.shape[1] // 2
    rest = np.linalg.norm(rows[:, half:], axis=1)
    return np.concatenate([rows[:, :half], rest[:, None]], axis=1)


def screened_pairs(rows: Floats, others: Floats, threshold: float) -> tuple[Indices, Indices] | None:
    """Every pair (row, column) of screens whose whole rows may reach the threshold; None if they are a crowd."""
    band = error_bound(2 * rows.shape[1], np.float32)
    possible = rows @ others.T >= threshold - band
    if np.count_nonzero(possible) > CROWD * len(rows):
        return None
    row, column = np.nonzero(possible)
    return row, column


def error_bound(dimension: int, dtype: type[np.floating]) -> float:
    """How far any dot product in `dtype` can be from the canonical one, for vectors of length 1 ± 1e-3.

    In whatever order a BLAS adds, the error is at most D·u/(1 - D·u)·|a|·|b| with u = eps/2 (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1). This is twice that, which also covers the rounding of the bound.
    """
    return (dimension + 16) * float(np.finfo(dtype).eps)
