"""What do writing a frame and reading it for a model cost, beside Pillow, and how far are the pixels apart?

    python benchmarks/bench_images.py [--rounds 5]

CPU milliseconds per 1080p frame on one thread; frames are decoded from the H.264 clip of bench_decode.py. The methods
take turns, medians count. "Apart" compares a model's input with that of Pillow (full decode of the same JPEG file, then
its resize): mean, largest difference in levels, and the share of values that are more than one level off.
"""

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
import simplejpeg
import torch
from clips import FPS, clip
from PIL import Image

from benchmarks.harness import Result, finish, median_ratio
from miner_resources.images import decode_image, encode_image
from miner_resources.models.preprocess import Square
from miner_resources.records import Rgb
from miner_resources.video_decoder import upright_rgb

WRITE_GOAL, READ_GOAL, LEVELS_GOAL = 0.60, 0.25, 1
MODES = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
INPUTS = ((224, "bicubic"), (384, "bilinear"))
"""Of DINOv2 and of SigLIP 2 so400m."""


@dataclass(frozen=True)
class Sample:
    """One frame in its three forms."""

    decoded: av.VideoFrame
    rgb: Rgb
    jpeg: bytes


def samples() -> list[Sample]:
    """One frame every two seconds."""
    with av.open(str(clip("h264"))) as container:
        frames = [frame for number, frame in enumerate(container.decode(video=0)) if number % (2 * FPS) == FPS // 2]
    pictures = [upright_rgb(frame) for frame in frames]
    return [Sample(frame, rgb, encode_image(rgb)) for frame, rgb in zip(frames, pictures, strict=True)]


def pillow_write(sample: Sample) -> bytes:
    """What one writes with PyAV and Pillow."""
    buffer = io.BytesIO()
    sample.decoded.to_image().save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def milliseconds(method: Callable[[Sample], object], frames: Sequence[Sample]) -> float:
    """CPU time per frame."""
    began = time.process_time()
    for frame in frames:
        method(frame)
    return (time.process_time() - began) / len(frames) * 1000


def in_turns(
    methods: dict[str, Callable[[Sample], Any]], frames: Sequence[Sample], rounds: int
) -> dict[str, list[float]]:
    """CPU time per frame of each method in each round."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            times[name].append(milliseconds(method, frames))
    return times


def readers(size: int, mode: str) -> dict[str, Callable[[Sample], Rgb]]:
    """Ways to a model's input; the first is the baseline."""
    resize = Square(size=size, mode=mode, mean=(0.5,) * 3, std=(0.5,) * 3).resize

    def pillow(sample: Sample) -> Rgb:
        image = Image.open(io.BytesIO(sample.jpeg)).convert("RGB")
        return np.asarray(image.resize((size, size), MODES[mode]))

    def scaled(sample: Sample, factor: int) -> Rgb:
        height, width = (-(-side // factor) for side in sample.rgb.shape[:2])
        return resize(simplejpeg.decode_jpeg(sample.jpeg, "RGB", min_height=height, min_width=width, min_factor=factor))

    return {
        "Pillow": pillow,
        "ours: whole JPEG, torch": lambda sample: resize(decode_image(sample.jpeg)),
        "JPEG decoded at 1/2": lambda sample: scaled(sample, 2),
        "JPEG decoded at 1/4": lambda sample: scaled(sample, 4),
        "decoded frame, no JPEG": lambda sample: resize(sample.rgb),
    }


def written(frames: Sequence[Sample], rounds: int) -> Result:
    """What a frame costs to write."""
    writers = {"Pillow": pillow_write, "ours": lambda sample: encode_image(upright_rgb(sample.decoded))}
    times = in_turns(writers, frames, rounds)
    ours_ms, pillow_ms = (statistics.median(times[name]) for name in ("ours", "Pillow"))
    size = statistics.mean(len(frame.jpeg) for frame in frames) / 1000
    return Result(
        "write a frame: ours ÷ `to_image` + Pillow",
        median_ratio(times, "ours", "Pillow"),
        WRITE_GOAL,
        "at most",
        detail=f"{ours_ms:.1f} and {pillow_ms:.1f} ms; {len(frames)} frames, {size:.0f} kB each as JPEG",
    )


def read(frames: Sequence[Sample], rounds: int, size: int, mode: str) -> Iterator[Result]:
    """What a model's input costs in each way, and how far it is from Pillow's."""
    ways = readers(size, mode)
    times = in_turns(ways, frames, rounds)
    for name, way in list(ways.items())[1:]:
        ours = name.startswith("ours")
        apart = np.stack([np.abs(way(frame).astype(int) - ways["Pillow"](frame)) for frame in frames])
        what = f"{size} {mode}, {name}"
        spent, pillow_ms = statistics.median(times[name]), statistics.median(times["Pillow"])
        goal = READ_GOAL if ours else None
        detail = f"{spent:.1f} and {pillow_ms:.1f} ms"
        yield Result(f"{what} ÷ Pillow", median_ratio(times, name, "Pillow"), goal, "at most", detail=detail)
        detail = f"mean {apart.mean():.3f}; {(apart > 1).mean():.3%} beyond one"
        yield Result(
            f"{what}: levels from Pillow's", int(apart.max()), LEVELS_GOAL if ours else None, "at most", detail=detail
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    frames = samples()
    finish([written(frames, rounds), *(result for size, mode in INPUTS for result in read(frames, rounds, size, mode))])


if __name__ == "__main__":
    main()
