"""Do model stages keep the device busy? Model time as a share of wall time, over many short videos in one Dagster run.

    python benchmarks/bench_loader.py

The stages are the real ones; the model sleeps a known time for each batch, as the host does while a GPU computes.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dagster as dg
import numpy as np

from benchmarks.harness import Result, clocked, finish
from benchmarks.projects import add_videos, materialize
from miner_assets.detections import detections
from miner_assets.embeddings import embeddings
from miner_assets.filtered_frames import filtered_frames
from miner_assets.instance import open_instance
from miner_assets.workspace import SilentListener, Workspace
from miner_resources.config_files import load_config
from miner_resources.gpu_models import SLOT, ImageEmbedders, ObjectDetectors, TextImageModels
from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.preprocess import Square
from miner_resources.models.selection import no_boxes
from miner_resources.records import Floats, Rgb, Stage, StageRecord

GOAL: Final = 0.95
VIDEOS: Final = 50
FRAMES: Final = 24
SIZE: Final = (640, 360)
BATCH: Final = 32
STEP_S: Final = 0.4
DIMENSION: Final = 64


class Sleeper:
    """An adapter of every kind whose forward pass takes `STEP_S`."""

    batch_size = BATCH
    identity = "sleeper"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.began = self.ended = 0.0
        self.busy_s = 0.0
        self._shape = Square(size=224, mode="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
        self._random = np.random.default_rng(0)

    def prepare(self, rgb: Rgb) -> Rgb:
        """As the usual models want it."""
        return self._shape.resize(rgb)

    def release(self) -> None:
        """Nothing is held."""

    def text_features(self, texts: Sequence[str]) -> Floats:
        """All alike."""
        return np.full((len(texts), DIMENSION), DIMENSION**-0.5, np.float32)

    def image_features(self, images: Batch) -> Floats:
        """Like all texts."""
        self._compute(len(images))
        return np.full((len(images), DIMENSION), DIMENSION**-0.5, np.float32)

    def logits(self, image_features: Floats, text_features: Floats) -> Floats:
        """Everything shows everything."""
        return (5 * image_features @ text_features.T).astype(np.float32)

    def embed(self, images: Batch) -> Floats:
        """No two alike."""
        self._compute(len(images))
        vectors = self._random.standard_normal((len(images), DIMENSION)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Nothing is found."""
        self._compute(len(images))
        return [no_boxes() for _ in sizes]

    def _compute(self, count: int) -> None:
        start = time.perf_counter()
        self.began = self.began or start
        time.sleep(STEP_S)
        self.batches.append(count)
        self.ended = time.perf_counter()
        self.busy_s += self.ended - start


class SleepingTextImageModels(TextImageModels):
    """Gives a sleeper."""

    def get(self, name: str, batch_size: int | str = "auto") -> Sleeper:
        """The one that the process holds."""
        return SLOT.get((name, "filter"), Sleeper)


class SleepingEmbedders(ImageEmbedders):
    """Gives a sleeper."""

    def get(self, name: str, batch_size: int | str = "auto", resize: str = "squash") -> Sleeper:
        """The one that the process holds."""
        return SLOT.get((name, "embed"), Sleeper)


class SleepingDetectors(ObjectDetectors):
    """Gives a sleeper."""

    def get(self, name: str, batch_size: int | str = "auto") -> Sleeper:
        """The one that the process holds."""
        return SLOT.get((name, "detect"), Sleeper)


class Watch(SilentListener):
    """Notes when a stage begins and when its last video is done."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def started(self, stage: Stage, videos: int) -> None:
        """Note the time."""
        self.began = time.perf_counter()

    def finished_video(self, record: StageRecord, *, reused: bool) -> None:
        """Note the time."""
        self.ended = time.perf_counter()


def measure(folder: Path) -> list[Result]:
    """Each model stage over the same videos."""
    overrides = [f"output_dir={folder}", "classes=[a,b]", "filter.model=demo", "dedup.model=demo"]
    config = load_config((), [*overrides, "detection.detector=demo", "detection.presence_gate=null"])
    watch = Watch()
    workspace = Workspace.open(config, watch)
    names = add_videos(workspace, VIDEOS, frames=FRAMES, size=SIZE)
    definitions = dg.Definitions(
        assets=[filtered_frames, embeddings, detections],
        resources={
            "workspace": workspace,
            "text_image_model": SleepingTextImageModels(),
            "image_embedder": SleepingEmbedders(),
            "object_detector": SleepingDetectors(),
        },
        executor=dg.in_process_executor,
    )
    results: list[Result] = []
    with open_instance(workspace.storage) as instance:
        for asset in ("filtered_frames", "embeddings", "detections"):
            made: list[Sleeper] = []
            loads = SLOT.loads
            Sleeper.release = lambda self, made=made: made.append(self)  # pyright: ignore
            took = clocked(lambda asset=asset: materialize(definitions, instance, asset, names))
            (model,) = made
            frames, batches = sum(model.batches), model.batches
            detail = (
                f"{frames} frames in {len(batches)} batches of {STEP_S} s; idle {model.began - watch.began:.2f} s "
                f"before the first, {watch.ended - model.ended:.2f} s after the last; "
                f"stage {watch.ended - watch.began:.1f} s, CPU {took.cpu:.1f} s, Dagster's run {took.wall:.1f} s"
            )
            share = model.busy_s / (watch.ended - watch.began)
            results.append(Result(f"{asset}: model time ÷ wall time", share, GOAL, detail=detail))
            results.append(Result(f"{asset}: models loaded", SLOT.loads - loads, 1, "at most"))
    return results


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder) / "output")
    finish(results)


if __name__ == "__main__":
    main()
