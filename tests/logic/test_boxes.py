"""Which stored boxes count."""

import polars as pl
import pytest

from miner_assets.logic.boxes import confident
from miner_resources.records import DETECTIONS_SCHEMA


def table(*rows: tuple[str, int, str, float | None, float]) -> pl.DataFrame:
    """Boxes of 10x10 pixels from (video, frame, class, score, x)."""
    columns = ("video_id", "frame_index", "category", "score", "x", "y", "w", "h", "detector", "prompt")
    values = [(video, frame, name, score, x, 0.0, 10.0, 10.0, "d", name) for video, frame, name, score, x in rows]
    return pl.DataFrame(values, schema={name: DETECTIONS_SCHEMA[name] for name in columns}, orient="row")


def test_boxes_below_the_threshold_go_and_those_without_scores_stay() -> None:
    boxes = table(("v", 0, "cat", 0.2, 0), ("v", 0, "cat", 0.3, 20), ("v", 0, "cat", None, 40))
    assert confident(boxes, 0.25)["x"].to_list() == [20, 40]


@pytest.mark.parametrize(("iou", "left"), [(None, ["cat", "dog", "dog", "cat"]), (0.5, ["dog", "dog", "cat"])])
def test_the_best_of_overlapping_classes_stays_in_its_own_frame(iou: float | None, left: list[str]) -> None:
    boxes = table(("v", 0, "cat", 0.5, 0), ("v", 0, "dog", 0.9, 1), ("v", 1, "dog", 0.4, 0), ("w", 0, "cat", 0.4, 0))
    assert confident(boxes, 0.3, iou)["category"].to_list() == left


def test_a_box_that_is_not_sure_enough_takes_nothing_with_it() -> None:
    boxes = table(("v", 0, "cat", 0.5, 0), ("v", 0, "dog", 0.9, 1))
    assert confident(boxes, 0.95, 0.5).is_empty()
    assert confident(boxes.head(1), 0.3, 0.5)["category"].to_list() == ["cat"]


def test_the_order_and_further_columns_stay() -> None:
    boxes = table(("v", 0, "cat", 0.5, 30), ("v", 0, "dog", 0.9, 0)).with_columns(note=pl.Series(["a", "b"]))
    kept = confident(boxes, 0.1, 0.5)
    assert kept["note"].to_list() == ["a", "b"]
    assert confident(boxes.clear(), 0.1, 0.5).columns == kept.columns
