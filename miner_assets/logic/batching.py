"""Batches that span videos: one stream of frames through loader threads and one model, split back per video.

A video may have three frames; a device wants its batch full. So frames of several videos are loaded ahead in threads,
computed in full batches in the caller's thread, and handed back per video as soon as its last frame is done.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from miner_resources.errors import MinerError, NotConfigured

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 (item)
L = TypeVar("L")
R = TypeVar("R")


@dataclass
class _Open(Generic[K, R]):
    """One video whose frames are under way."""

    key: K
    rows: list[R | None]
    missing: int
    error: MinerError | None = None


@dataclass
class _Slot(Generic[K, R, L]):
    """One frame on its way through the loader."""

    owner: _Open[K, R]
    position: int
    loaded: "Future[L]" = field(repr=False)


def in_batches(
    videos: Iterable[tuple[K, Sequence[I]]],
    *,
    load: Callable[[I], L],
    infer: Callable[[list[L]], Sequence[R]],
    batch_size: Callable[[], int],
    workers: int,
) -> Generator[tuple[K, list[R] | MinerError]]:
    """Compute one row for every item of every video.

    Args:
        videos: key and items of each video; consumed only as far as the loader looks ahead.
        load: reads one item, in a thread. A `MinerError` from it loses its video only.
        infer: computes rows for up to a batch of loaded items, in this thread. A `MinerError` from it loses the videos
            that it is about; `NotConfigured` and unexpected errors end everything.
        batch_size: asked when the first batch is put together, so that a model is loaded no earlier.
        workers: loader threads.

    Yields:
        key and rows in the order of its items, or the error that lost the video; each video once, as it completes.
    """
    size = 0
    batch: list[tuple[_Slot[K, R, L], L]] = []
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="load") as pool:
        for slot in _look_ahead(videos, load, pool, depth=4 * workers):
            if isinstance(slot, _Open):
                yield slot.key, []
                continue
            size = size or batch_size()
            if slot.owner.error is None:
                try:
                    batch.append((slot, slot.loaded.result()))
                except MinerError as error:
                    slot.owner.error = error
            if slot.owner.error:
                yield from _arrived(slot.owner)
            if len(batch) == size:
                yield from _compute(batch, infer)
                batch = []
        if batch:
            yield from _compute(batch, infer)


def _look_ahead(
    videos: Iterable[tuple[K, Sequence[I]]], load: Callable[[I], L], pool: ThreadPoolExecutor, depth: int
) -> Iterator["_Slot[K, R, L] | _Open[K, R]"]:
    """Frames in order, up to `depth` of them loading; an `_Open` stands for a video without frames."""
    waiting: deque[_Slot[K, R, L]] = deque()
    try:
        for key, items in videos:
            owner: _Open[K, R] = _Open(key, [None] * len(items), len(items))
            if not items:
                yield owner
            for position, item in enumerate(items):
                waiting.append(_Slot(owner, position, pool.submit(load, item)))
                if len(waiting) > depth:
                    yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for slot in waiting:
            slot.loaded.cancel()


def _compute(
    batch: Sequence[tuple[_Slot[K, R, L], L]], infer: Callable[[list[L]], Sequence[R]]
) -> Iterator[tuple[K, list[R] | MinerError]]:
    owners = list({id(slot.owner): slot.owner for slot, _ in batch}.values())
    try:
        rows = infer([loaded for _, loaded in batch])
    except NotConfigured:
        raise
    except MinerError as error:
        if len(owners) > 1:
            for owner in owners:
                yield from _compute([pair for pair in batch if pair[0].owner is owner], infer)
            return
        owners[0].error = error
        rows = [None] * len(batch)
    for (slot, _), row in zip(batch, rows, strict=True):
        slot.owner.rows[slot.position] = row
        yield from _arrived(slot.owner)


def _arrived(owner: _Open[K, R]) -> Iterator[tuple[K, list[R] | MinerError]]:
    owner.missing -= 1
    if owner.missing == 0:
        yield owner.key, owner.error or [row for row in owner.rows if row is not None]
