"""The demo videos: plans which shot comes when, films and encodes them, and writes down the truth.

A plan mixes shots with targets, shots with distractors only, empty shots, and planted near-duplicates: a shot replayed
later in its own video (`within`) or filmed again in a later video with another look (`across`). `write_demo_videos` is
the entry; `read_truth` reads `truth.json` back for `scoring`. The same seed gives the same bytes on one build of FFmpeg.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np

from miner_resources.demo.rendering import Box, Look, Rgb, SceneRenderer, film, first_look, other_look
from miner_resources.demo.world import CLASSES, HEIGHT, SCENE_SECONDS, WIDTH, Scene, SceneKind, look_alike, make_scene

TRUTH_FILE: Final = "truth.json"
DEFAULT_SEED: Final = 20
SHOT_SECONDS: Final = 2.6
"""Mean length of a shot in videos of the default length; shorter videos get shorter shots."""

_FIRST_SCENE_SEED: Final = 10**9
"""Demo scenes are drawn above this seed, training scenes below: no demo shot was ever trained on."""


class Copy(StrEnum):
    """Whether a shot is the first of its scene, or a near-duplicate and of which kind."""

    ORIGINAL = "original"
    WITHIN = "within"
    ACROSS = "across"


@dataclass(frozen=True, kw_only=True)
class ShotTruth:
    """One shot: frames `start` up to, not including, `end`. Copies of a scene share its key."""

    start: int
    end: int
    scene: str
    kind: SceneKind
    duplicate: Copy
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VideoTruth:
    """What one file shows. `boxes` has one tuple per frame, in display order."""

    sha256: str
    fps: int
    width: int
    height: int
    shots: tuple[ShotTruth, ...]
    boxes: tuple[tuple[Box, ...], ...]

    @property
    def video_id(self) -> str:
        """Key of the video in every output table, for a local file."""
        return f"file-{self.sha256[:12]}"


@dataclass(frozen=True)
class _Shot:
    scene: Scene
    look: Look
    duplicate: Copy


def write_demo_videos(
    folder: Path, *, seed: int = DEFAULT_SEED, videos: int = 12, seconds: float = 20.0, fps: int = 12
) -> dict[str, VideoTruth]:
    """Write `demo_00.mp4` … and `truth.json` into a folder, which is made if missing.

    Args:
        folder: where to write; files of the same names are replaced.
        seed: not negative; every other seed gives other scenes.
        videos: number of files.
        seconds: mean length; single videos are up to 20 % shorter or longer.
        fps: frame rate.

    Returns:
        The truth by file name, as `read_truth` gives it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([_FIRST_SCENE_SEED, seed])
    truth: dict[str, VideoTruth] = {}
    for number, shots in enumerate(_plan(rng, videos, seconds)):
        path = folder / f"demo_{number:02d}.mp4"
        frames = max(1, round(seconds * float(rng.uniform(0.8, 1.2)) * fps / len(shots)))
        lengths = [min(round(frames * float(rng.uniform(0.75, 1.25))), int(SCENE_SECONDS * fps)) for _ in shots]
        truth[path.name] = _write_video(path, list(zip(shots, lengths, strict=True)), fps, rng)
    text = json.dumps({name: asdict(video) for name, video in truth.items()}, separators=(",", ":"))
    (folder / TRUTH_FILE).write_text(text, encoding="utf-8")
    return truth


def read_truth(file: Path) -> dict[str, VideoTruth]:
    """Read what `write_demo_videos` wrote: the truth by file name."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: _video_from_json(video) for name, video in content.items()}


def _video_from_json(video: dict[str, object]) -> VideoTruth:
    raw = json.loads(json.dumps(video))
    shots = tuple(
        ShotTruth(
            start=shot["start"],
            end=shot["end"],
            scene=shot["scene"],
            kind=SceneKind(shot["kind"]),
            duplicate=Copy(shot["duplicate"]),
            classes=tuple(shot["classes"]),
        )
        for shot in raw["shots"]
    )
    boxes = tuple(tuple(Box(**box) for box in frame) for frame in raw["boxes"])
    head = {name: raw[name] for name in ("sha256", "fps", "width", "height")}
    return VideoTruth(**head, shots=shots, boxes=boxes)


def _plan(rng: np.random.Generator, videos: int, seconds: float) -> Iterator[list[_Shot]]:
    """The shots of each video in order. Fresh scenes never look alike; a copy across videos shows a target."""
    seen: list[Scene] = []
    sources: list[_Shot] = []
    count = max(4, round(seconds / SHOT_SECONDS))
    for number in range(videos):
        across = max(1, round(count / 4)) if sources else 0
        within = int(count >= 6 or not sources)
        blank = max(1, round(count * 0.3))
        targets = count - across - within - blank
        kinds = [SceneKind.TARGETS] * targets
        kinds += [(SceneKind.DISTRACTORS, SceneKind.EMPTY)[(number + i) % 2] for i in range(blank)]
        fresh = [_Shot(_draw_scene(rng, kind, seen), first_look(rng), Copy.ORIGINAL) for kind in kinds]
        picks = rng.choice(len(sources), size=min(across, len(sources)), replace=False) if sources else []
        copies = [_Shot(sources[i].scene, other_look(sources[i].look, rng), Copy.ACROSS) for i in picks]
        shots = [(*fresh, *copies)[i] for i in rng.permutation(len(fresh) + len(copies))]
        yield _replay(rng, shots) if within else shots
        sources += fresh[:targets]


def _replay(rng: np.random.Generator, shots: list[_Shot]) -> list[_Shot]:
    """The shots with one original target shot shown again at the end, or in front of the last shot."""
    originals = [
        i for i, shot in enumerate(shots[:-1]) if shot.duplicate is Copy.ORIGINAL and shot.scene.kind == "targets"
    ]
    if not originals:
        shots = shots[::-1]
        originals = [0]
    source = shots[int(rng.choice(originals))]
    again = _Shot(source.scene, source.look, Copy.WITHIN)
    return [*shots, again]


def _draw_scene(rng: np.random.Generator, kind: SceneKind, seen: list[Scene]) -> Scene:
    first_class = tuple(CLASSES)[len(seen) % len(CLASSES)]
    while True:
        scene = make_scene(_FIRST_SCENE_SEED + int(rng.integers(2**40)), kind, first_class=first_class)
        if not any(look_alike(scene, other) for other in seen):
            seen.append(scene)
            return scene


def _write_video(path: Path, shots: list[tuple[_Shot, int]], fps: int, rng: np.random.Generator) -> VideoTruth:
    boxes: list[tuple[Box, ...]] = []
    truths: list[ShotTruth] = []
    for shot, length in shots:
        truths.append(
            ShotTruth(
                start=truths[-1].end if truths else 0,
                end=(truths[-1].end if truths else 0) + length,
                scene=shot.scene.key,
                kind=shot.scene.kind,
                duplicate=shot.duplicate,
                classes=shot.scene.classes,
            )
        )
    _encode(path, _film_all(shots, fps, rng, boxes), fps=fps, crf=int(rng.integers(20, 29)))
    return VideoTruth(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        fps=fps,
        width=WIDTH,
        height=HEIGHT,
        shots=tuple(truths),
        boxes=tuple(boxes),
    )


def _film_all(
    shots: list[tuple[_Shot, int]], fps: int, rng: np.random.Generator, boxes: list[tuple[Box, ...]]
) -> Iterator[Rgb]:
    """Frames of all shots; the boxes of each frame are appended to `boxes` as it is made."""
    for shot, length in shots:
        renderer = SceneRenderer(shot.scene)
        for index in range(length):
            rgb, found = film(renderer, index / fps, shot.look, rng)
            boxes.append(tuple(_rounded(box) for box in found))
            yield rgb


def _rounded(box: Box) -> Box:
    return Box(label=box.label, x=round(box.x, 2), y=round(box.y, 2), w=round(box.w, 2), h=round(box.h, 2))


def _encode(path: Path, frames: Iterator[Rgb], *, fps: int, crf: int) -> None:
    """H.264 where this build of PyAV has it, else MPEG-4; one thread, so that the bytes do not depend on the machine."""
    import av

    codec, options = ("libx264", {"preset": "veryfast", "crf": str(crf)})
    if codec not in av.codecs_available:
        codec, options = "mpeg4", {"qscale": "4"}
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 2 * fps
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
