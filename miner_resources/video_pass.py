"""All frames of a video in one pass, for a choice that depends on what they show.

Most frames are only glanced at (`PassingFrame.small`); those that are chosen become pictures from the same decode,
pixel for pixel what `video_reader.decode_frames` gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from miner_resources.video_index import PacketIndex
from miner_resources.video_reader import DecodedFrame, DecodeReport, check_damage, decode_in_places, decoded_frame


@dataclass(frozen=True)
class PassingFrame:
    """One frame of a decode of everything, not yet converted: most are only glanced at.

    Attributes:
        frame_index: its place in display order, from 0.
        time: exact seconds on the video's own clock.
    """

    frame_index: int
    time: Fraction
    _index: PacketIndex
    _frame: VideoFrame

    def small(self, width: int = 64, height: int = 36) -> npt.NDArray[np.uint8]:
        """Luma and chroma (3, height, width), averaged over areas, as stored: not turned upright."""
        small = self._frame.reformat(width, height, "yuv444p", interpolation="AREA", threads=1)
        return np.asarray(small.to_ndarray(), dtype=np.uint8)

    def decoded(self) -> DecodedFrame:
        """The frame as `decode_frames` gives it, pixel for pixel."""
        return decoded_frame(self._index, self.frame_index, self._frame)


def decode_every_frame(path: Path, index: PacketIndex, report: DecodeReport | None = None) -> Iterator[PassingFrame]:
    """Decode all frames in ascending order, for a choice that depends on what they show.

    Args:
        path: the video.
        index: what `read_index` said about it.
        report: filled in at the end.

    Raises:
        CorruptMedia: the file is truncated, or at the end: too many frames were damaged (see `check_damage`).
    """
    check_damage(path, index)
    report = report or DecodeReport()
    report.wanted = len(index)
    missing = set(range(len(index)))
    last = -1
    for place, frame in decode_in_places(path, index):
        if last < place < len(index):
            last = place
            missing.discard(place)
            yield PassingFrame(place, index.seconds(place), index, frame)
    report.undecodable = sorted(missing)
    check_damage(path, index, report)
