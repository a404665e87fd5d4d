"""What is gained over the script that one would write first? CPU seconds, the same videos and the same models.

    python benchmarks/bench_naive.py

The script decodes every frame, saves the sampled ones with Pillow, reads them again for each model, loads the models
for each video, compares frames pair by pair, and does all of it again when a threshold changes. Ours is the whole
pipeline with Dagster, registry, checks, previews and dataset. Both run in this process, after the imports.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
from PIL import Image

from benchmarks.bench_models import SMALL, build
from benchmarks.harness import Result, clocked, finish
from miner_assets.commands.demo import DEDUP_THRESHOLD, SEED, demo_config
from miner_assets.instance import open_instance
from miner_assets.pipeline import Pipeline
from miner_assets.result import frame_counts
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.demo.videos import write_demo_videos
from miner_resources.models.adapter import Query
from miner_resources.models.loading import Settings, load_detector, load_embedder, load_text_image_model
from miner_resources.records import Floats, Rgb
from miner_resources.scores import sigmoid

EVERY_S: Final = 0.5
BOX_THRESHOLD: Final = 0.3


@dataclass(frozen=True)
class Found:
    """How many frames each step of a pipeline left."""

    sampled: int
    filtered: int
    unique: int

    def __str__(self) -> str:
        return f"{self.sampled} frames sampled, {self.filtered} filtered, {self.unique} unique"


def naive(videos: Sequence[Path], config: MinerConfig, folder: Path) -> Found:
    """The script: frames, scores, vectors, boxes; boxes go to a JSON file."""
    sampled = filtered = 0
    classes = list(config.classes)
    vectors: list[Floats] = []
    boxes: list[object] = []
    for video in videos:
        paths = save_frames(video, folder / video.stem)
        kept = [path for path, ok in zip(paths, passes(paths, classes, config), strict=True) if ok]
        embedded = embed(kept)
        unique = pair_by_pair(embedded)
        boxes += detect([kept[row] for row in unique], classes)
        vectors += [embedded[row] for row in unique]
        sampled, filtered = sampled + len(paths), filtered + len(kept)
    (folder / "annotations.json").write_text(json.dumps(boxes))
    return Found(sampled, filtered, len(pair_by_pair(vectors)))


def save_frames(video: Path, folder: Path) -> list[Path]:
    """Decode everything; save the first frame at or after each half second."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with av.open(video) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.to_image()
            if frame.time is not None and frame.time >= len(paths) * EVERY_S - 1e-9:
                paths.append(folder / f"{number:06d}.jpg")
                picture.save(paths[-1], quality=95)
    return paths


def read(paths: Sequence[Path]) -> list[Rgb]:
    """Pictures by Pillow."""
    return [np.array(Image.open(path).convert("RGB")) for path in paths]


def passes(paths: Sequence[Path], classes: Sequence[str], config: MinerConfig) -> list[bool]:
    """Which frames show a class."""
    model = load_text_image_model(config.filter.model, Settings(device="cpu"))
    features = model.image_features([model.prepare(rgb) for rgb in read(paths)])
    scores = sigmoid(model.logits(features, model.text_features(classes)))
    return (scores.max(axis=1) >= config.filter.threshold).tolist()


def embed(paths: Sequence[Path]) -> list[Floats]:
    """A vector for each frame."""
    model = load_embedder("demo", Settings(device="cpu"))
    return list(model.embed([model.prepare(rgb) for rgb in read(paths)])) if paths else []


def pair_by_pair(vectors: Sequence[Floats]) -> list[int]:
    """Rows that are like none before them."""
    kept: list[int] = []
    for row, vector in enumerate(vectors):
        if all(np.dot(vector, vectors[other]) < DEDUP_THRESHOLD for other in kept):
            kept.append(row)
    return kept


def detect(paths: Sequence[Path], classes: Sequence[str]) -> list[object]:
    """Boxes of the classes."""
    model = load_detector("demo", Settings(device="cpu"))
    pictures = read(paths)
    query = Query(tuple(classes), tuple(classes), BOX_THRESHOLD)
    sizes = [(rgb.shape[0], rgb.shape[1]) for rgb in pictures]
    found = model.detect([model.prepare(rgb) for rgb in pictures], sizes, query) if pictures else []
    return [
        {"file": str(path), "boxes": each.boxes.xyxy.tolist(), "labels": list(each.boxes.labels)}
        for path, each in zip(paths, found, strict=True)
    ]


def ours(config: MinerConfig) -> Found:
    """The pipeline, as `run-config` runs it."""
    workspace = Workspace.open(config)
    with open_instance(workspace.storage) as instance:
        run = Pipeline(workspace, instance).execute()
    assert run.ok, run.failures
    counts = frame_counts(workspace)
    return Found(int(str(counts["extracted"])), int(str(counts["filtered"])), int(str(counts["unique"])))


def compare(label: str, videos: Path, config: MinerConfig, again: float) -> list[Result]:
    """A first run, and a second one with another threshold of the filter."""
    files = sorted(videos.glob("*.mp4"))
    results: list[Result] = []
    stricter = config.model_copy(update={"filter": config.filter.model_copy(update={"threshold": again})})
    for run, current in (("first run", config), ("again with another threshold", stricter)):
        found: list[Found] = []
        script = clocked(lambda: found.append(naive(files, current, videos / "naive")))  # noqa: B023
        pipeline = clocked(lambda: found.append(ours(current)))  # noqa: B023
        by_script, by_us = found
        same = "the same frames by both" if by_script == by_us else f"NOT the same frames: {by_script} and {by_us}"
        detail = f"{script.cpu:.1f} s and {pipeline.cpu:.1f} s; {len(files)} videos, {by_us}: {same}"
        results.append(Result(f"{label}, {run}: CPU of the script ÷ ours", script.cpu / pipeline.cpu, detail=detail))
    return results


def main() -> None:
    """Print the table."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        many = write_demo_videos(root / "many", seed=SEED, videos=8).parent
        results += compare("demo models", many, demo_config(root / "output", many), 0.6)
        os.environ.pop("DAGSTER_HOME", None)
        few = write_demo_videos(root / "few", seed=SEED, videos=3).parent
        model = build(SMALL[0], root / "siglip")
        config = demo_config(root / "larger", few)
        # Weights are random: everything passes.
        larger = config.filter.model_copy(update={"model": str(model), "threshold": 0.0})
        results += compare("filter of 4 layers, 224 px", few, config.model_copy(update={"filter": larger}), 1e-9)
    finish(results)


if __name__ == "__main__":
    main()
