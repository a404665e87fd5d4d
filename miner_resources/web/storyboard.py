"""The storyboard of a video: the small pictures under the seek bar, a few kilobytes that tell what is in it.

yt-dlp lists storyboards as formats `sb0`, `sb1`, …, each a sequence of sheets with `rows` x `columns` pictures
(`_extract_storyboard` in its YouTube extractor).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from miner_resources.images import decode_image
from miner_resources.records import Rgb, Video
from miner_resources.web.client import FORMAT, WebClient

_OPTIONS: Mapping[str, object] = {"noplaylist": True, "format": FORMAT}


def storyboard(client: WebClient, video: Video, max_pictures: int) -> list[Rgb]:
    """Pictures from all over a video, in order of time; empty if it has no storyboard.

    Costs one paced request, like a download, and one small file for each sheet.

    Raises:
        SourceFailed: the site does not give the video.
        Waiting: the site is cooling down for longer than a run waits.
    """

    def work(downloader: Any) -> list[Rgb]:  # noqa: ANN401 (yt-dlp has no types)
        info = downloader.extract_info(video.url, download=False)
        boards = [entry for entry in info.get("formats") or [] if entry.get("format_note") == "storyboard"]
        if not boards:
            return []
        board: dict[str, Any] = max(boards, key=_width)
        pictures: list[Rgb] = []
        left = max(1, round(board["fps"] * (info.get("duration") or 0)))
        for sheet in board["fragments"]:
            with downloader.urlopen(sheet["url"]) as response:
                cut = _cut(response.read(), board)[:left]
            left -= len(cut)
            pictures += cut
        return _spread(pictures, max_pictures)

    return client.use(video.url, _OPTIONS, work)


def _width(board: Mapping[str, Any]) -> int:
    return int(board["width"])


def _cut(sheet: bytes, board: Mapping[str, Any]) -> list[Rgb]:
    """The pictures of one sheet, row by row; none of a damaged one."""
    try:
        pixels = decode_image(sheet)
    except ValueError:
        return []
    width, height = int(board["width"]), int(board["height"])
    return [
        np.ascontiguousarray(pixels[top : top + height, left : left + width])
        for top in range(0, min(board["rows"] * height, len(pixels)) - height + 1, height)
        for left in range(0, min(board["columns"] * width, pixels.shape[1]) - width + 1, width)
    ]


def _spread(pictures: list[Rgb], count: int) -> list[Rgb]:
    step = max(1, math.ceil(len(pictures) / count))
    return pictures[::step]
