"""Asking the web through yt-dlp: one paced request at a time, with our settings, and typed errors.

Nothing else in the project runs yt-dlp. Every use is a fresh `YoutubeDL`: sharing one between threads is not
documented to be safe.
"""

import io
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from miner_resources.catalog import Catalog
from miner_resources.config_sections import DownloadConfig, PacingConfig
from miner_resources.errors import MinerError, NotConfigured
from miner_resources.governor import Governor, Notice, Stopped, SystemClock, silent
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.web.failures import failure, lacks_runtime
from miner_resources.web.guard import guarded_downloader
from miner_resources.web.trouble import SourceFailed, Trouble

JS_RUNTIMES: Final = ("deno", "node")
"""Enabled for YouTube's challenges; others are slow or deprecated by yt-dlp."""

FORMAT: Final = (
    "bv[format_id!*=-sr][protocol^=http]/bv[format_id!*=-sr][protocol!^=rtmp]/b[format_id!*=-sr][protocol!^=rtmp]"
)
"""One video-only file needs no merge, so no ffmpeg; `-sr` formats are upscaled by a network (yt-dlp issue 15433).

RTMP is left out because another program would fetch it, wherever its address leads.
"""

SOCKET_TIMEOUT_S: Final = 30.0
COOKIE_TABS: Final = 6
FIRST_PAUSE_S: Final = 1.0
BLOCKS_PER_REQUEST: Final = 3
"""A request that meets so many cool-downs steps back, so that the others in the line get a chance."""

PAUSE_S: Final = 0.2

_COOKIES_FIRST_LINE: Final = re.compile(r"#( Netscape)? HTTP Cookie File")

Result = TypeVar("Result")
Info = dict[str, Any]


class WebClient:
    """yt-dlp with the settings of a project, behind its governor.

    Args:
        download: proxy, cookies, timeouts.
        pacing: how politely to ask.
        catalog: where the lines of all processes lie.
        notice: hears why one waits.

    Attributes:
        stop: set it to make everybody who waits or downloads raise `Stopped` soon.
    """

    def __init__(
        self, download: DownloadConfig, pacing: PacingConfig, catalog: Catalog, notice: Notice = silent
    ) -> None:
        self.download = download
        self.stop = threading.Event()
        self._clock = SystemClock(self.stop)
        self._pacing = pacing
        self._governor = Governor(catalog, pacing, self._clock)
        self._notice = notice

    def extract(self, url: str, options: Mapping[str, Any]) -> Info:
        """What yt-dlp says about a URL, without downloading.

        Raises:
            SourceFailed: the site did not answer, or not with that.
            InvalidData: there is no video at that address.
            Waiting: the site is cooling down for longer than a run waits.
        """
        return self.use(
            url, options, lambda downloader: _sane(downloader, downloader.extract_info(url, download=False))
        )

    def pause(self) -> None:
        """Let a moment pass, or raise `Stopped`."""
        self._clock.sleep(PAUSE_S)

    @property
    def patience(self) -> float | None:
        """How long a run waits for somebody else, in seconds; None: as long as it takes."""
        return self._pacing.patience

    def use(self, url: str, options: Mapping[str, Any], work: Callable[[Any], Result]) -> Result:
        """Let `work` use a `YoutubeDL` when it is our turn at the site of `url`.

        Trouble that concerns everybody opens a cool-down, and the request is made again after it; what a second try
        can mend is tried again at once.

        Raises:
            MinerError: as `extract`, or what `work` raises.
        """
        pool = pool_of(url)
        attempts = blocks = 0
        while True:
            self._governor.turn(pool, self._notice)
            try:
                result = self._run(url, options, work)
            except SourceFailed as error:
                attempts += 1
                if error.policy.everybody:
                    blocks += 1
                    self._governor.cool(pool, error)
                    waiting = self._governor.waiting(pool)
                    if waiting and blocks >= BLOCKS_PER_REQUEST:
                        raise waiting from error
                elif attempts >= error.policy.attempts:
                    raise
                else:
                    self._clock.sleep(FIRST_PAUSE_S * 2 ** (attempts - 1))
            else:
                self._governor.succeed(pool)
                return result

    def _run(self, url: str, options: Mapping[str, Any], work: Callable[[Any], Result]) -> Result:
        log = _Log()
        settings: Any = {**self._settings(pool_of(url)), **options, "logger": log}
        try:
            with self._downloader(settings, url) as downloader:
                # Format notes name the client that a format came from only in verbose mode. Set afterwards, it does not
                # print the versions of all programs.
                downloader.params["verbose"] = True
                return work(downloader)
        except SourceFailed as error:
            if error.trouble is Trouble.NO_FORMAT and lacks_runtime(log.warnings):
                raise SourceFailed(error.message, Trouble.SETUP) from error
            raise
        except (MinerError, Stopped):
            raise
        except Exception as error:
            raise failure(url, error, log.warnings) from error

    def _downloader(self, settings: dict[str, Any], url: str) -> Any:  # noqa: ANN401 (yt-dlp has no types)
        if not self.download.allow_private:
            return guarded_downloader(settings, url)
        import yt_dlp  # takes a second to import, and local files never need it

        return yt_dlp.YoutubeDL(settings)  # pyright: ignore[reportArgumentType]

    def _settings(self, pool: str) -> dict[str, Any]:
        config = self.download
        return {
            "quiet": True,
            "noprogress": True,
            "color": "no_color",
            "cachedir": False,
            "socket_timeout": min(config.timeout, SOCKET_TIMEOUT_S),
            "extractor_retries": 2,
            "sleep_interval_requests": self._pacing.request_interval if pool == YOUTUBE else 0,
            "cookiefile": None if config.cookies_file is None else io.StringIO(read_cookies(config.cookies_file)),
            "proxy": config.proxy,
            # A company's own certificates are named by SSL_CERT_FILE, which yt-dlp reads only without certifi.
            "compat_opts": {"no-certifi"} if os.environ.get("SSL_CERT_FILE") else set(),
            # The site's code runs in a sandboxed runtime; the solver comes with the package, never from the web.
            "js_runtimes": {name: {} for name in JS_RUNTIMES},
            "remote_components": [],
            "extractor_args": {site: dict(values) for site, values in config.extractor_args.items()},
        }


class _Log:
    """yt-dlp's logger: what matters comes back as an exception, and warnings explain it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...

    def warning(self, message: str, *_: object, **__: object) -> None:
        self.warnings.append(message)


def read_cookies(file: str) -> str:
    """The text of a Netscape cookie file, for a worker's copy in memory.

    yt-dlp writes cookies back into what it was given, and secrets have no place in the output folder.

    Raises:
        NotConfigured: it cannot be read, or a line is no cookie; the line is named and never quoted.
    """
    remedy = "export the cookies again as a Netscape cookies.txt, or unset it"
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
        raise NotConfigured(f"download.cookies_file {file} cannot be read: {reason}", remedy=remedy) from error
    if not _COOKIES_FIRST_LINE.match(text):
        raise NotConfigured(f"download.cookies_file {file} is not a Netscape cookie file", remedy=remedy)
    for number, line in enumerate(text.splitlines(), start=1):
        # yt-dlp prints what it cannot read, secrets and all.
        comment = line.startswith("#") and not line.startswith("#HttpOnly_")
        if line.strip() and not comment and line.count("\t") != COOKIE_TABS:
            raise NotConfigured(f"line {number} of download.cookies_file {file} is no cookie", remedy=remedy)
    return text


def _sane(downloader: Any, info: object) -> Info:  # noqa: ANN401 (yt-dlp has no types)
    return dict(downloader.sanitize_info(info) or {})
