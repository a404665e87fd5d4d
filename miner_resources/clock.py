"""The time of a project: that of the system, but never before what was already said.

What was said last about a video counts, and last is by time. A clock that is set back (a dead battery, a machine whose
clock was ahead) must not make news older than what they replace: the time then goes on from the latest that is known,
in small steps, until the system's has caught up. That is a hybrid logical clock (Kulkarni et al., 2014, "Logical
Physical Clocks") without its counter. The latest time of a project is that of the modification of one empty file, so
that the next process knows it too.
"""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

STEP_NS: Final = 1_000
"""A microsecond: what registry and events keep of a time."""

FARTHEST_NS: Final = 366 * 24 * 3600 * 10**9
"""Times that are more than a year ahead are somebody's mistake, and no clock is to follow them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_turn = threading.Lock()


class Clock:
    """Times that only grow, in this process and from one process to the next.

    Args:
        mark: the file whose time of modification is the latest that was noted; made by `note`.
    """

    def __init__(self, mark: Path) -> None:
        self._mark = mark
        self._latest_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since 1970, later than all that this clock or a `note` said before."""
        with _turn:
            self._latest_ns = max(time.time_ns(), max(self._latest_ns, self._noted_ns()) + STEP_NS)
            return self._latest_ns

    def now(self) -> datetime:
        """The same in UTC, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.now_ns() // STEP_NS)

    def note(self, time_ns: int) -> None:
        """Remember a time for processes to come, unless it is earlier than what is known, or years ahead."""
        if self._noted_ns() < time_ns < time.time_ns() + FARTHEST_NS:
            self._mark.touch()
            os.utime(self._mark, ns=(time_ns, time_ns))

    def _noted_ns(self) -> int:
        try:
            return self._mark.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
