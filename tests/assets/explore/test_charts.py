"""Numbers of charts and of the funnel."""

from miner_assets.explore import charts
from miner_assets.explore.queries import Queries
from tests.assets.explore.projects import FAILED, FIRST, SECOND


def test_classes_are_counted(queries: Queries) -> None:
    counted = {row.name: (row.frames, row.unique, row.boxes) for row in charts.count_classes(queries.index)}
    assert counted == {"car": (3, 1, 1), "dog": (4, 1, 1)}


def test_score_histograms_hold_every_frame_once(queries: Queries) -> None:
    bars = charts.score_bars(queries.index, "dog")
    assert [sum(bar.counts[side] for bar in bars) for side in (0, 1)] == [3, 1]
    (rejected,) = [bar for bar in bars if bar.counts[1]]
    assert rejected.low <= 0.2 < rejected.high


def test_box_and_similarity_histograms(queries: Queries) -> None:
    assert [sum(bar.counts[side] for bar in charts.box_bars(queries.index)) for side in (0, 1)] == [3, 1]
    assert sum(bar.counts[0] for bar in charts.similarity_bars(queries.index)) == 3


def test_the_funnel_by_keyword(queries: Queries) -> None:
    cars, rest = charts.count_funnel(queries.index)
    assert (cars.keyword, cars.found, cars.left_out, cars.videos) == ("cars", 3, 1, 2)
    assert (cars.frames, cars.kept, cars.unique, cars.boxes) == (8, 6, 2, 2)
    assert (rest.keyword, rest.found, rest.frames) == ("", 1, 0)


def test_videos_in_numbers(queries: Queries) -> None:
    rows = {row.video.video_id: row for row in charts.count_videos(queries.index)}
    assert list(rows) == [FIRST, SECOND, FAILED]
    assert (rows[FIRST].frames, rows[FIRST].kept, rows[FIRST].unique, rows[FIRST].boxes) == (6, 4, 2, 2)
    assert rows[FIRST].first == (FIRST, 0)
    assert rows[FAILED].first is None
