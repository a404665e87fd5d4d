"""Measure the bundled checkpoints through the product's own adapters, on scenes that no training has seen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from miner_resources.demo.world import HEIGHT, WIDTH
from miner_resources.models.adapter import Query
from miner_resources.models.boxes import iou
from miner_resources.models.catalogue import CHECKPOINTS
from miner_resources.models.loading import Settings, load_detector, load_embedder, load_text_image_model
from miner_resources.scores import sigmoid
from scripts.train_demo_models.frames import NAMES, Frames, load_frames

SETTINGS = Settings(device="cpu", precision="fp32")
Report = dict[str, Any]


def evaluate(work: Path, split: str = "test") -> Report:
    """Numbers of all three checkpoints on a split; `metrics.json` beside the checkpoints holds those of `test`."""
    pool = load_frames(work, split)
    report: Report = {"split": split, "frames": int(pool.labels.shape[0] * pool.labels.shape[1])}
    report |= {"siglip": _filter(pool), "dinov2": _embedder(pool), "owlv2": _detector(pool)}
    for name in ("siglip", "dinov2", "owlv2"):
        cost = work / f"{name}.json"
        if cost.exists():
            report[name]["training"] = json.loads(cost.read_text(encoding="utf-8"))
    return report


def write_metrics(work: Path) -> Path:
    """Measure and write `metrics.json`."""
    path = CHECKPOINTS / "metrics.json"
    path.write_text(json.dumps(evaluate(work), indent=1) + "\n", encoding="utf-8")
    return path


def _filter(pool: Frames) -> Report:
    model = load_text_image_model("demo", SETTINGS)
    features = model.image_features(pool.siglip.reshape(-1, *pool.siglip.shape[2:]))
    labels = pool.labels.reshape(len(features), -1)
    shown = np.stack([(labels == place).any(1) for place in range(len(NAMES))], 1)
    report: Report = {}
    for template in ("{}", "a photo of a {}", "This is a photo of {}."):
        scores = sigmoid(model.logits(features, model.text_features([template.format(name) for name in NAMES])))
        for threshold in (0.25, 0.5):
            kept = scores >= threshold
            report[f"{template} at {threshold}"] = {
                "precision": _share(kept & shown, kept),
                "recall": _share(kept & shown, shown),
            }
    unknown = model.text_features(["a photo of a forklift", "zebra"])
    report["highest score of unknown words"] = round(float(sigmoid(model.logits(features, unknown)).max()), 4)
    return report


def _embedder(pool: Frames) -> Report:
    model = load_embedder("demo", SETTINGS)
    vectors = model.embed(pool.dino.reshape(-1, *pool.dino.shape[2:])).reshape(len(pool.dino), 3, -1)
    shot = (vectors[:, 0] * vectors[:, 1]).sum(1)
    copy = (vectors[:, 0] * vectors[:, 2]).sum(1)
    others = vectors[:, 0] @ vectors[:, 2].T
    np.fill_diagonal(others, -1)
    return {
        f"at {threshold}": {
            "frames of one shot alike": _share(shot >= threshold, shot > -2),
            "copies in other videos alike": _share(copy >= threshold, copy > -2),
            "different scenes alike": _share(others >= threshold, others > -1),
        }
        for threshold in (0.85, 0.9)
    }


def _detector(pool: Frames) -> Report:
    model = load_detector("demo", SETTINGS)
    images = pool.owl.reshape(-1, *pool.owl.shape[2:])
    sizes = [(HEIGHT, WIDTH)] * len(images)
    found = model.detect(images, sizes, Query(tuple(NAMES), tuple(NAMES), 0.05))
    boxes, labels = pool.boxes.reshape(len(images), -1, 4), pool.labels.reshape(len(images), -1)
    precisions: list[float] = []
    sure = right = 0
    for place, name in enumerate(NAMES):
        hits: list[tuple[float, bool]] = []
        for row, detections in enumerate(found):
            real = boxes[row][labels[row] == place]
            mine = [at for at, label in enumerate(detections.boxes.labels) if label == name]
            scores: Any = detections.boxes.scores
            hits += _matched(detections.boxes.xyxy[mine], scores[mine], real)
        precisions.append(_average_precision(hits, int((labels == place).sum())))
        sure += sum(score >= 0.3 for score, _ in hits)
        right += sum(score >= 0.3 and hit for score, hit in hits)
    return {
        "map50": round(float(np.mean(precisions)), 4),
        "precision at 0.3": round(right / max(1, sure), 4),
        "recall at 0.3": round(right / int((labels >= 0).sum()), 4),
    }


def _matched(
    mine: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], real: npt.NDArray[np.float32]
) -> list[tuple[float, bool]]:
    """Score of each box, and whether it is the best on a real one (boxes come best first)."""
    free = list(range(len(real)))
    hits: list[tuple[float, bool]] = []
    for box, score in zip(mine, scores.tolist(), strict=True):
        overlaps = iou(box, real[free]) if free else np.zeros(0, np.float32)
        hit = bool(len(overlaps)) and float(overlaps.max()) >= 0.5
        hits.append((score, hit))
        if hit:
            free.pop(int(overlaps.argmax()))
    return hits


def _average_precision(hits: list[tuple[float, bool]], total: int) -> float:
    true = np.cumsum([hit for _, hit in sorted(hits, key=lambda row: -row[0])])
    precision = np.maximum.accumulate((true / np.arange(1, len(true) + 1))[::-1])[::-1]
    places = np.searchsorted(true / total, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return round(float(part.sum() / max(1, whole.sum())), 5)
