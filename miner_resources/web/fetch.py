"""Downloading one video: one video-only file, resumed where it stopped, and only if it is what was wanted.

One stream needs no merge and so no ffmpeg. Formats whose id ends in `-sr` are upscaled by a network (yt-dlp issue
15433): pictures that no camera took. What is left in the folder after a failure is where the next try goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from miner_resources.config_sections import DownloadConfig
from miner_resources.errors import CorruptMedia, InvalidData
from miner_resources.governor import Stopped
from miner_resources.records import Json, Video
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames, probe
from miner_resources.web.chosen import Chosen, empty
from miner_resources.web.client import FORMAT, Info, WebClient
from miner_resources.web.rights import RightsPolicy, trainability
from miner_resources.web.trouble import SourceFailed, Trouble
from miner_resources.web.watch import Watch

FIRST_PAUSE_S: Final = 0.5
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


def fetch(client: WebClient, video: Video, folder: Path, rights: RightsPolicy = "any") -> Fetched:
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
        empty(folder)
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
    if index.sequential:
        return
    found = {frame.frame_index for frame in decode_frames(path, index, sorted({0, len(index) - 1}))}
    if len(index) - 1 not in found:
        raise CorruptMedia(f"the last frame of {path.name} cannot be decoded", remedy="download it again")


def _fetch(client: WebClient, video: Video, folder: Path, rights: RightsPolicy) -> Fetched:
    config = client.download
    folder.mkdir(parents=True, exist_ok=True)
    chosen = Chosen(video, folder, config, rights)

    def pause(n: int) -> float:
        if client.stop.is_set():
            raise Stopped
        return min(FIRST_PAUSE_S * 2**n, 20.0)

    options = {
        "format": FORMAT,
        "format_sort": _preferences(config),
        "match_filter": chosen.check,
        "progress_hooks": [Watch(folder, config, client.stop)],
        "outtmpl": {"default": "video.%(ext)s"},
        "paths": {"home": str(folder), "temp": str(folder)},
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "retries": 5,
        "fragment_retries": 5,
        "retry_sleep_functions": {"http": pause, "fragment": pause},
        "ratelimit": config.rate_limit,
    }

    def work(downloader: Any) -> Info:  # noqa: ANN401 (yt-dlp has no types)
        chosen.ask_rights = lambda asked: trainability(downloader, asked)
        info = downloader.extract_info(video.url, download=True)
        if info.get("_type", "video") != "video":
            raise InvalidData(f"{video.url} is a list of videos", remedy="name it in `urls`: its videos are registered")
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


def _kept(info: Info) -> dict[str, Json]:
    return {key: info[key] for key in KEPT if info.get(key) is not None}
