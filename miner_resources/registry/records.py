"""Small records that only the registry hands out."""

from dataclasses import dataclass
from datetime import datetime

from miner_resources.records import Stage, Status


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """A search that is repeated.

    Attributes:
        max_results: None stands for the configured number.
        last_settings: hash of the filters of the last search.
    """

    keyword: str
    added_at: datetime
    max_results: int | None = None
    last_searched_at: datetime | None = None
    last_settings: str | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """One video that a search found.

    Attributes:
        rank: from 1, the best first, counted before the filters.
        reason: why it was left out, None if it was taken.
    """

    keyword: str
    video_id: str
    rank: int
    url: str
    searched_at: datetime
    title: str | None = None
    channel: str | None = None
    duration_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """How many videos one stage did, on how many it failed last, and how many it left for later or left out."""

    done: int
    failed: int
    waiting: int = 0
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The registry in numbers.

    Attributes:
        videos: all videos, without the removed ones.
        duration_s: their length together, as far as it is known.
        removed: tombstones.
        by_status: statuses that occur, in the order of `Status`.
        by_stage: stages that occur, in the order of `Stage`.
        by_keyword: videos per source keyword, and 0 for watched keywords without videos.
    """

    videos: int
    duration_s: float
    removed: int
    by_status: dict[Status, int]
    by_stage: dict[Stage, StageCounts]
    by_keyword: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class RebuildReport:
    """What a rebuilt registry holds.

    Attributes:
        videos: rows of videos.
        stage_records: rows of stages.
        keywords: rows of keywords; they exist only in the old registry.
        removed: tombstones.
        salvaged: whether there was an old registry and all of it could be read.
        problems: what was left out and why, one line each.
    """

    videos: int
    stage_records: int
    keywords: int
    removed: int
    salvaged: bool
    problems: tuple[str, ...]
