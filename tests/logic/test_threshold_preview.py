"""What a threshold preview counts and which frames it shows."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.filtering import judge
from miner_assets.logic.threshold_preview import (
    ABOVE,
    BELOW,
    BIN_WIDTH,
    LOWEST,
    TOGETHER,
    VETOED,
    StoredScores,
    ThresholdPreview,
    logit,
    preview_thresholds,
)
from miner_resources.scores import sigmoid

NONE = -np.inf


def stored(
    positive: list[list[float]], negative: list[list[float]] | None = None, videos: list[str] | None = None
) -> StoredScores:
    logits = np.array(positive, np.float32)
    against = np.full(logits.shape, NONE, np.float32) if negative is None else np.array(negative, np.float32)
    names = tuple(f"class {column}" for column in range(logits.shape[1]))
    ids = videos or ["video"] * len(logits)
    return StoredScores(names, pl.DataFrame({"video_id": ids, "frame_index": range(len(ids))}), logits, against)


def one(preview: ThresholdPreview, name: str = "class 0"):
    return next(counted for counted in preview.classes if counted.name == name)


def shown(preview: ThresholdPreview, name: str = "class 0") -> list[tuple[str, int, str]]:
    return [(frame.video_id, frame.frame_index, frame.side) for frame in one(preview, name).shown]


def test_frames_are_counted_by_the_side_of_the_threshold() -> None:
    counted = one(
        preview_thresholds(
            stored([[2.0], [0.0], [1.0], [-1.0], [-9.0]], [[NONE], [NONE], [1.5], [NONE], [3.0]]),
            [0.5],
            pictured=1,
            tiles=4,
        )
    )
    assert (counted.above, counted.vetoed, counted.below) == (2, 1, 2)
    assert counted.near == 1
    assert counted.median == pytest.approx(0.5)
    assert counted.by_score == {"0.0001–0.001": 1, "0.25–0.5": 1, "0.5–0.75": 2, "0.75–0.9": 1}


def test_the_histogram_holds_every_frame_in_the_bin_of_its_logit() -> None:
    counted = one(preview_thresholds(stored([[-30.0], [-11.9], [0.1], [30.0]]), [0.5], pictured=1, tiles=2))
    below, above = counted.histogram[BELOW], counted.histogram[ABOVE]
    assert below[0] == 2
    assert below.sum() == 2
    assert above[round((0.0 - LOWEST) / BIN_WIDTH)] == 1
    assert above[-1] == 1


def test_the_frames_nearest_to_the_threshold_are_shown_best_first() -> None:
    logits = [[float(value)] for value in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)]
    preview = preview_thresholds(stored(logits), [0.5], pictured=1, tiles=4)
    assert shown(preview) == [("video", 6, ABOVE), ("video", 5, ABOVE), ("video", 4, BELOW), ("video", 3, BELOW)]


@pytest.mark.parametrize("sign", [1, -1])
def test_where_one_side_has_few_the_other_fills_the_places(sign: int) -> None:
    logits = [[float(sign * value)] for value in (1, 2, 3, 4, -1)]
    preview = preview_thresholds(stored(logits), [0.5], pictured=1, tiles=4)
    assert {frame.frame_index for frame in one(preview).shown} == {0, 1, 2, 4}


def test_frames_of_several_videos_take_turns() -> None:
    crowd = [[0.01 * number] for number in range(1, 9)]
    preview = preview_thresholds(
        stored([*crowd, [3.0], [4.0]], videos=["a"] * 8 + ["b", "b"]), [0.5], pictured=1, tiles=4
    )
    of = [video for video, _, _ in shown(preview)]
    assert of.count("a") == TOGETHER
    assert of.count("b") == 2


def test_a_dropped_frame_says_which_class_keeps_it() -> None:
    preview = preview_thresholds(stored([[-1.0, 2.0], [-2.0, -3.0]]), [0.5, 0.5], pictured=2, tiles=2)
    assert [frame.kept_as for frame in one(preview).shown] == ["class 1", None]


def test_classes_with_most_frames_near_or_above_are_pictured() -> None:
    logits = np.full((6, 3), -10.0)
    logits[:4, 2] = 1.0
    logits[:2, 0] = -0.5
    preview = preview_thresholds(stored(logits.tolist()), [0.5] * 3, pictured=2, tiles=2)
    assert preview.pictured == ("class 0", "class 2")
    assert not one(preview, "class 1").shown
    assert preview_thresholds(stored(logits.tolist()), [0.5] * 3, pictured=2, tiles=2, among=["class 1"]).pictured == (
        "class 1",
    )


def test_frames_without_a_score_for_a_class_are_neither_counted_nor_shown() -> None:
    counted = one(preview_thresholds(stored([[NONE], [1.0]]), [0.5], pictured=1, tiles=4))
    assert sum(int(bars.sum()) for bars in counted.histogram.values()) == 1
    assert (counted.above, counted.vetoed, counted.below) == (1, 0, 0)
    assert len(counted.shown) == 1


def test_without_frames_there_is_nothing_to_show() -> None:
    empty = StoredScores(
        ("red",),
        pl.DataFrame(schema={"video_id": pl.String, "frame_index": pl.Int64}),
        *np.zeros((2, 0, 1), np.float32),
    )
    preview = preview_thresholds(empty, [0.5], pictured=1, tiles=4)
    assert preview.frames == 0
    assert preview.classes[0].median is None
    assert not preview.classes[0].shown


@given(
    st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
    st.integers(2, 12),
)
def test_counts_agree_with_the_filter(rows: list[tuple[float, float]], threshold: float, tiles: int) -> None:
    given_scores = stored([[first] for first, _ in rows], [[second] for _, second in rows])
    counted = one(preview_thresholds(given_scores, [threshold], pictured=1, tiles=tiles))
    verdict = judge(given_scores.positive, given_scores.negative, [threshold])
    assert counted.above == verdict.kept.sum()
    assert counted.above + counted.vetoed + counted.below == len(rows)
    assert {side: int(bars.sum()) for side, bars in counted.histogram.items()} == {
        ABOVE: counted.above,
        VETOED: counted.vetoed,
        BELOW: counted.below,
    }
    assert len(counted.shown) == min(tiles, len(rows))
    scores = [frame.score for frame in counted.shown]
    assert scores == sorted(scores, reverse=True)


@given(st.floats(0.001, 0.999))
def test_logit_undoes_sigmoid(score: float) -> None:
    assert float(sigmoid(np.array([logit(score)], np.float64))[0]) == pytest.approx(score)
