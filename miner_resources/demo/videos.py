"""The demo's videos: scenes strung together with cuts, with repeats inside and across videos, and their truth.

`write_demo_videos` writes MP4 files and `truth.json`, which says for every frame which scene it shows and where the
objects are. The same arguments give the same bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np

from miner_resources.demo.rendering import Box, Look, Rgb, SceneRenderer, film, first_look, other_look
from miner_resources.demo.world import CLASSES, HEIGHT, WIDTH, Scene, SceneKind, look_alike, make_scene
from miner_resources.video_source import content_hash

TRUTH: Final = "truth.json"
SCENE_SEEDS: Final = 1_000_000_000
"""Far from the seeds of the scenes that the demo models were trained on."""
X264: Final = {"crf": "21", "preset": "veryfast", "x264-params": "mbtree=0"}
"""x264's macroblock tree gives other bytes in about one shot of ten, even on one thread."""
FPS: Final = 12
SHOT_FRAMES: Final = (26, 40)
"""Shortest and longest shot; the longest is shorter than `world.SCENE_SECONDS`."""
GROUP: Final = 3
"""Only so many neighbouring videos repeat each other, so that the dataset's splits have something to share out."""
NEW_TARGETS: Final = 4
"""New scenes with targets in each video; besides one with distractors only and one empty."""
REPEATS_ACROSS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot of a plan.

    Attributes:
        repeat: "original", "within" (replayed in its video) or "across" (shown in another video, filmed differently).
    """

    scene: Scene
    look: Look
    frames: int
    repeat: str


def write_demo_videos(folder: Path, *, seed: int = 7, videos: int = 12, targets: int = NEW_TARGETS) -> Path:
    """Write the videos and their truth.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        seed: other seeds give other scenes.
        videos: how many.
        targets: new scenes with targets in each.

    Returns:
        the path of `truth.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth: dict[str, object] = {}
    used: list[Scene] = []
    group: list[Shot] = []
    for number in range(videos):
        group = [] if number % GROUP == 0 else group
        shots = _plan(rng, SCENE_SEEDS + seed * 1_000_003 + number * 101, used=used, earlier=group, targets=targets)
        path = folder / f"demo_{number:02d}.mp4"
        truth[path.name] = _write(path, shots, rng)
        new = [shot for shot in shots if shot.repeat == "original"]
        used += [shot.scene for shot in new]
        group += [shot for shot in new if shot.scene.kind is SceneKind.TARGETS]
    record = {"seed": seed, "classes": list(CLASSES), "videos": truth}
    (folder / TRUTH).write_text(json.dumps(record), encoding="utf-8")
    return folder / TRUTH


def _plan(rng: np.random.Generator, seed: int, *, used: list[Scene], earlier: list[Shot], targets: int) -> list[Shot]:
    """The shots of one video: new scenes unlike those `used`, and repeats of `earlier` ones."""
    kinds = [SceneKind.TARGETS] * targets + [SceneKind.DISTRACTORS, SceneKind.EMPTY]
    shots: list[Shot] = []
    for place, kind in enumerate(kinds):
        others = [*used, *(shot.scene for shot in shots)]
        scene = _new_scene(seed + place * 7, kind, others, first_class=list(CLASSES)[(seed + place) % len(CLASSES)])
        shots.append(Shot(scene=scene, look=first_look(rng), frames=_length(rng), repeat="original"))
    for pick in rng.choice(len(earlier), size=min(REPEATS_ACROSS, len(earlier)), replace=False):
        source = earlier[int(pick)]
        look = other_look(source.look, rng)
        shots.append(Shot(scene=source.scene, look=look, frames=_length(rng), repeat="across"))
    order = [shots[int(place)] for place in rng.permutation(len(shots))]
    first = next(shot for shot in order if shot.scene.kind is SceneKind.TARGETS)
    return [*order, Shot(scene=first.scene, look=first.look, frames=_length(rng), repeat="within")]


def _new_scene(seed: int, kind: SceneKind, used: list[Scene], first_class: str) -> Scene:
    """A scene that cannot be taken for one of those already used."""
    for attempt in range(200):
        scene = make_scene(
            seed + attempt * 15_485_863, kind, first_class=first_class if kind is SceneKind.TARGETS else None
        )
        if not any(look_alike(scene, other) for other in used):
            return scene
    raise ValueError(f"no scene unlike the {len(used)} others was found: ask for fewer videos")


def _length(rng: np.random.Generator) -> int:
    return int(rng.integers(SHOT_FRAMES[0], SHOT_FRAMES[1] + 1))


def _frames(shots: list[Shot], rng: np.random.Generator) -> Iterator[tuple[Rgb, list[Box]]]:
    for shot in shots:
        renderer = SceneRenderer(shot.scene)
        for number in range(shot.frames):
            yield film(renderer, number / FPS, shot.look, rng)


def _write(path: Path, shots: list[Shot], rng: np.random.Generator) -> dict[str, object]:
    """Encode one video on one thread, so that the bytes are the same everywhere with the same libraries."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = X264 if codec == "libx264" else {"qscale": "3"}
    boxes: list[list[dict[str, object]]] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1
        for rgb, found in _frames(shots, rng):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
            boxes.append([asdict(box) for box in found])
        container.mux(stream.encode())
    starts = np.cumsum([0, *(shot.frames for shot in shots)]).tolist()
    return {
        "sha256": content_hash(path),
        "fps": FPS,
        "width": WIDTH,
        "height": HEIGHT,
        "shots": [
            {
                "start": start,
                "end": start + shot.frames,
                "scene": shot.scene.key,
                "repeat": shot.repeat,
                "classes": list(shot.scene.classes),
            }
            for start, shot in zip(starts, shots, strict=False)
        ],
        "boxes": boxes,
    }
