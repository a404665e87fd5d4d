"""Locks between processes that the kernel gives back when their owner dies: `flock` on a file that holds nothing."""

import fcntl
import os
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


class LockBusy(Exception):
    """Others held the lock for longer than the timeout."""


@contextmanager
def file_lock(path: Path, *, timeout_s: float | None = None, wait: Callable[[], None] | None = None) -> Generator[None]:
    """Hold the lock that `path` stands for; threads of one process exclude each other too.

    Args:
        path: made if it is not there. Only the holder may delete it; who waits for it notices.
        timeout_s: how long to wait; None: for ever.
        wait: lets time pass between two tries; may raise to give up.

    Raises:
        LockBusy: the timeout passed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while (descriptor := _take(path)) is None:
        if deadline is not None and time.monotonic() > deadline:
            raise LockBusy(str(path))
        (wait or pause)()
    try:
        yield
    finally:
        os.close(descriptor)


def pause() -> None:
    """A short wait before another try; random, so that processes do not meet again."""
    time.sleep(random.uniform(0.002, 0.03))


def _take(path: Path) -> int | None:
    """The descriptor that holds the lock, None if somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A lock file that was deleted meanwhile protects nothing: the next process makes another one.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
