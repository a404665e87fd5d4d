"""From what a user typed to videos with stable ids: local files, folders, and URLs.

A local file is named by its content, so the same file under two names is one video. What is already in the registry
costs neither hashing nor a request.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from miner_resources.errors import MinerError, NotFound, presentable
from miner_resources.records import Video
from miner_resources.web.addresses import check_source
from miner_resources.web.listing import Hit, with_suffix, youtube_video

VIDEO_SUFFIXES: Final = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v"}
    | {".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm"}
    | {".ts", ".vob", ".webm", ".wmv", ".y4m"}
)

_HASH_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Lost:
    """An input that no video could be made of, and why."""

    source: str
    error: MinerError


@dataclass(frozen=True)
class LeftOut:
    """An entry of a playlist or channel that the search filters did not take, and why."""

    source: str
    video: Video
    reason: str


def content_hash(path: Path) -> str:
    """sha256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def local_path(source: str) -> Path | None:
    """The path that `source` names on this machine, None if it is a URL of another kind."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme and "://" in source:
        return None
    if re.match(r"[a-z]+\d*:", source):
        return None
    try:
        return Path(source).expanduser()
    except RuntimeError:  # ~name of nobody here
        return Path(source)


def local_files(path: Path) -> list[Path]:
    """The video files at `path`: itself, or everything with a video suffix below a folder, sorted by name.

    Raises:
        NotFound: there is nothing at `path`, or no video below it.
    """
    if path.is_file():
        return [path.absolute()]
    if not path.is_dir():
        raise NotFound(f"{path} does not exist", remedy="give an existing file or folder, or a URL with https://")
    below = sorted(found for found in path.rglob("*") if found.suffix.lower() in VIDEO_SUFFIXES and found.is_file())
    visible = [found for found in below if not any(part.startswith(".") for part in found.relative_to(path).parts)]
    if not visible:
        raise NotFound(f"{path} holds no video files", remedy=f"known suffixes: {' '.join(sorted(VIDEO_SUFFIXES))}")
    return [found.absolute() for found in visible]


def local_video(path: Path, known: Mapping[str, Video], now: datetime) -> Video:
    """The row of a local file; hashes it unless `known` (by URL) has it with the same size and time."""
    status = path.stat()
    old = known.get(str(path))
    if old and (old.source_size, old.source_mtime_ns) == (status.st_size, status.st_mtime_ns):
        return old
    return Video(
        video_id=f"file-{content_hash(path)[:12]}",
        url=str(path),
        title=path.stem,
        added_at=now,
        source_size=status.st_size,
        source_mtime_ns=status.st_mtime_ns,
    )


def find_videos(
    sources: Sequence[str],
    *,
    registered: Sequence[Video],
    list_url: Callable[[str], Iterable[Hit]],
    now: datetime,
) -> Iterator[Video | LeftOut | Lost]:
    """Turn inputs into videos, one yield for each video found or left out, or input lost.

    Args:
        sources: local files, folders, `file:` URLs, and any URL that yt-dlp takes.
        registered: the videos that are already known.
        list_url: lists the videos behind a URL (`web.listing.list_url` with its settings).
        now: `added_at` of new rows; the same for all, so that the order of a batch is the order of ids.
    """
    inputs = _Inputs(registered, list_url, now)
    for source in sources:
        try:
            yield from inputs.find(source)
        except MinerError as error:
            yield Lost(presentable(source), error)
        except OSError as error:
            yield Lost(source, NotFound(f"{source} cannot be read: {error.strerror}", remedy="check its permissions"))


class _Inputs:
    """What is known already, and how to find out about the rest."""

    def __init__(self, registered: Sequence[Video], list_url: Callable[[str], Iterable[Hit]], now: datetime) -> None:
        self._by_url = {video.url: video for video in registered}
        self._by_id = {video.video_id: video for video in registered}
        self._owners = {video.video_id: video.url for video in registered}
        self._list_url = list_url
        self._now = now

    def find(self, source: str) -> Iterator[Video | LeftOut]:
        """The videos of one input."""
        check_source(source)
        path, single = local_path(source), youtube_video(source, self._now)
        if path is not None:
            for file in local_files(path):
                yield local_video(file, self._by_url, self._now)
        elif source in self._by_url:
            yield self._by_url[source]
        elif single is not None:
            yield self._by_id.get(single.video_id, single)
        else:
            for hit in self._list_url(source):
                video = self._kept_apart(hit.video)
                yield video if hit.reason is None else LeftOut(source, video, hit.reason)

    def _kept_apart(self, video: Video) -> Video:
        """Give a direct link its own id: yt-dlp names those by their file name alone, which many URLs share."""
        owner = self._owners.setdefault(video.video_id, video.url)
        if owner != video.url and video.video_id.startswith("generic-"):
            video = replace(video, video_id=with_suffix(video.video_id, video.url))
            self._owners[video.video_id] = video.url
        return video


def utc_now() -> datetime:
    """The time in UTC, to the millisecond that the registry keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
