"""What is shown around a threshold."""

import numpy as np
import polars as pl

from miner_assets.logic.dedup import deduplicate
from miner_assets.logic.threshold_examples import boxes_near, nearest_boxes, nearest_pairs, pairs_near
from miner_resources.records import DETECTIONS_SCHEMA


def test_pairs_lie_on_either_side_nearest_first() -> None:
    random = np.random.default_rng(3)
    centres = random.standard_normal((6, 16))
    vectors = centres[random.integers(0, 6, 60)] + 0.5 * random.standard_normal((60, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    indexes = np.arange(60) * 10
    threshold = 0.8
    decided = deduplicate(vectors, threshold)
    pairs = pairs_near("v", indexes, vectors, threshold, 5)
    above, below = [pair for pair in pairs if pair.repeats], [pair for pair in pairs if not pair.repeats]
    assert len(above) == len(below) == 5
    lowest = np.sort(decided.similarity[~decided.kept])[:5]
    assert [pair.similarity for pair in above] == lowest.tolist()
    for pair in pairs:
        row, earlier = pair.frame_index // 10, pair.earlier // 10
        assert earlier < row
        assert decided.kept[earlier]
        assert decided.kept[row] == (not pair.repeats)
        assert abs(float(vectors[row] @ vectors[earlier]) - pair.similarity) < 1e-5
        assert (pair.similarity >= threshold) == pair.repeats
    kept = np.flatnonzero(decided.kept)
    highest = max(float(vectors[a] @ vectors[b]) for a in kept for b in kept if b < a)
    assert abs(below[0].similarity - highest) < 1e-5
    ordered = nearest_pairs([*pairs, *pairs_near("w", indexes, vectors, threshold, 5)], 3)
    assert [pair.similarity for pair in ordered] == sorted((pair.similarity for pair in ordered), reverse=True)
    assert len(ordered) == 6


def test_one_frame_makes_no_pair() -> None:
    assert pairs_near("v", np.array([0]), np.eye(1, 4, dtype=np.float32), 0.9, 5) == []


def test_boxes_of_each_class_lie_on_either_side_and_those_without_score_nowhere() -> None:
    scores = [("car", 0.1), ("car", 0.29), ("car", 0.3), ("car", 0.31), ("car", 0.9), ("car", None), ("bus", 0.2)]
    rows = [
        {"video_id": "v", "frame_index": n, "category": name, "score": s, "x": 1, "y": 2, "w": 3, "h": 4}
        for n, (name, s) in enumerate(scores)
    ]
    boxes = boxes_near(pl.DataFrame(rows, schema=DETECTIONS_SCHEMA), 0.3, 2)
    found = {name: [(box.frame_index, box.counts) for box in boxes if box.category == name] for name in ("car", "bus")}
    assert sorted(found["car"]) == [(0, False), (1, False), (2, True), (3, True)]
    assert found["bus"] == [(6, False)]
    assert [box.frame_index for box in nearest_boxes(boxes, 1) if box.category == "car"] == [2, 1]
    assert [box.frame_index for box in nearest_boxes(boxes, 2) if box.category == "car"] == [3, 2, 1, 0]
