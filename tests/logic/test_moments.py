"""The best moments of a video, and how its boxes are spread over the scores."""

import polars as pl

from miner_assets.logic.moments import best_moments, score_histogram

FRAMES = pl.DataFrame({"frame_index": [0, 30, 60], "timestamp_s": [0.0, 1.0, 2.5]})


def found(*rows: tuple[int, str, float | None]) -> pl.DataFrame:
    schema = {"frame_index": pl.Int64, "category": pl.String, "score": pl.Float32}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def test_the_best_frame_of_each_class_is_linked_at_its_second() -> None:
    boxes = found((0, "car", 0.5), (60, "car", 0.75), (30, "cat", 0.25))
    assert best_moments("https://youtu.be/abcdefghijk", boxes, FRAMES, ["cat", "car", "dog"]) == {
        "cat": {"score": 0.25, "time_s": 1.0, "url": "https://www.youtube.com/watch?v=abcdefghijk&t=1s"},
        "car": {"score": 0.75, "time_s": 2.5, "url": "https://www.youtube.com/watch?v=abcdefghijk&t=2s"},
    }


def test_a_box_without_a_score_is_a_moment_too() -> None:
    (moment,) = best_moments("https://a/b", found((30, "cat", None)), FRAMES, ["cat"]).values()
    assert moment == {"score": None, "time_s": 1.0, "url": "https://a/b#t=1"}


def test_every_scored_box_is_counted_once() -> None:
    boxes = found((0, "car", 0.0), (0, "car", 0.31), (30, "car", 0.39), (30, "cat", 0.35), (60, "cat", 1.0))
    counts = score_histogram(pl.concat([boxes, found((60, "cat", None))]), ["car", "cat"])
    assert len(counts) == 10
    assert counts["0.3 to 0.4"] == {"car": 2, "cat": 1}
    assert counts["0.9 to 1.0"] == {"car": 0, "cat": 1}
    assert sum(sum(row.values()) for row in counts.values()) == 5
