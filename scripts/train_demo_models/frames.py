"""Frames to train on: scenes of the demo world, filmed as the demo's videos are, resized for each model.

Each scene gives three frames: two of one shot, and one of a copy of the shot as another video would show it. Pools are
rendered once and kept as `.npz` files, because rendering costs more than a training step.
"""

from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from miner_resources.demo.rendering import Box, SceneRenderer, compress, film, first_look, other_look
from miner_resources.demo.world import CLASSES, SCENE_SECONDS, SceneKind, make_scene
from miner_resources.models.preprocess import PAD, Square
from miner_resources.records import Rgb

NAMES: Final = list(CLASSES)
MAX_OBJECTS: Final = 4
SPLITS: Final = {"train": (0, 7000), "val": (5_000_000, 600), "test": (8_000_000, 600)}
"""Split → first scene seed and number of scenes; the demo's own videos use seeds from a billion on."""

WORTH_WORKERS: Final = 300

HALF: Final = (0.5, 0.5, 0.5)
SIGLIP_INPUT: Final = Square(size=64, mode="bicubic", mean=HALF, std=HALF)
DINO_INPUT: Final = Square(size=48, mode="bicubic", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
OWL_INPUT: Final = Square(
    size=96,
    resize_to=PAD,
    mode="bilinear",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


@dataclass(frozen=True)
class Frames:
    """A pool of N scenes.

    Attributes:
        siglip: (N, 3, 64, 64, 3) uint8.
        dino: (N, 3, 48, 48, 3) uint8.
        owl: (N, 3, 96, 96, 3) uint8, padded to a square.
        boxes: (N, 3, MAX_OBJECTS, 4) float32, x1 y1 x2 y2 in pixels of the original.
        labels: (N, 3, MAX_OBJECTS) int64, places in `NAMES`, -1 for none.
    """

    siglip: npt.NDArray[np.uint8]
    dino: npt.NDArray[np.uint8]
    owl: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def load_frames(work: Path, split: str) -> Frames:
    """The pool of a split, rendered on first use."""
    path = work / f"frames_{split}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        first, count = SPLITS[split]
        seeds = range(first, first + count)
        if count < WORTH_WORKERS:
            scenes = [render_scene(seed) for seed in seeds]
        else:
            # Spawned: a fork of a process whose libraries run threads may wait for a lock for ever.
            with get_context("spawn").Pool(2) as workers:
                scenes = list(workers.imap(render_scene, seeds, chunksize=32))
        columns = [np.stack(column) for column in zip(*scenes, strict=True)]
        np.savez(path, **dict(zip(Frames.__dataclass_fields__, columns, strict=True)))
    with np.load(path) as stored:
        return Frames(**{name: stored[name] for name in Frames.__dataclass_fields__})


def render_scene(seed: int) -> tuple[npt.NDArray[np.generic], ...]:
    """The three frames of one scene, in the order of the fields of `Frames`."""
    rng = np.random.default_rng(seed + 77_000_000)
    kinds = (SceneKind.TARGETS, SceneKind.DISTRACTORS, SceneKind.EMPTY)
    kind = kinds[int(rng.choice(3, p=[0.62, 0.22, 0.16]))]
    first_class = NAMES[seed % len(NAMES)] if kind is SceneKind.TARGETS else None
    renderer = SceneRenderer(make_scene(seed, kind, first_class=first_class))
    look = first_look(rng)
    copy = other_look(look, rng)
    early, late = sorted(rng.uniform(0, SCENE_SECONDS, 2))
    shown = [(early, look), (late, look), (rng.uniform(0, SCENE_SECONDS), copy)]
    frames: list[tuple[npt.NDArray[np.generic], ...]] = []
    for second, how in shown:
        rgb, boxes = film(renderer, float(second), how, rng)
        stored = compress(rgb, int(rng.integers(30, 95))) if rng.random() < 0.8 else rgb
        frames.append((*_inputs(stored), *_truth(boxes)))
    return tuple(np.stack(column) for column in zip(*frames, strict=True))


def _inputs(rgb: Rgb) -> tuple[Rgb, Rgb, Rgb]:
    return SIGLIP_INPUT.resize(rgb), DINO_INPUT.resize(rgb), OWL_INPUT.resize(rgb)


def _truth(boxes: list[Box]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    corners = np.zeros((MAX_OBJECTS, 4), np.float32)
    labels = np.full(MAX_OBJECTS, -1, np.int64)
    for place, box in enumerate(boxes[:MAX_OBJECTS]):
        corners[place] = (box.x, box.y, box.x + box.w, box.y + box.h)
        labels[place] = NAMES.index(box.label)
    return corners, labels
