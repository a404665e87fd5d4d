"""Small real videos for tests: written by PyAV, every frame different and known."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from miner_resources.records import Rgb


def picture(number: int, width: int = 64, height: int = 48) -> Rgb:
    """A smooth picture that changes with `number`."""
    y, x = np.mgrid[0:height, 0:width]
    shift = number * 7
    channels = [(x * 3 + shift) % 256, (y * 4 + shift * 2) % 256, (x + y + shift * 3) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def write_video(path: Path, *, frames: int = 30, fps: int = 10, width: int = 64, height: int = 48) -> Path:
    """An H.264 (else MPEG-4) video; the same arguments give the same bytes."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        options = {"x264-params": "mbtree=0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=Fraction(fps), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
