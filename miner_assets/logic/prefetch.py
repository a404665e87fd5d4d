"""Work that goes on while the caller is busy with something else."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final, TypeVar

T = TypeVar("T")

_END: Final = object()


def prefetched(items: Generator[T], *, ahead: int, name: str) -> Generator[T]:
    """The same items in the same order, made in a thread of their own.

    Args:
        items: closed at the end, also when the caller stops early; what it is doing then is waited for.
        ahead: how many items are made before they are asked for.
        name: of the thread.

    Raises:
        Exception: what `items` raised, when its turn comes.
    """
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        waiting = deque(thread.submit(next, items, _END) for _ in range(ahead))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))
                yield item  # pyright: ignore[reportReturnType] (it is not the sentinel)
        finally:
            for future in waiting:
                future.cancel()
