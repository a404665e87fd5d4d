"""The most similar earlier frame among millions: exact search on CPU or GPU, or an index that proposes candidates.

The vectors lie in half precision, on disk; **their values are these halves**, widened to float32. Whoever proposes a
pair, `similarity.py` decides it with the canonical dot product, so a search may miss a match (only the index does) but
never invents one. To add a search: a class with `best` and `add`.
"""

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from miner_resources.faiss_index import CandidateIndex
from miner_resources.records import Floats
from miner_resources.similarity import (
    CROWD,
    Doubles,
    Indices,
    best_of_pairs,
    candidate_pairs,
    error_bound,
)

if TYPE_CHECKING:
    import torch

Halves = npt.NDArray[np.float16]
"""(R, D) vectors of unit length as stored, usually memory-mapped."""

PIECE: Final = 4096
PIECE_ON_DEVICE: Final = 65_536
ADD_AT_ONCE: Final = 50_000


class Search(Protocol):
    """Finds the most similar of some frames; frames are known by their position, and `rows` says where each lies."""

    def best(self, queries: Floats, members: Indices, threshold: float) -> tuple[Doubles, Indices]:
        """The most similar member of each query, the first of equals.

        Args:
            queries: (Q, D) float32.
            members: (M,) positions, ascending.
            threshold: what no pair can reach need not be found.

        Returns:
            (Q,) canonical similarity and position, -inf and -1 if there is none.
        """
        ...

    def add(self, positions: Indices) -> None:
        """These frames were kept and may be members from now on."""
        ...


class ExactSearch:
    """Compares with every member, one matrix product for each `PIECE` of them.

    Args:
        vectors: (R, D) what is stored.
        rows: (N,) the stored row of each position.
    """

    def __init__(self, vectors: Halves, rows: Indices) -> None:
        self.vectors = vectors
        self.rows = rows

    def read(self, positions: Indices) -> Floats:
        """(len(positions), D) float32."""
        rows = self.rows[positions]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
            return self.vectors[rows[0] : rows[-1] + 1].astype(np.float32)
        return self.vectors[rows].astype(np.float32)

    def best(self, queries: Floats, members: Indices, threshold: float) -> tuple[Doubles, Indices]:
        """See `Search`."""
        highest = np.full(len(queries), -np.inf)
        nearest = np.full(len(queries), -1, np.int64)
        for start in range(0, len(members) if len(queries) else 0, PIECE):
            part = members[start : start + PIECE]
            row, column = candidate_pairs(queries, self.read(part), threshold)
            _improve(highest, nearest, *verified(self, queries, row, part[column]))
        return highest, nearest

    def add(self, positions: Indices) -> None:
        """Nothing to do: whatever is a member is compared with."""


class DeviceSearch(ExactSearch):
    """`ExactSearch` whose products are computed by PyTorch, with all vectors in the memory of its device.

    Halves are exact in TF32 as well, so its setting may only cost what `error_bound` allows for.

    Args:
        vectors: (R, D) what is stored.
        rows: (N,) the stored row of each position.
        device: as PyTorch names it, such as `cuda:0`.
    """

    def __init__(self, vectors: Halves, rows: Indices, device: str) -> None:
        super().__init__(vectors, rows)
        import torch  # costs seconds that only this search has to spend

        self._device = device
        self._stored = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)

    def best(self, queries: Floats, members: Indices, threshold: float) -> tuple[Doubles, Indices]:
        """See `Search`."""
        import torch

        highest = np.full(len(queries), -np.inf)
        nearest = np.full(len(queries), -1, np.int64)
        asked = torch.from_numpy(queries).to(self._device)
        for start in range(0, len(members) if len(queries) else 0, PIECE_ON_DEVICE):
            part = members[start : start + PIECE_ON_DEVICE]
            others = self._stored[torch.from_numpy(self.rows[part]).to(self._device)]
            row, column = _pairs_on_device(asked, others, threshold)
            _improve(highest, nearest, *verified(self, queries, row, part[column]))
        return highest, nearest


class IndexedSearch(ExactSearch):
    """Compares with what the index proposes.

    Args:
        vectors: (R, D) what is stored.
        rows: (N,) the stored row of each position.
        index: over stored rows; may hold rows that are no members (any more).
    """

    def __init__(self, vectors: Halves, rows: Indices, index: CandidateIndex) -> None:
        super().__init__(vectors, rows)
        self._index = index
        self._inside = np.zeros(len(vectors), np.bool_)
        self._inside[index.rows()] = True
        self._position = np.full(len(vectors), -1, np.int64)
        self._position[rows] = np.arange(len(rows))

    def best(self, queries: Floats, members: Indices, threshold: float) -> tuple[Doubles, Indices]:  # noqa: ARG002
        """See `Search`."""
        found = self._index.nearest(queries)
        position = np.where(found >= 0, self._position[found], -1)
        place = np.minimum(np.searchsorted(members, position), max(len(members) - 1, 0))
        row, column = np.nonzero(members[place] == position if len(members) else np.zeros_like(position, np.bool_))
        return verified(self, queries, row, position[row, column])

    def add(self, positions: Indices) -> None:
        """Put them into the index, if they are not in it."""
        new = positions[~self._inside[self.rows[positions]]]
        for start in range(0, len(new), ADD_AT_ONCE):
            part = new[start : start + ADD_AT_ONCE]
            self._index.add(self.read(part), self.rows[part])
            self._inside[self.rows[part]] = True


def verified(search: ExactSearch, queries: Floats, row: Indices, position: Indices) -> tuple[Doubles, Indices]:
    """The best of the proposed pairs (query, position) for each query, by canonical similarity."""
    positions, column = np.unique(position, return_inverse=True)
    highest, nearest = best_of_pairs(queries, search.read(positions), row, column)
    return highest, positions[nearest] if len(positions) else nearest


def _improve(highest: Doubles, nearest: Indices, similarity: Doubles, position: Indices) -> None:
    better = similarity > highest
    highest[better] = similarity[better]
    nearest[better] = position[better]


def _pairs_on_device(queries: "torch.Tensor", others: "torch.Tensor", threshold: float) -> tuple[Indices, Indices]:
    """`candidate_pairs` on a device; `others` (M, D) are halves."""
    import torch

    row: Any = None
    column: Any = None
    for kind, dtype in ((torch.float32, np.float32), (torch.float64, np.float64)):
        similarity = queries.to(kind) @ others.to(kind).T
        band = error_bound(queries.shape[1], dtype)
        top = similarity.amax(dim=1)
        hit = torch.nonzero(top >= threshold - band)[:, 0]
        floor = torch.clamp(top[hit] - 2 * band, min=threshold - band)
        row, column = torch.nonzero(similarity[hit] >= floor[:, None], as_tuple=True)
        row = hit[row]
        if len(row) <= CROWD * len(queries):
            break
    return row.cpu().numpy(), column.cpu().numpy()
