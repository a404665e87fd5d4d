"""Where tests get their media: files of a shared folder, or small videos made on the spot.

The shared folder (real and broken videos, see its MANIFEST.md) is named by `VIDEO_MINER_TEST_DATA`, else it is
`../shared/data` beside the repository. It is not part of the repository: tests that need it are skipped without it.
"""

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.codec.codec
import numpy as np
import pytest

from miner_resources.records import Rgb

REPOSITORY = Path(__file__).resolve().parents[1]


def _folder(sub: str) -> Path:
    root = os.environ.get("VIDEO_MINER_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
    return Path(root) / sub


def _absence(sub: str) -> str:
    return f"no shared test data at {_folder(sub)}: set VIDEO_MINER_TEST_DATA to the folder that holds '{sub}'"


def shared_data(sub: str) -> Path:
    """A file or folder of the shared test data; skips the test if it is absent."""
    path = _folder(sub)
    if not path.exists():
        pytest.skip(_absence(sub))
    return path


def shared_files(sub: str, suffixes: Sequence[str]) -> list[object]:
    """One test parameter per file of a shared folder, named after it; one skipped parameter if there is no folder."""
    files = sorted(path for path in _folder(sub).glob("*") if path.suffix in suffixes)
    if not files:
        return [pytest.param(Path(), marks=pytest.mark.skip(reason=_absence(sub)), id="no-shared-data")]
    return [pytest.param(path, id=path.name) for path in files]


def picture(number: int, width: int = 96, height: int = 64) -> Rgb:
    """A picture that differs from that of every other number, with a moving block and some noise."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 2 + number * 5, y * 3 + number * 3, x + y + number * 11], axis=-1).astype(np.uint8)
    left = number * 3 % (width - 20)
    picture[height // 4 : height // 2, left : left + 20] = number * 37 % 256
    noise = np.random.default_rng(number).integers(0, 255, (height // 4, width // 4, 3))
    picture[-(height // 4) :, : width // 4] = noise
    return picture


@contextmanager
def _scheduled_as_before() -> Generator[None]:
    """SVT-AV1, run by root, gives the calling thread real-time priority and leaves it there.

    Every thread that starts later inherits it, and two of PyTorch's that wait busily then stop a machine of two cores.
    """
    before = (os.sched_getscheduler(0), os.sched_getparam(0)) if sys.platform == "linux" else None
    try:
        yield
    finally:
        if before:
            os.sched_setscheduler(0, *before)


@dataclass(frozen=True)
class Recipe:
    """How to make a small video.

    Attributes:
        name: file name; its extension chooses the container.
        codec: libav encoder.
        options: of the encoder.
        frames: how many.
        gop: frames from keyframe to keyframe, None: the encoder's choice.
        pts: times in units of `time_base`, None: one unit apart.
        pixels: pixel format.
        rotation: degrees counterclockwise, mirrored, flipped upside down: the display matrix; None: no matrix.
        muxer: options of the container.
    """

    name: str
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    frames: int = 40
    gop: int | None = 12
    pts: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 25)
    pixels: str = "yuv420p"
    rotation: tuple[int, bool, bool] | None = None
    muxer: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Encode the video; skips the test if this build of PyAV lacks the encoder."""
        try:
            av.codec.codec.Codec(self.codec, "w")
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this PyAV has no encoder {self.codec}")
        path = folder / self.name
        with _scheduled_as_before(), av.open(str(path), "w", options=dict(self.muxer)) as container:
            stream = container.add_stream(self.codec, rate=25, options=dict(self.options))
            first = picture(0)
            stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], self.pixels
            stream.codec_context.time_base = self.time_base
            stream.codec_context.thread_count = 1
            if self.gop:
                stream.gop_size = self.gop
            if self.rotation:
                degrees, mirrored, flipped = self.rotation
                stream.set_display_rotation(degrees, hflip=mirrored, vflip=flipped)
            for number, pts in enumerate(self.pts or range(self.frames)):
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format=self.pixels)
                frame.pts, frame.time_base = pts, self.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path
