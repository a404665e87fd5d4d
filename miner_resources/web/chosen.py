"""What yt-dlp is about to download, and whether we want it: the last word before the first byte.

Limits, rights, live streams, degraded formats; and whether the start of an earlier try belongs to the same file.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from miner_resources.config_sections import DownloadConfig
from miner_resources.errors import NotWanted
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.records import Json, Video
from miner_resources.web.client import Info
from miner_resources.web.listing import site_number, site_text
from miner_resources.web.rights import RightsPolicy, check_rights
from miner_resources.web.trouble import SourceFailed, Trouble

DEGRADED: Final = "18"
"""YouTube's only ready-made file, 360p: what is left when it gives no stream to whom it does not trust."""

LIVE: Final = ("is_live", "is_upcoming", "post_live")

_RESUME: Final = "resume.json"


class Chosen:
    """Looks at what yt-dlp is about to download.

    Args:
        video: as registered.
        folder: where it is downloaded to.
        config: limits.
        rights: what may be used.

    Attributes:
        video: the registered video with what the site says about it.
        offer: what the site offered and what was chosen, for `info.json`.
        ask_rights: asks the site who may train on a video; set when a `YoutubeDL` is there.
    """

    def __init__(self, video: Video, folder: Path, config: DownloadConfig, rights: RightsPolicy) -> None:
        self.video = video
        self.offer: dict[str, Json] = {}
        self.ask_rights: Callable[[Video], str | None] | None = None
        self._folder = folder
        self._config = config
        self._rights: RightsPolicy = rights

    def check(self, info: Info, *, incomplete: bool = False) -> None:
        """yt-dlp's match filter: called when a format is chosen. Raises what speaks against the video."""
        if incomplete or info.get("_type", "video") != "video":
            return
        url = self.video.url
        if info.get("live_status") in LIVE:
            raise SourceFailed(f"{url} is a live stream or premiere: {info['live_status']}", Trouble.UPCOMING)
        self._check_limits(info)
        self._ask_trainability()
        self.video = _described(self.video, info)
        check_rights(self.video, self._rights)
        self._check_format(info)

    def _ask_trainability(self) -> None:
        needed = self._rights == "trainable" and pool_of(self.video.url) == YOUTUBE
        if self.video.trainable is not None or not (needed or self._config.trainability):
            return
        self.video = replace(self.video, trainable=self.ask_rights(self.video) if self.ask_rights else None)
        if needed and self.video.trainable is None:
            raise SourceFailed(f"{self.video.url}: YouTube did not say who may train on it", Trouble.NETWORK)

    def _check_limits(self, info: Info) -> None:
        config, url = self._config, self.video.url
        duration, size = info.get("duration"), info.get("filesize")
        if duration and config.max_duration_s and duration > config.max_duration_s:
            raise NotWanted(
                f"{url} lasts {duration:g} s, download.max_duration_s is {config.max_duration_s:g}",
                remedy="raise download.max_duration_s, or leave it out",
            )
        if size and config.max_filesize and size > config.max_filesize:
            raise too_large(url, size, config.max_filesize)

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
            empty(self._folder)
            note.write_text(json.dumps(file), encoding="utf-8")


def too_large(what: str, size: int, limit: int) -> NotWanted:
    """The error for a file above the limit."""
    return NotWanted(
        f"{what} has {size} bytes or more, download.max_filesize is {limit}",
        remedy="raise download.max_filesize, or leave it out",
    )


def empty(folder: Path) -> None:
    """Delete the files in a folder."""
    for path in folder.iterdir():
        path.unlink()


def _described(video: Video, info: Info) -> Video:
    return replace(
        video,
        title=video.title or site_text(info.get("title")),
        channel=video.channel or site_text(info.get("channel")) or site_text(info.get("uploader")),
        license=video.license or site_text(info.get("license")),
        duration_s=video.duration_s or site_number(info.get("duration")),
    )


def _client_of(info: Info) -> str | None:
    """YouTube's player client that a format came from: yt-dlp writes its short name at the end of the format's note."""
    try:
        from yt_dlp.extractor.youtube._base import INNERTUBE_CLIENTS, short_client_name
    except ImportError:  # not part of yt-dlp's interface: a newer one may have moved it
        return None
    last = str(info.get("format_note") or "").rsplit(", ", maxsplit=1)[-1]
    return {short_client_name(client): client for client in INNERTUBE_CLIENTS}.get(last)


def _yt_dlp_version() -> str:
    from yt_dlp.version import __version__

    return __version__
