"""The funnel of each keyword: how many videos it found, and what came of them down to boxes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from miner_resources.records import Json, Video
from miner_resources.registry.records import SearchResult

NO_KEYWORD: Final = ""
"""Videos that no search found: URLs and files."""


@dataclass(frozen=True)
class Came:
    """What came of one video; all counts are of frames but the last."""

    downloaded: bool = False
    frames: int = 0
    kept: int = 0
    unique_in_video: int = 0
    unique: int = 0
    boxes: int = 0


@dataclass(frozen=True)
class FunnelRow:
    """One keyword.

    Attributes:
        found: results of its searches; `left_out` of them did not pass the search filters.
        videos: registered ones, each counted for the keyword that found it first.
    """

    keyword: str
    found: int
    left_out: int
    videos: int
    downloaded: int
    frames: int
    kept: int
    unique_in_video: int
    unique: int
    boxes: int

    def cells(self) -> list[Json]:
        """For a table; its columns are `COLUMNS`."""
        return [self.keyword or "(none)", *list(asdict(self).values())[1:]]


COLUMNS: Final = tuple(FunnelRow.__dataclass_fields__)


def by_keyword(found: Iterable[SearchResult], videos: Iterable[Video], came: Mapping[str, Came]) -> list[FunnelRow]:
    """One row per keyword in the order of their names, last the videos that no search found.

    Args:
        found: results of all searches.
        videos: all registered videos.
        came: what came of them; videos that are missing got nowhere yet.
    """
    results = list(found)
    total, left_out = Counter(one.keyword for one in results), Counter(one.keyword for one in results if one.reason)
    members: dict[str, list[Came]] = {keyword: [] for keyword in total}
    for video in videos:
        members.setdefault(video.source_keyword or NO_KEYWORD, []).append(came.get(video.video_id, Came()))
    rows = [
        FunnelRow(
            keyword=keyword,
            found=total[keyword] if keyword else len(group),
            left_out=left_out[keyword],
            videos=len(group),
            downloaded=sum(one.downloaded for one in group),
            frames=sum(one.frames for one in group),
            kept=sum(one.kept for one in group),
            unique_in_video=sum(one.unique_in_video for one in group),
            unique=sum(one.unique for one in group),
            boxes=sum(one.boxes for one in group),
        )
        for keyword, group in members.items()
    ]
    return sorted(rows, key=lambda row: (row.keyword == NO_KEYWORD, row.keyword))
