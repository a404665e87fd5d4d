"""Watching a download: what is too large, too slow, fills the disk or is no longer wanted is given up."""

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from miner_resources.config_sections import DownloadConfig
from miner_resources.errors import NotConfigured
from miner_resources.governor import Stopped
from miner_resources.web.chosen import too_large
from miner_resources.web.trouble import SourceFailed, Trouble

FREE_DISK_BYTES: Final = 1 << 30
DISK_CHECK_BYTES: Final = 1 << 26
STALLED_BYTES_PER_S: Final = 1024


class Watch:
    """yt-dlp's progress hook.

    Args:
        folder: where the file grows.
        config: limits.
        stop: set when the run ends.
    """

    def __init__(self, folder: Path, config: DownloadConfig, stop: threading.Event) -> None:
        self._folder = folder
        self._config = config
        self._stop = stop
        self._since: tuple[float, int] | None = None
        self._disk_checked = 0

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Look at how far it is.

        Raises:
            NotWanted: it is larger than allowed.
            SourceFailed: nearly nothing comes.
            NotConfigured: the disk is nearly full.
            Stopped: the run ends.
        """
        if self._stop.is_set():
            raise Stopped
        if progress.get("status") != "downloading":
            return
        size, now, config = int(progress.get("downloaded_bytes") or 0), time.monotonic(), self._config
        if config.max_filesize and size > config.max_filesize:
            raise too_large("the file", size, config.max_filesize)
        self._check_disk(size)
        started, before = self._since = self._since or (now, size)
        if now - started < config.timeout:
            return
        if size - before < STALLED_BYTES_PER_S * config.timeout:
            raise SourceFailed(
                f"only {size - before} bytes came in {now - started:.0f} s",
                Trouble.NETWORK,
                remedy="run again: it goes on where it stopped; raise download.timeout for a slow line",
            )
        self._since = (now, size)

    def _check_disk(self, size: int) -> None:
        """A stream without an end must stop before the disk is full."""
        if size - self._disk_checked < DISK_CHECK_BYTES:
            return
        self._disk_checked = size
        if shutil.disk_usage(self._folder).free < FREE_DISK_BYTES:
            raise NotConfigured(f"the disk of {self._folder} is nearly full", remedy="free some space, then run again")
