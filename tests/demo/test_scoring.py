"""Scoring a mined demo: hand-made outputs whose scores are known."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from miner_resources.demo.scoring import Truth, detection_map50, score_output
from miner_resources.errors import InvalidData

BOX = {"label": "red circle", "x": 10.0, "y": 10.0, "w": 20.0, "h": 20.0}
FIRST, SECOND = "file-" + "a" * 12, "file-" + "b" * 12


def truth_file(folder: Path) -> Path:
    """Two videos of four frames: scene s1 (target, repeated in the second video), then s2 or s3 without a target."""

    def video(digest: str, other: str) -> dict[str, Any]:
        shots = [{"start": 0, "end": 2, "scene": "s1"}, {"start": 2, "end": 4, "scene": other}]
        return {"sha256": digest * 64, "shots": shots, "boxes": [[BOX], [BOX], [], []]}

    path = folder / "truth.json"
    videos = {"one.mp4": video("a", "s2"), "two.mp4": video("b", "s3")}
    path.write_text(json.dumps({"classes": ["red circle"], "videos": videos}))
    return path


def write_output(folder: Path, kept: dict[str, list[bool]], unique: list[tuple[str, int, bool]], coco: Any) -> None:
    for video_id, flags in kept.items():
        path = folder / "frames_filtered" / video_id / "scores.parquet"
        path.parent.mkdir(parents=True)
        rows = {"video_id": [video_id] * len(flags), "frame_index": range(len(flags)), "kept": flags}
        pl.DataFrame(rows).write_parquet(path)
    (folder / "dedup").mkdir()
    table = pl.DataFrame(unique, schema=["video_id", "frame_index", "kept"], orient="row")
    table.write_parquet(folder / "dedup" / "unique_frames.parquet")
    (folder / "detections").mkdir()
    (folder / "detections" / "annotations.json").write_text(json.dumps(coco))


def coco_of(boxes: list[tuple[list[float], float]]) -> dict[str, Any]:
    """One image (the first frame of the first video) with boxes and scores."""
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": bbox, "score": score, "area": 1.0, "iscrowd": 0}
        for number, (bbox, score) in enumerate(boxes, start=1)
    ]
    return {
        "videos": [{"id": 1, "name": FIRST}],
        "images": [{"id": 1, "video_id": 1, "frame_id": 0}],
        "categories": [{"id": 1, "name": "red circle"}],
        "annotations": annotations,
    }


EXACT = coco_of([([10, 10, 20, 20], 0.9)])


def test_a_perfect_output_scores_one(tmp_path: Path) -> None:
    kept = {FIRST: [True, True, False, False], SECOND: [True, True, False, False]}
    unique = [(FIRST, 0, True), (FIRST, 1, False), (SECOND, 0, False)]
    write_output(tmp_path, kept, unique, EXACT)
    scores = score_output(tmp_path, truth_file(tmp_path))
    assert (scores.filter_precision, scores.filter_recall) == (1, 1)
    assert (scores.duplicate_recall, scores.duplicate_shots) == (1, 1)
    assert (scores.distinct_kept, scores.distinct_scenes) == (1, 1)
    assert scores.detection_map50 == pytest.approx(1.0)
    assert scores.sampled_frames == 8


def test_each_mistake_costs_its_own_score(tmp_path: Path) -> None:
    kept = {FIRST: [True, False, True, False], SECOND: [True, True, False, False]}
    unique = [(FIRST, 0, True), (SECOND, 0, True)]
    write_output(tmp_path, kept, unique, coco_of([([60, 60, 20, 20], 0.9), ([10, 10, 20, 20], 0.8)]))
    scores = score_output(tmp_path, truth_file(tmp_path))
    assert scores.filter_precision == pytest.approx(3 / 4)
    assert scores.filter_recall == pytest.approx(3 / 4)
    assert scores.duplicate_recall == 0, "the repeat kept a frame"
    assert scores.distinct_kept == 1
    assert scores.detection_map50 == pytest.approx(0.5), "a better scored box is wrong"


def test_a_lost_scene_is_seen(tmp_path: Path) -> None:
    kept = {FIRST: [True, True, False, False]}
    write_output(tmp_path, kept, [(FIRST, 0, False)], EXACT)
    assert score_output(tmp_path, truth_file(tmp_path)).distinct_kept == 0


def test_an_output_of_other_videos_is_refused(tmp_path: Path) -> None:
    write_output(tmp_path, {}, [], EXACT)
    with pytest.raises(InvalidData, match="none of the demo's videos"):
        score_output(tmp_path, truth_file(tmp_path))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(tmp_path: Path, seed: int) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    boxes = [(rng.uniform([5, 5, 15, 15], [15, 15, 25, 25]).tolist(), float(rng.uniform())) for _ in range(9)]
    real = Truth(truth_file(tmp_path))
    video = next(iter(real.videos.values()))
    video["boxes"][0] = [BOX, {**BOX, "x": 14.0, "y": 12.0}, {**BOX, "x": 80.0}]
    coco = coco_of(boxes)
    truth = coco_of([([box["x"], box["y"], box["w"], box["h"]], 1.0) for box in video["boxes"][0]])
    for box in truth["annotations"]:
        box["area"] = box["bbox"][2] * box["bbox"][3]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(coco["annotations"]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert detection_map50(real, coco) == pytest.approx(evaluation.stats[1], abs=1e-6)
