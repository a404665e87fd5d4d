"""How well a mined demo matches its truth: reads the files that the contract promises, nothing else.

Reference for average precision: COCO's 101-point interpolation, https://cocodataset.org/#detection-eval.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from miner_resources.errors import InvalidData

IOU: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class DemoScores:
    """Scores of a mined demo.

    Attributes:
        filter_precision: share of kept frames that show a target, over all sampled frames.
        filter_recall: share of frames with a target that were kept.
        duplicate_recall: of the shots that repeat a scene of an earlier video and passed the filter, the share of which
            no frame is left. Earlier means earlier in the canonical order of `unique_frames.parquet`.
        distinct_kept: of the different scenes with targets that were sampled, the share that still has a frame.
        detection_map50: mean over classes of AP at IoU 0.5, on the images of the dataset.
    """

    filter_precision: float
    filter_recall: float
    duplicate_recall: float
    distinct_kept: float
    detection_map50: float
    sampled_frames: int
    duplicate_shots: int
    distinct_scenes: int
    images: int
    annotations: int


class Truth:
    """What `truth.json` says, by video id."""

    def __init__(self, path: Path) -> None:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.classes: list[str] = record["classes"]
        self.videos: dict[str, dict[str, Any]] = {
            f"file-{video['sha256'][:12]}": video for video in record["videos"].values()
        }

    def has_target(self, video_id: str, frame_index: int) -> bool:
        """Whether the frame shows an object of a class."""
        return bool(self.videos[video_id]["boxes"][frame_index])

    def scene(self, video_id: str, frame_index: int) -> str:
        """The scene that the frame shows; equal for all copies."""
        shots = self.videos[video_id]["shots"]
        return next(str(shot["scene"]) for shot in shots if shot["start"] <= frame_index < shot["end"])

    def boxes(self, video_id: str, frame_index: int) -> list[dict[str, Any]]:
        """Targets in the frame: label, x, y, w, h."""
        return self.videos[video_id]["boxes"][frame_index]


def score_output(output_dir: Path, truth_file: Path) -> DemoScores:
    """Compare an output folder with the truth.

    Raises:
        InvalidData: none of the demo's videos was mined.
    """
    truth = Truth(truth_file)
    files = [output_dir / "frames_filtered" / name / "scores.parquet" for name in truth.videos]
    tables = [pl.read_parquet(path, columns=["video_id", "frame_index", "kept"]) for path in files if path.exists()]
    if not tables:
        raise InvalidData(f"{output_dir} holds none of the demo's videos", remedy="run `video-miner demo` again")
    scores = pl.concat(tables)
    unique = pl.read_parquet(output_dir / "dedup" / "unique_frames.parquet")
    unique = unique.filter(pl.col("video_id").is_in(list(truth.videos)))
    coco = json.loads((output_dir / "detections" / "annotations.json").read_text(encoding="utf-8"))
    shown = [truth.has_target(*key) for key in scores.select("video_id", "frame_index").iter_rows()]
    positive, kept = np.array(shown, np.bool_), scores["kept"].to_numpy()
    repeats, repeats_found = _repeats(truth, unique)
    scenes = {truth.scene(*key) for key in _keys(scores) if truth.has_target(*key)}
    left = {truth.scene(*key) for key in _keys(unique.filter("kept"))}
    return DemoScores(
        filter_precision=_share(int((positive & kept).sum()), int(kept.sum())),
        filter_recall=_share(int((positive & kept).sum()), int(positive.sum())),
        duplicate_recall=_share(repeats_found, repeats),
        distinct_kept=_share(len(scenes & left), len(scenes)),
        detection_map50=detection_map50(truth, coco),
        sampled_frames=len(scores),
        duplicate_shots=repeats,
        distinct_scenes=len(scenes),
        images=len(coco["images"]),
        annotations=len(coco["annotations"]),
    )


def detection_map50(truth: Truth, coco: Mapping[str, Any]) -> float:
    """Mean over classes of AP at IoU 0.5, on the images of the COCO file."""
    names = {video["id"]: video["name"] for video in coco["videos"]}
    images = {image["id"]: (names[image["video_id"]], image["frame_id"]) for image in coco["images"]}
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    precisions: list[float] = []
    for label in truth.classes:
        real = {
            image_id: [_xywh(box) for box in truth.boxes(*key) if box["label"] == label]
            for image_id, key in images.items()
        }
        found = [box for box in coco["annotations"] if classes[box["category_id"]] == label]
        if any(real.values()):
            precisions.append(_average_precision(found, real))
    return float(np.mean(precisions)) if precisions else 0.0


def _repeats(truth: Truth, unique: pl.DataFrame) -> tuple[int, int]:
    """Scenes seen again in a later video, and how many of those have no frame left there."""
    first_video: dict[str, str] = {}
    kept_in: dict[tuple[str, str], int] = {}
    for video_id, frame_index, kept in unique.select("video_id", "frame_index", "kept").iter_rows():
        scene = truth.scene(video_id, frame_index)
        if first_video.setdefault(scene, video_id) != video_id:
            kept_in[scene, video_id] = kept_in.get((scene, video_id), 0) + int(kept)
    return len(kept_in), sum(count == 0 for count in kept_in.values())


def _average_precision(found: Iterable[Mapping[str, Any]], real: Mapping[int, list[list[float]]]) -> float:
    """COCO's: best first, each takes the free real box it fits best, precision made falling, 101 recall points."""
    free = {image_id: list(boxes) for image_id, boxes in real.items()}
    hits: list[bool] = []
    for box in sorted(found, key=lambda box: -box["score"]):
        left = free[box["image_id"]]
        overlaps = [_iou(box["bbox"], other) for other in left]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= IOU
        hits.append(hit)
        if hit:
            left.pop(best)
    if not hits:
        return 0.0
    true = np.cumsum(hits)
    recall = true / sum(len(boxes) for boxes in real.values())
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    padded: npt.NDArray[np.float64] = np.append(precision, 0.0)
    return float(padded[np.minimum(places, len(precision))].mean())


def _iou(one: list[float], other: list[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _xywh(box: Mapping[str, Any]) -> list[float]:
    return [box["x"], box["y"], box["w"], box["h"]]


def _keys(table: pl.DataFrame) -> list[tuple[str, int]]:
    return list(table.select("video_id", "frame_index").iter_rows())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
