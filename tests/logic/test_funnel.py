"""What came of the videos of each keyword."""

from datetime import UTC, datetime

from miner_assets.logic.funnel import COLUMNS, Came, by_keyword
from miner_resources.records import Video
from miner_resources.registry.records import SearchResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def video(name: str, keyword: str | None = None) -> Video:
    return Video(video_id=name, url=f"https://a/{name}", added_at=NOW, source_keyword=keyword)


def result(keyword: str, name: str, reason: str | None = None) -> SearchResult:
    return SearchResult(keyword=keyword, video_id=name, rank=1, url=f"https://a/{name}", searched_at=NOW, reason=reason)


def test_each_video_counts_for_the_keyword_that_found_it_first() -> None:
    found = [result("b", "one"), result("b", "two"), result("b", "short", "too short"), result("a", "one")]
    came = {
        "one": Came(downloaded=True, frames=10, kept=5, unique_in_video=4, unique=3, boxes=7),
        "two": Came(downloaded=True, frames=6),
        "own": Came(downloaded=True, frames=1, kept=1, unique_in_video=1, unique=1, boxes=2),
    }
    rows = by_keyword(found, [video("own"), video("one", "b"), video("two", "b")], came)
    assert [row.cells() for row in rows] == [
        ["a", 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ["b", 3, 1, 2, 2, 16, 5, 4, 3, 7],
        ["(none)", 1, 0, 1, 1, 1, 1, 1, 1, 2],
    ]
    assert len(COLUMNS) == len(rows[0].cells())


def test_a_project_without_anything_has_no_rows() -> None:
    assert by_keyword([], [], {}) == []
