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
from collections.abc import Callable, Sequence
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


def ratio(times: dict[str, list[float]], name: str, baseline: str) -> float:
    """Median of the ratios within a round."""
    return statistics.median(mine / other for mine, other in zip(times[name], times[baseline], strict=True))


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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    frames = samples()
    print(f"{len(frames)} frames, {statistics.mean(len(frame.jpeg) for frame in frames) / 1000:.0f} kB each as JPEG")
    writers = {"Pillow": pillow_write, "ours": lambda sample: encode_image(upright_rgb(sample.decoded))}
    times = in_turns(writers, frames, rounds)
    written = ratio(times, "ours", "Pillow")
    print("| write a frame | ms | ratio |\n| --- | --- | --- |")
    print(f"| to_image + Pillow | {statistics.median(times['Pillow']):.1f} | 1 |")
    passed = "pass" if written <= WRITE_GOAL else "FAIL"
    print(f"| ours | {statistics.median(times['ours']):.1f} | {written:.2f} (≤ {WRITE_GOAL:.2f} {passed}) |")
    print("\n| model input | way | ms | ratio | apart: mean, largest, beyond one level | goals |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size, mode in INPUTS:
        ways = readers(size, mode)
        times = in_turns(ways, frames, rounds)
        for name, way in ways.items():
            apart = np.stack([np.abs(way(frame).astype(int) - ways["Pillow"](frame)) for frame in frames])
            cost, largest = ratio(times, name, "Pillow"), int(apart.max())
            goals = f"{'pass' if cost <= READ_GOAL else 'FAIL'}, {'pass' if largest <= LEVELS_GOAL else 'FAIL'}"
            print(
                f"| {size} {mode} | {name} | {statistics.median(times[name]):.1f} | {cost:.2f} "
                f"| {apart.mean():.3f}, {largest}, {(apart > 1).mean():.3%} | {goals} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
