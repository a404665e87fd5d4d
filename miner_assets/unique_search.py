"""Which search `unique_frames` uses: exact as long as that takes minutes at most, then an index."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from miner_assets.logic.unique import Known
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DedupConfig
from miner_resources.errors import InvalidData
from miner_resources.faiss_index import CandidateIndex
from miner_resources.similarity import Indices
from miner_resources.vector_index import DeviceSearch, ExactSearch, IndexedSearch, Search
from miner_resources.vector_store import VectorStore

EXACT_WORK: Final = 1e13
"""Multiplications (pairs times dimension) up to which `auto` is exact on a CPU: about four minutes of one core."""

DEVICE_FACTOR: Final = 100
"""How much more than that a GPU may have to do."""

WORTH_A_DEVICE: Final = 1e11
"""Below it, loading PyTorch takes longer than the search."""


@dataclass(frozen=True)
class ChosenSearch:
    """How frames are searched for, and the earlier decisions that it goes on from.

    Attributes:
        name: `exact`, `exact on DEVICE` or `faiss`.
    """

    name: str
    search: Search
    exact: ExactSearch
    known: Known


@contextmanager
def choose_search(
    workspace: Workspace, config: DedupConfig, store: VectorStore, rows: Indices, known: Known
) -> Generator[ChosenSearch]:
    """The search that the configuration and the size ask for; an index is stored when the block ends.

    Args:
        workspace: the project; for its device.
        config: how it is set.
        store: the vectors.
        rows: (N,) where the frames are in it.
        known: earlier decisions on them.
    """
    vectors = store.vectors
    exact = ExactSearch(vectors, rows)
    work = known.pairs() * vectors.shape[1]
    device = _device(workspace.config.device, vectors.nbytes) if work > WORTH_A_DEVICE else None
    limit = EXACT_WORK * (DEVICE_FACTOR if device else 1)
    if config.index == "exact" or not known.open.any() or (config.index == "auto" and work <= limit):
        if device is None:
            yield ChosenSearch("exact", exact, exact, known)
        else:
            search = DeviceSearch(vectors, rows, device)
            yield ChosenSearch(f"exact on {device}", search, search, known)
        return
    known = _fewer_comparisons(known, vectors.shape[1])
    index = _index(store, exact)
    search = IndexedSearch(vectors, rows, index)
    search.add(np.flatnonzero(known.kept))
    yield ChosenSearch("faiss", search, exact, known)
    with workspace.storage.publish_file(store.index_file) as target:
        index.save(target)


def _fewer_comparisons(known: Known, width: int) -> Known:
    """Without the decisions after the first open frame, if comparing those with what is new takes too long."""
    first = int(np.argmax(known.open)) if known.open.any() else len(known.kept)
    settled = int((~known.open[first:]).sum())
    if settled * int(known.open.sum()) * width <= EXACT_WORK:
        return known
    fewer = Known.nothing(len(known.kept))
    for ours, theirs in zip(vars(fewer).values(), vars(known).values(), strict=True):
        ours[:first] = theirs[:first]
    return fewer


def _index(store: VectorStore, exact: ExactSearch) -> CandidateIndex:
    """The stored index, or a new one if the project has grown out of it."""
    count = len(exact.rows)
    index = _stored(store)
    if index is None or not index.suits(count):
        sample = np.random.default_rng(0).permutation(count)[: CandidateIndex.sample_size(count)]
        index = CandidateIndex.train(exact.read(np.sort(sample)), count)
    return index


def _stored(store: VectorStore) -> CandidateIndex | None:
    if not store.index_file.exists():
        return None
    try:
        return CandidateIndex.load(store.index_file)
    except InvalidData:
        return None


def _device(setting: str, size: int) -> str | None:
    """The GPU to search on, None if there is none or the vectors fill more than half of its memory."""
    if setting == "cpu":
        return None
    import torch

    if not torch.cuda.is_available() or not (setting == "auto" or setting.startswith("cuda")):
        return None
    device = "cuda:0" if setting in ("auto", "cuda") else setting
    return device if 2 * size < torch.cuda.mem_get_info(device)[0] else None
