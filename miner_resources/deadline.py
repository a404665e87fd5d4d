"""A limit on how long one video may take: kept where the work is done, between packets and between batches.

Nothing in a process can stop a call into a decoder or a model from outside. What can be done is to look at the clock
whenever such a call returns, which is every few milliseconds for a packet and every second or so for a batch. A call
that never returns is the business of Dagster's run monitoring (`dagster/max_runtime`).
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from miner_resources.errors import TimedOut

_due: ContextVar[tuple[float, TimedOut] | None] = ContextVar("_due", default=None)


def timed_out(video_id: str, seconds: float, key: str) -> TimedOut:
    """The error of a video that took longer than `seconds`, the value of `key` in the configuration."""
    return TimedOut(
        f"{video_id} takes longer than the {seconds:g} s that {key} allows",
        remedy=f"raise {key} (null: no limit), take fewer frames of each video, or remove the video",
    )


@contextmanager
def time_limit(video_id: str, seconds: float | None, key: str) -> Generator[None]:
    """Let `check_time` raise `TimedOut` once `seconds` are over, in this thread and inside of the block."""
    token = _due.set(None if seconds is None else (time.monotonic() + seconds, timed_out(video_id, seconds, key)))
    try:
        yield
    finally:
        _due.reset(token)


def check_time() -> None:
    """Called wherever work can be left.

    Raises:
        TimedOut: the time limit that this is called in has passed.
    """
    due = _due.get()
    if due is not None and time.monotonic() > due[0]:
        raise due[1]
