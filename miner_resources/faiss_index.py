"""An index that proposes which stored vectors may be similar to a query: FAISS, inverted lists of one-bit codes.

The space is cut into cells around `4 * sqrt(n)` centroids; a query looks into the nearest `PROBES` of them, where one
bit a dimension (RaBitQ, arXiv 2405.12497) ranks the vectors, and gets the best `CANDIDATES`. What is proposed has to be
verified, what is missed is lost: docs/performance.md has the recall. The index can be made again from the vectors.
"""

from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from miner_resources.errors import InvalidData
from miner_resources.records import Floats
from miner_resources.similarity import Indices

PROBES: Final = 80
CANDIDATES: Final = 16
SAMPLE_PER_CELL: Final = 24
ROUNDS: Final = 10


class CandidateIndex:
    """Vectors by their stored row. Make one with `train` or `load`.

    Args:
        index: an inverted-file index of FAISS.
    """

    def __init__(self, index: Any) -> None:  # noqa: ANN401 (FAISS has no types)
        self._index = index
        index.nprobe = PROBES

    @staticmethod
    def sample_size(count: int) -> int:
        """How many vectors to train with for an index of `count`."""
        return min(count, SAMPLE_PER_CELL * _cells(count))

    @classmethod
    def train(cls, sample: Floats, count: int) -> "CandidateIndex":
        """An empty index, with cells found by k-means.

        Args:
            sample: (S, D) float32, see `sample_size`.
            count: how many vectors are expected.
        """
        index: Any = faiss.index_factory(sample.shape[1], f"IVF{_cells(count)},RaBitQ", faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = ROUNDS
        index.cp.min_points_per_centroid = 1  # the sample is as large as it has to be: no warning
        index.train(np.ascontiguousarray(sample))
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> "CandidateIndex":
        """Read what `save` wrote.

        Raises:
            InvalidData: it cannot be read.
        """
        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as error:
            raise InvalidData(f"cannot read the index {path}", remedy="delete it: it is made again") from error

    def save(self, path: Path) -> None:
        """Write it to `path`."""
        faiss.write_index(self._index, str(path))

    @property
    def cells(self) -> int:
        """Into how many cells the space is cut."""
        return int(self._index.nlist)

    def suits(self, count: int) -> bool:
        """Whether it has about as many cells as an index of `count` vectors should."""
        return self.cells >= _cells(count) // 2

    def rows(self) -> Indices:
        """The stored rows that are in it, in no order."""
        lists = self._index.invlists
        sizes = [lists.list_size(cell) for cell in range(self.cells)]
        parts = [faiss.rev_swig_ptr(lists.get_ids(cell), size).copy() for cell, size in enumerate(sizes) if size]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def add(self, vectors: Floats, rows: Indices) -> None:
        """Add (N, D) float32 vectors that are stored at `rows`."""
        if len(rows):
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(rows, np.int64))

    def nearest(self, queries: Floats) -> Indices:
        """(Q, `CANDIDATES`) stored rows that may be most similar to each query, -1 where there are fewer."""
        return self._index.search(np.ascontiguousarray(queries), CANDIDATES)[1]


def _cells(count: int) -> int:
    return max(1, min(65_536, round(4 * count**0.5), count))
