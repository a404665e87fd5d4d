"""The storyboard of a video: the small pictures under the seek bar, a few kilobytes that tell what is in it.

yt-dlp lists storyboards as formats `sb0`, `sb1`, …, each a sequence of sheets with `rows` x `columns` pictures
(`_extract_storyboard` in its YouTube extractor).
"""

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np

from miner_resources.images import decode_image
from miner_resources.records import Rgb, Video
from miner_resources.web.client import FORMAT, WebClient

MAX_SHEET_BYTES: Final = 20_000_000
MOST_PICTURES: Final = 100_000
MOST_SIDE: Final = 640
"""Real sheets have 5 x 5 pictures of 320 x 180 px in 100 kB; a site may say anything."""

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
        left = min(max(1, round(board["fps"] * (info.get("duration") or 0))), MOST_PICTURES)
        step, seen = math.ceil(left / max_pictures), 0
        for sheet in board["fragments"]:
            with downloader.urlopen(sheet["url"]) as response:
                data = response.read(MAX_SHEET_BYTES)
            for cut in islice(_cut(data, board), left):
                if seen % step == 0 and len(pictures) < max_pictures:
                    pictures.append(np.ascontiguousarray(cut))
                seen += 1
                left -= 1
            if not left:
                break
        return pictures

    return client.use(video.url, _OPTIONS, work)


def _width(board: Mapping[str, Any]) -> int:
    return int(board["width"])


def _cut(sheet: bytes, board: Mapping[str, Any]) -> Iterator[Rgb]:
    """The pictures of one sheet, row by row; none of a damaged one."""
    try:
        pixels = decode_image(sheet)
    except ValueError:
        return
    width, height = int(board["width"]), int(board["height"])
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
        return
    for top in range(0, min(board["rows"] * height, len(pixels)) - height + 1, height):
        for left in range(0, min(board["columns"] * width, pixels.shape[1]) - width + 1, width):
            yield pixels[top : top + height, left : left + width]
