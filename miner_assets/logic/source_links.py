"""Links that open a source video at the second of a frame.

The `dataset` stage writes them into `annotations.json`; everything that shows a frame to people can use them too. To
support another site, add its form here.
"""

import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

_YOUTUBE_HOSTS: Final = frozenset({"youtube.com", "youtube-nocookie.com"})
_YOUTUBE_FOLDERS: Final = frozenset({"shorts", "embed", "live", "v"})
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


def source_url(url: str, timestamp_s: float) -> str:
    """Where to watch the frame: `url` (a URL or an absolute path) at `timestamp_s`.

    YouTube gets `&t=12s`, whole seconds, on the watch page, which unlike a short or an embed honours it. Other http(s)
    and file URLs get a media fragment (`#t=12.345`, https://www.w3.org/TR/media-frags/); an absolute path becomes a
    file URL. Anything else is returned unchanged.
    """
    seconds = max(timestamp_s, 0.0)
    if Path(url).is_absolute():
        return f"{Path(url).as_uri()}#t={_decimal(seconds)}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme not in ("http", "https", "file"):
        return url
    if video := _youtube_id(parts):
        return f"https://www.youtube.com/watch?v={video}&t={int(seconds)}s"
    return parts._replace(fragment=f"t={_decimal(seconds)}").geturl()


def _youtube_id(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    folders = [folder for folder in parts.path.split("/") if folder]
    candidate = ""
    if host.removeprefix("www.") == "youtu.be":
        candidate = folders[0] if folders else ""
    elif _is_youtube(host) and folders == ["watch"]:
        candidate = parse_qs(parts.query).get("v", [""])[0]
    elif _is_youtube(host) and len(folders) > 1 and folders[0] in _YOUTUBE_FOLDERS:
        candidate = folders[1]
    return candidate if _YOUTUBE_ID.fullmatch(candidate) else None


def _is_youtube(host: str) -> bool:
    return ".".join(host.split(".")[-2:]) in _YOUTUBE_HOSTS


def _decimal(seconds: float) -> str:
    """Milliseconds at most, no exponent, no trailing zeros: 12.345, 12.3, 12."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
