"""A frame as pages show it: its picture, its boxes in the picture's own pixels, and what became of it."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
import polars as pl

from miner_assets.explore.index import ProjectIndex
from miner_assets.logic.source_links import source_url
from miner_resources.palette import hex_color, ink_on

_LETTER: Final = 0.62
"""Width of a letter of a monospaced font, in heights of the font."""


@dataclass(frozen=True)
class Mark:
    """One box; lengths in pixels of the frame."""

    x: float
    y: float
    w: float
    h: float
    label: str
    score: float | None
    sure: bool
    color: str

    @property
    def text(self) -> str:
        """What its tag says."""
        return self.label if self.score is None else f"{self.label} {self.score:.2f}"

    @property
    def ink(self) -> str:
        """Black or white, whichever reads better on its colour."""
        red, green, blue = (int(self.color[start : start + 2], 16) for start in (1, 3, 5))
        return hex_color(ink_on((red, green, blue)))

    @property
    def text_width(self) -> float:
        """Of its tag, in heights of the font; letters of East Asian scripts are twice as wide."""
        return _LETTER * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in self.text)


@dataclass(frozen=True)
class Card:
    """One frame."""

    row: int
    frame_id: str
    video_id: str
    frame_index: int
    timestamp_s: float
    width: int
    height: int
    path: str
    keyword: str | None
    split: str | None
    best_class: str | None
    score: float | None
    passed: bool | None
    fate: str
    reason: str | None
    similarity: float | None
    duplicate_of: str | None
    root: int | None
    copies: int
    boxes: int
    marks: Sequence[Mark]
    title: str
    version: str

    @property
    def place(self) -> str:
        """Its part of addresses: `{video_id}/{frame_index}`."""
        return f"{quote(self.video_id, safe='')}/{self.frame_index}"

    def thumb(self, width: int) -> str:
        """The address of its thumbnail."""
        return f"/thumb/{self.place}/{width}.jpg?v={self.version}"

    @property
    def sure(self) -> list[Mark]:
        """The boxes that count."""
        return [mark for mark in self.marks if mark.sure]

    @property
    def classes(self) -> list[tuple[str, str, int]]:
        """Classes of its sure boxes → colour and how many, in the order of their names."""
        found: dict[str, tuple[str, int]] = {}
        for mark in self.sure:
            found[mark.label] = (mark.color, found.get(mark.label, ("", 0))[1] + 1)
        return [(name, color, count) for name, (color, count) in sorted(found.items())]

    @property
    def time(self) -> str:
        """Where in the video it is, as players write it."""
        return clock(self.timestamp_s)


def make_cards(index: ProjectIndex, rows: Iterable[int]) -> list[Card]:
    """The frames of these rows, in their order."""
    wanted = np.fromiter(rows, np.uint32)
    found = index.frames[wanted]
    marks: dict[int, list[Mark]] = {}
    for values in index.boxes.filter(pl.col("row").is_in(found["row"].implode())).iter_rows(named=True):
        marks.setdefault(values["row"], []).append(_mark(values, index.colors))
    versions = index.artifacts.versions
    return [
        Card(
            **values,
            marks=marks.get(values["row"], ()),
            title=title_of(index, values["video_id"]),
            version=versions.get(values["video_id"], ""),
        )
        for values in found.iter_rows(named=True)
    ]


def title_of(index: ProjectIndex, video_id: str) -> str:
    """What people call a video."""
    video = index.videos.get(video_id)
    return video.title if video is not None and video.title else video_id


def clock(seconds: float | None) -> str:
    """`61.5` → `1:01.5`, `3661.0` → `1:01:01.0`; nothing for None."""
    if seconds is None:
        return ""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def web_link(url: str | None, timestamp_s: float = 0.0) -> str | None:
    """A link that opens the source at a time; None for what a browser cannot or should not open (files, scripts)."""
    if url is None:
        return None
    try:
        link = source_url(url, timestamp_s)
        return link if urlsplit(link).scheme in ("http", "https") else None
    except ValueError:
        return None


def _mark(values: dict[str, Any], colors: dict[str, str]) -> Mark:
    x, y, w, h = (values[name] for name in ("x", "y", "w", "h"))
    return Mark(x, y, w, h, values["category"], values["score"], values["sure"], colors[values["category"]])
