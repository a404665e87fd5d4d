"""Claims: which videos a process works on in one stage, so that two runs never make the same artifact at once.

One byte of a file stands for a video and is locked while it is worked on. The kernel gives the locks back when their
process ends, however it ends. Locks are per process and one open file holds any number of them (POSIX record locks,
also over NFS); within a process a run has its stages one after the other.
"""

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Final

_BYTES: Final = 7
"""Of the hash of an id, as a place in the file: below 2^63, and no two ids share one in practice."""


class Claims:
    """The claims of this process on one stage; leaving the context gives all of them back.

    Args:
        path: the file of that stage; made if it is not there, and always empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> "Claims":
        """Open the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give everything back."""
        os.close(self._descriptor)

    def take(self, video_id: str) -> bool:
        """Claim a video; False if another process has."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(video_id))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give_back(self, video_id: str) -> None:
        """Let others have it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _place(video_id))


def _place(video_id: str) -> int:
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:_BYTES], "big")
