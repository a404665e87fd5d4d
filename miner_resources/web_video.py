"""Videos on the web: everything yt-dlp can list, search and download.

yt-dlp's failures become our typed errors here and nowhere else.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from miner_resources.config import DownloadConfig, SearchConfig
from miner_resources.errors import InvalidData, MinerError, NotFound, RateLimited, Unavailable
from miner_resources.records import Video

FORMAT: Final = "bv[format_id!*=-sr][protocol^=http]/bv[format_id!*=-sr]/b[format_id!*=-sr]"
"""One video-only file needs no merge, so no ffmpeg; `-sr` formats are AI-upscaled pictures (yt-dlp issue 15433)."""


@dataclass(frozen=True)
class SearchHit:
    """One result of a keyword search, best first from rank 1."""

    keyword: str
    rank: int
    video: Video


def list_url(url: str, download: DownloadConfig, now: datetime) -> list[Video]:
    """The videos behind a URL: one, or all entries of a playlist, channel or search.

    Raises:
        MinerError: yt-dlp cannot list it.
    """
    info = _extract(url, {**_options(download), "extract_flat": "in_playlist", "ignore_no_formats_error": True})
    entries = _flatten(info)
    if not entries:
        raise NotFound(f"{url} lists no videos", remedy="open it in a browser and check that it shows videos")
    return [_video(entry, now, fallback_url=url) for entry in entries]


def search(keyword: str, config: SearchConfig, download: DownloadConfig, now: datetime) -> list[SearchHit]:
    """Search YouTube. Results that lack a field are never rejected for it.

    Raises:
        MinerError: the search failed as a whole.
    """
    query = f"ytsearch{config.max_results}:{keyword}"
    entries = _flatten(_extract(query, {**_options(download), "extract_flat": "in_playlist"}))
    wanted = [entry for entry in entries if entry.get("ie_key", "Youtube") == "Youtube" and _fits(entry, config)]
    videos = [_video(entry, now, fallback_url=query, keyword=keyword) for entry in wanted]
    return [SearchHit(keyword, rank, video) for rank, video in enumerate(videos, start=1)]


def download(video: Video, folder: Path, config: DownloadConfig) -> tuple[Path, dict[str, Any]]:
    """Fetch one video into an empty folder.

    Returns:
        the file, and yt-dlp's facts about it.

    Raises:
        MinerError: it could not be fetched; `retryable` says whether a later try may work.
    """
    options = {
        **_options(config),
        "format": FORMAT,
        "format_sort": [f"res:{config.max_height}", "+fps", "vcodec:h264", "+size"],
        "outtmpl": {"default": "video.%(ext)s"},
        "paths": {"home": str(folder), "temp": str(folder)},
        "retries": 5,
        "fragment_retries": 5,
        "noplaylist": True,
        "max_filesize": config.max_filesize,
        "ratelimit": config.rate_limit,
    }
    info = _extract(video.url, options, fetch=True)
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix not in (".part", ".ytdl")]
    if not files:
        limit = f" (download.max_filesize is {config.max_filesize})" if config.max_filesize else ""
        raise NotFound(f"{video.url} gave no file{limit}", remedy="raise download.max_filesize, or remove the video")
    return max(files, key=lambda path: path.stat().st_size), info


def _options(config: DownloadConfig) -> dict[str, Any]:
    return {
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Quiet(),
        "socket_timeout": min(config.timeout, 30.0),
        "cookiefile": config.cookies_file,
        "proxy": config.proxy,
        "cachedir": False,
        "color": "no_color",
    }


class _Quiet:
    """yt-dlp's logger: what matters comes back as an exception."""

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...


def _extract(url: str, options: Mapping[str, Any], *, fetch: bool = False) -> dict[str, Any]:
    import yt_dlp  # takes a second to import, and local files never need it
    from yt_dlp.utils import DownloadError, YoutubeDLError

    settings: Any = dict(options)
    with yt_dlp.YoutubeDL(settings) as downloader:
        try:
            info = downloader.extract_info(url, download=fetch)
        except DownloadError as error:
            raise _translate(url, error) from error
        except (YoutubeDLError, OSError) as error:
            raise Unavailable(f"{url}: {error}", remedy="try again later") from error
        return dict(downloader.sanitize_info(info) or {})


def _translate(url: str, error: Exception) -> MinerError:
    message = f"{url}: {str(error).removeprefix('ERROR: ').strip()}"
    status = _http_status(error)
    if status == 429:
        return RateLimited(message, remedy="wait an hour, then run again")
    if status in (401, 403):
        return Unavailable(message, remedy="update yt-dlp, or give download.cookies_file")
    if status is not None and status >= 500:
        return Unavailable(message, remedy="the site has trouble; run again later")
    if status in (404, 410) or _says(message, "unavailable|removed|private video|does not exist"):
        return NotFound(message, remedy="the video is gone; remove it from the list")
    if _says(message, "unsupported url|is not a valid url|no video formats|unable to extract"):
        return InvalidData(message, remedy="check that the page has a video; update yt-dlp if it has")
    return Unavailable(message, remedy="check the network, then run again")


def _says(message: str, pattern: str) -> bool:
    return re.search(pattern, message, re.IGNORECASE) is not None


def _http_status(error: BaseException | None) -> int | None:
    """The HTTP status at the root of yt-dlp's nested exceptions."""
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        current = queue.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        status = getattr(current, "status", None)
        if isinstance(status, int):
            return status
        nested = getattr(current, "exc_info", None) or (None, None, None)
        queue += [current.__cause__, current.__context__, getattr(current, "cause", None), nested[1]]
    return None


def _flatten(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All video entries of a result, playlists in playlists included (a channel has one per tab)."""
    if info.get("_type") not in ("playlist", "multi_video"):
        return [dict(info)] if info else []
    return [found for entry in info.get("entries") or [] if entry for found in _flatten(entry)]


def _fits(entry: Mapping[str, Any], config: SearchConfig) -> bool:
    duration = entry.get("duration")
    too_short = duration is not None and config.min_duration_s is not None and duration < config.min_duration_s
    too_long = duration is not None and config.max_duration_s is not None and duration > config.max_duration_s
    live = entry.get("live_status") in ("is_live", "is_upcoming", "post_live")
    return not (too_short or too_long or live)


def _video(entry: Mapping[str, Any], now: datetime, *, fallback_url: str, keyword: str | None = None) -> Video:
    extractor = str(entry.get("ie_key") or entry.get("extractor_key") or "generic")
    url = entry.get("webpage_url") or entry.get("url") or fallback_url
    return Video(
        video_id=video_id_of(extractor, str(entry.get("id") or "")),
        url=str(url),
        title=entry.get("title"),
        channel=entry.get("channel") or entry.get("uploader"),
        duration_s=entry.get("duration"),
        license=entry.get("license"),
        source_keyword=keyword,
        added_at=now,
    )


def video_id_of(extractor: str, native_id: str) -> str:
    """The id of a video: YouTube's own, else `{extractor}-{id}`, only `[A-Za-z0-9_-]`.

    Where characters must be replaced, a piece of the original's hash keeps different videos apart.
    """
    if extractor.lower() == "youtube" and re.fullmatch(r"[A-Za-z0-9_-]{11}", native_id):
        return native_id
    exact = f"{extractor.lower()}-{native_id}"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", exact)[:80]
    return plain if plain == exact else with_suffix(plain, exact)


def with_suffix(video_id: str, original: str) -> str:
    """`video_id` made unlike that of another video: the first 8 hex digits of sha256 of `original` are added."""
    return f"{video_id}-{hashlib.sha256(original.encode()).hexdigest()[:8]}"
