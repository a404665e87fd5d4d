"""Batches that span videos: one stream of frames through loader threads and one model, split back per video.

A video may have three frames; a device wants its batch full, and the next one ready when that is done. So videos are
planned in one thread, their frames loaded ahead in several, and computed in full batches in another one; the caller is
handed each video as soon as its last frame is done, and writes it down while the device goes on.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from miner_assets.logic.prefetch import prefetched
from miner_resources.errors import MinerError, NotConfigured

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 (item)
L = TypeVar("L")
R = TypeVar("R")

PLANNED: Final = 4
"""Videos that are planned before the loader asks for them: a plan may hold the vectors of a long video."""
FINISHED: Final = 32
"""Videos that may wait for the caller: a batch can finish many short ones at once."""


@dataclass
class _Open(Generic[K, R]):
    """One video whose frames are under way."""

    key: K
    rows: list[R | None]
    missing: int
    error: MinerError | None = None
    seconds: float = 0.0


@dataclass
class _Slot(Generic[K, R, L]):
    """One frame on its way through the loader."""

    owner: _Open[K, R]
    position: int
    loaded: "Future[L]" = field(repr=False)


@dataclass(frozen=True)
class _Model(Generic[K, L, R]):
    """What computes a batch, and what says that a video has had enough time."""

    infer: Callable[[list[L]], Sequence[R]]
    overdue: Callable[[K, float], MinerError | None]


def in_batches(
    videos: Iterable[tuple[K, Sequence[I]]],
    *,
    load: Callable[[I], L],
    infer: Callable[[list[L]], Sequence[R]],
    batch_size: Callable[[], int],
    workers: int,
    overdue: Callable[[K, float], MinerError | None] = lambda key, seconds: None,  # noqa: ARG005
) -> Generator[tuple[K, list[R] | MinerError]]:
    """Compute one row for every item of every video.

    Args:
        videos: key and items of each video; consumed in a thread, only as far as the loader looks ahead.
        load: reads one item, in a thread. A `MinerError` from it loses its video only.
        infer: computes rows for up to a batch of loaded items, always in the same thread. A `MinerError` from it loses
            the videos that it is about; `NotConfigured` and unexpected errors end everything.
        batch_size: asked when the first batch is put together, so that a model is loaded no earlier.
        workers: loader threads.
        overdue: told after each batch how many seconds a video has taken by now, as its share of its batches; an error
            that it returns loses the video, unless that is done.

    Yields:
        key and rows in the order of its items, or the error that lost the video; each video once, as it completes.
    """
    stopped = threading.Event()
    planned = prefetched(_each(videos), ahead=PLANNED, name="plan")
    finished = prefetched(
        _computed(planned, load, _Model(infer, overdue), _BatchSize(batch_size, workers), stopped),
        ahead=FINISHED,
        name="model",
    )
    try:
        # Not `yield from`, which would close `finished`, and wait for the video at hand, before it is told to stop.
        for video in finished:  # noqa: UP028
            yield video
    finally:
        stopped.set()
        finished.close()


class _BatchSize:
    """How many items the model takes, and so how many the loader has under way."""

    def __init__(self, ask: Callable[[], int], workers: int) -> None:
        self.workers = workers
        self._ask = ask
        self._size = 0

    @property
    def size(self) -> int:
        """Asked for once."""
        self._size = self._size or self._ask()
        return self._size

    @property
    def ahead(self) -> int:
        """Once the model is there, the whole next batch is loaded while it computes."""
        return self._size + 4 * self.workers


def _each(videos: Iterable[tuple[K, Sequence[I]]]) -> Generator[tuple[K, Sequence[I]]]:
    yield from videos


def _computed(
    videos: Generator[tuple[K, Sequence[I]]],
    load: Callable[[I], L],
    model: _Model[K, L, R],
    batches: _BatchSize,
    stopped: threading.Event,
) -> Generator[tuple[K, list[R] | MinerError]]:
    """What `in_batches` yields, made where this runs."""
    batch: list[tuple[_Slot[K, R, L], L]] = []
    with (
        closing(videos),
        ThreadPoolExecutor(batches.workers, thread_name_prefix="load") as pool,
        closing(_look_ahead(videos, load, pool, batches)) as slots,
    ):
        for slot in slots:
            if stopped.is_set():
                return
            if isinstance(slot, _Open):
                yield slot.key, []
                continue
            size = batches.size
            batch += _arrivals(slot)
            if slot.owner.error:
                yield from _arrived(slot.owner)
            if len(batch) == size:
                yield from _compute(batch, model)
                batch = []
        if batch:
            yield from _compute(batch, model)


def _arrivals(slot: _Slot[K, R, L]) -> list[tuple[_Slot[K, R, L], L]]:
    """The slot with what was read; nothing if its video is lost, now or before."""
    if slot.owner.error is None:
        try:
            return [(slot, slot.loaded.result())]
        except MinerError as error:
            slot.owner.error = error
    return []


def _look_ahead(
    videos: Iterable[tuple[K, Sequence[I]]], load: Callable[[I], L], pool: ThreadPoolExecutor, batches: _BatchSize
) -> Generator["_Slot[K, R, L] | _Open[K, R]"]:
    """Frames in order, up to `batches.ahead` of them loading; an `_Open` stands for a video without frames."""
    waiting: deque[_Slot[K, R, L]] = deque()
    try:
        for key, items in videos:
            owner: _Open[K, R] = _Open(key, [None] * len(items), len(items))
            if not items:
                yield owner
            for position, item in enumerate(items):
                # The rest of a lost video is not worth loading.
                loaded: Future[L] = pool.submit(load, item) if owner.error is None else Future()
                waiting.append(_Slot(owner, position, loaded))
                if len(waiting) > batches.ahead:
                    yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for slot in waiting:
            slot.loaded.cancel()


def _compute(
    batch: Sequence[tuple[_Slot[K, R, L], L]], model: _Model[K, L, R]
) -> Iterator[tuple[K, list[R] | MinerError]]:
    owners = list({id(slot.owner): slot.owner for slot, _ in batch}.values())
    began = time.monotonic()
    try:
        rows = model.infer([loaded for _, loaded in batch])
    except NotConfigured:
        raise
    except MinerError as error:
        if len(owners) > 1:
            for owner in owners:
                yield from _compute([pair for pair in batch if pair[0].owner is owner], model)
            return
        owners[0].error = error
        rows = [None] * len(batch)
    each = (time.monotonic() - began) / len(batch)
    for (slot, _), row in zip(batch, rows, strict=True):
        slot.owner.rows[slot.position] = row
        slot.owner.seconds += each
        yield from _arrived(slot.owner)
    for owner in owners:
        if owner.missing and owner.error is None:
            owner.error = model.overdue(owner.key, owner.seconds)


def _arrived(owner: _Open[K, R]) -> Iterator[tuple[K, list[R] | MinerError]]:
    owner.missing -= 1
    if owner.missing == 0:
        yield owner.key, owner.error or [row for row in owner.rows if row is not None]
