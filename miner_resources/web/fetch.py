"""Downloading one video: one video-only file, resumed where it stopped, and only if it is what was wanted.

One stream needs no merge and so no ffmpeg. Formats whose id ends in `-sr` are upscaled by a network (yt-dlp issue
15433): pictures that no camera took. What is left in the folder after a failure is where the next try goes on.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from miner_resources.config import DownloadConfig
from miner_resources.errors import CorruptMedia, InvalidData, NotWanted
from miner_resources.governor import Stopped
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.records import Json, Video
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames, probe
from miner_resources.web.client import Info, WebClient
from miner_resources.web.rights import Policy, check_rights, trainability
from miner_resources.web.trouble import SourceFailed, Trouble

FORMAT: Final = "bv[format_id!*=-sr][protocol^=http]/bv[format_id!*=-sr]/b[format_id!*=-sr]"
DEGRADED: Final = "18"
"""YouTube's only ready-made file, 360p: what is left when it gives no stream to whom it does not trust."""

FIRST_PAUSE_S: Final = 0.5
FREE_DISK_BYTES: Final = 1 << 30
DISK_CHECK_BYTES: Final = 1 << 26
STALLED_BYTES_PER_S: Final = 1024
LIVE: Final = ("is_live", "is_upcoming", "post_live")
KEPT: Final = (
    "channel_id",
    "extractor",
    "format_id",
    "license",
    "upload_date",
    "uploader",
    "webpage_url",
    "live_status",
)
"""What is kept of yt-dlp's facts: never signed URLs, headers or cookies."""

_RESUME: Final = "resume.json"


@dataclass(frozen=True)
class Fetched:
    """A downloaded file.

    Attributes:
        video: the registered video with what the site says about it.
        source: facts about the site's file for `info.json`.
    """

    path: Path
    video: Video
    source: Mapping[str, Json]


def fetch(client: WebClient, video: Video, folder: Path, rights: Policy = "any") -> Fetched:
    """Download `video` into `folder`, which may hold the start of an earlier try.

    A file whose ends do not decode is fetched once more from the beginning: a stale start may be to blame. If only the
    end of the second copy is damaged, the source is like that, and sampling decides whether enough is left.

    Raises:
        SourceFailed: the site did not give it.
        NotWanted: the rights policy or a limit forbids it.
        CorruptMedia: what came is no video.
        Waiting: the site is cooling down for longer than a run waits.
    """
    fetched = _fetch(client, video, folder, rights)
    try:
        check_ends(fetched.path)
    except CorruptMedia:
        _empty(folder)
        fetched = _fetch(client, video, folder, rights)
        probe(fetched.path)
    return fetched


def check_ends(path: Path) -> None:
    """Prove that the first and the last frame can be decoded.

    Files without usable times are left alone: reading their index decoded them already.

    Raises:
        CorruptMedia: one of them cannot.
    """
    index = read_index(path)
    if len(index) == 0 or not index.sequential:
        found = {frame.frame_index for frame in decode_frames(path, index, sorted({0, max(len(index) - 1, 0)}))}
        if len(index) - 1 not in found:
            raise CorruptMedia(f"the last frame of {path.name} cannot be decoded", remedy="download it again")


def _fetch(client: WebClient, video: Video, folder: Path, rights: Policy) -> Fetched:
    config = client.download
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _Chosen(video, folder, config, rights)
    options = {
        "format": FORMAT,
        "format_sort": _preferences(config),
        "match_filter": chosen.check,
        "progress_hooks": [_Watch(folder, config, client.stop)],
        "outtmpl": {"default": "video.%(ext)s"},
        "paths": {"home": str(folder), "temp": str(folder)},
        "noplaylist": True,
        "retries": 5,
        "fragment_retries": 5,
        "retry_sleep_functions": {"http": _pause, "fragment": _pause},
        "ratelimit": config.rate_limit,
    }

    def work(downloader: Any) -> Info:  # noqa: ANN401 (yt-dlp has no types)
        chosen.ask_rights = lambda asked: trainability(downloader, asked)
        info = downloader.extract_info(video.url, download=True)
        return dict(downloader.sanitize_info(info) or {})

    info = client.use(video.url, options, work)
    files = [path for path in folder.iterdir() if path.stem == "video" and path.suffix not in (".part", ".ytdl")]
    if not files:
        raise SourceFailed(f"{video.url} gave no file", Trouble.NO_FORMAT)
    return Fetched(files[0], chosen.video, {**_kept(info), **chosen.offer})


def _preferences(config: DownloadConfig) -> list[str]:
    codec = {"h264": ["vcodec:h264"], "vp9": ["vcodec:vp9"], "av1": ["vcodec:av01"], "any": []}[config.codec]
    # Pictures in high dynamic range need tone mapping before any model makes sense of them.
    return [f"res:{config.max_height}", "+fps", "hdr:sdr", *codec, "+size"]


def _pause(n: int) -> float:
    return min(FIRST_PAUSE_S * 2**n, 20.0)


class _Chosen:
    """Looks at what yt-dlp is about to download, and has the last word."""

    def __init__(self, video: Video, folder: Path, config: DownloadConfig, rights: Policy) -> None:
        self.video = video
        self.offer: dict[str, Json] = {}
        self.ask_rights: Callable[[Video], str | None] | None = None
        self._folder = folder
        self._config = config
        self._rights: Policy = rights

    def check(self, info: Info, *, incomplete: bool = False) -> None:
        """yt-dlp's match filter: called before and after a format is chosen. Raises what speaks against the video."""
        if incomplete or info.get("_type", "video") != "video":
            return
        url = self.video.url
        if info.get("live_status") in LIVE:
            raise SourceFailed(f"{url} is a live stream or premiere: {info['live_status']}", Trouble.UPCOMING)
        self._check_limits(info)
        if self.video.trainable is None and (self._config.trainability or self._rights == "trainable"):
            answer = self.ask_rights(self.video) if self.ask_rights else None
            self.video = replace(self.video, trainable=answer)
        self.video = _described(self.video, info)
        check_rights(self.video, self._rights)
        if info.get("format_id") is not None:
            self._check_format(info)

    def _check_limits(self, info: Info) -> None:
        config, url = self._config, self.video.url
        duration, size = info.get("duration"), info.get("filesize")
        if duration and config.max_duration_s and duration > config.max_duration_s:
            raise NotWanted(
                f"{url} lasts {duration:g} s, download.max_duration_s is {config.max_duration_s:g}",
                remedy="raise download.max_duration_s, or leave it out",
            )
        if size and config.max_filesize and size > config.max_filesize:
            raise NotWanted(_too_large(url, size, config.max_filesize), remedy=_RAISE_SIZE)

    def _check_format(self, info: Info) -> None:
        formats = info.get("formats") or []
        pictures = [entry for entry in formats if entry.get("vcodec") != "none"]
        self.offer = {
            "formats_offered": len(pictures),
            "ai_upscaled_offered": sum(str(entry["format_id"]).endswith("-sr") for entry in pictures),
            "is_ai_upscaled": "-sr" in str(info["format_id"]),
            "degraded": pool_of(self.video.url) == YOUTUBE and info["format_id"] == DEGRADED,
            "client": _client_of(info),
            "yt_dlp_version": _yt_dlp_version(),
        }
        if self.offer["degraded"] and not self._config.accept_degraded:
            raise SourceFailed(
                f"{self.video.url}: YouTube offers only its 360p stand-in (format {DEGRADED})",
                Trouble.NO_FORMAT,
                remedy="it is tried again later; update yt-dlp, or set download.accept_degraded",
            )
        self._forget_another_start({"format_id": info["format_id"], "filesize": info.get("filesize")})

    def _forget_another_start(self, file: dict[str, Json]) -> None:
        """A start is only worth something for the same file: yt-dlp would add to any other without a word."""
        note = self._folder / _RESUME
        try:
            same = json.loads(note.read_text(encoding="utf-8")) == file
        except (OSError, ValueError):
            same = False
        if not same:
            _empty(self._folder)
            note.write_text(json.dumps(file), encoding="utf-8")


class _Watch:
    """yt-dlp's progress hook: gives up on what is too large, too slow, or fills the disk."""

    def __init__(self, folder: Path, config: DownloadConfig, stop: threading.Event) -> None:
        self._folder = folder
        self._config = config
        self._stop = stop
        self._since: tuple[float, int] | None = None
        self._disk_checked = 0

    def __call__(self, progress: Mapping[str, Any]) -> None:
        if self._stop.is_set():
            raise Stopped
        if progress.get("status") != "downloading":
            return
        size, now, config = int(progress.get("downloaded_bytes") or 0), time.monotonic(), self._config
        if config.max_filesize and size > config.max_filesize:
            raise NotWanted(_too_large("the file", size, config.max_filesize), remedy=_RAISE_SIZE)
        self._check_disk(size)
        started, before = self._since = self._since or (now, size)
        if now - started < config.timeout:
            return
        if size - before < STALLED_BYTES_PER_S * config.timeout:
            raise SourceFailed(
                f"only {size - before} bytes came in {now - started:.0f} s", Trouble.NETWORK, remedy=_RAISE_TIMEOUT
            )
        self._since = (now, size)

    def _check_disk(self, size: int) -> None:
        """A stream without an end must stop before the disk is full."""
        if size - self._disk_checked < DISK_CHECK_BYTES:
            return
        self._disk_checked = size
        if shutil.disk_usage(self._folder).free < FREE_DISK_BYTES:
            raise InvalidData(f"the disk of {self._folder} is nearly full", remedy="free some space, then run again")


_RAISE_SIZE: Final = "raise download.max_filesize, or leave it out"
_RAISE_TIMEOUT: Final = "run again: it goes on where it stopped; raise download.timeout for a slow line"


def _too_large(what: str, size: int, limit: int) -> str:
    return f"{what} has {size} bytes or more, download.max_filesize is {limit}"


def _described(video: Video, info: Info) -> Video:
    return replace(
        video,
        title=video.title or info.get("title"),
        channel=video.channel or info.get("channel") or info.get("uploader"),
        license=video.license or info.get("license"),
        duration_s=video.duration_s or info.get("duration"),
    )


def _client_of(info: Info) -> str | None:
    """YouTube's player client that a format came from: yt-dlp writes its short name at the end of the format's note."""
    from yt_dlp.extractor.youtube._base import INNERTUBE_CLIENTS, short_client_name

    last = str(info.get("format_note") or "").rsplit(", ", maxsplit=1)[-1]
    return {short_client_name(client): client for client in INNERTUBE_CLIENTS}.get(last)


def _yt_dlp_version() -> str:
    from yt_dlp.version import __version__

    return __version__


def _kept(info: Info) -> dict[str, Json]:
    return {key: info[key] for key in KEPT if info.get(key) is not None}


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
