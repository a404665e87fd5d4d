"""One stream's decoder: packets in, pictures out, going on after damage.

`PacketDecoder` hides how libav reports damage: after an error it is silent until the next keyframe, because what lies
between would be smeared. `upright_rgb` makes of a decoded frame the picture a player would show. Times and frame
numbers are the business of `video_index` and `video_reader`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from miner_resources.av1_packets import PacketTrimmer
from miner_resources.deadline import check_time
from miner_resources.errors import CorruptMedia
from miner_resources.records import Rgb
from miner_resources.video_file import CONVERT, DOWNLOAD_AGAIN, codec_name, open_video

_SAFE_TO_THIN: Final = frozenset({"h264"})
"""Codecs in which a picture marked as non-reference is used by no other picture, and whose decoder can skip it.

HEVC is left out: its "sub-layer non-reference" pictures may serve higher temporal layers.
"""


class PacketDecoder:
    """Decodes one stream, one thread.

    Attributes:
        lost: number of packets that damage has cost so far. What precedes the first picture does not count: files
            may start between keyframes.
    """

    def __init__(self, stream: VideoStream) -> None:
        self.lost = 0
        self._has_begun = False
        self._codec = stream.codec_context
        self._can_thin = codec_name(stream) in _SAFE_TO_THIN
        self._trimmer = PacketTrimmer() if codec_name(stream) == "av1" else None
        self._waits_for_keyframe = False

    def send(self, packet: "Packet[VideoStream]", *, needed: bool = True) -> list[VideoFrame]:
        """Decode one packet and return the pictures that are complete now, in display order.

        Args:
            packet: the next packet in file order.
            needed: False if this packet's own picture is not wanted: it is then decoded only if others refer to it.
        """
        if self._waits_for_keyframe and not packet.is_keyframe:
            self.lost += self._has_begun
            return []
        self._waits_for_keyframe = False
        if self._trimmer:
            trimmed = _with_data(packet, self._trimmer.trim(bytes(packet)))
            packet = packet if needed else trimmed
            if not packet.size:
                return []
        if self._can_thin:
            self._codec.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            pictures = self._codec.decode(packet)
        except av.error.FFmpegError:
            pictures = self.drain()
            self.lost += self._has_begun or bool(pictures)
            self._waits_for_keyframe = True
        self._has_begun = self._has_begun or bool(pictures)
        return pictures

    def drain(self) -> list[VideoFrame]:
        """Return the pictures that are still inside and make ready for a packet from elsewhere in the file."""
        try:
            return self._codec.decode(None)
        except av.error.FFmpegError:
            return []
        finally:
            self._codec.flush_buffers()


def _with_data(packet: "Packet[VideoStream]", data: bytes) -> "Packet[VideoStream]":
    """The packet itself, or one of the same time with other data."""
    if len(data) == packet.size:
        return packet
    other: Packet[Any] = Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    return other


def nothing_decodable(path: Path, codec: str) -> CorruptMedia:
    """The error for a video of which not one frame comes out of the decoder."""
    return CorruptMedia(
        f"no frame of {path.name} can be decoded: its {codec} data are damaged or of an unusual kind",
        remedy=f"{DOWNLOAD_AGAIN}; if that gives the same file, {CONVERT}",
    )


def read_packets(container: InputContainer, *streams: VideoStream) -> Iterator["Packet[Any]"]:
    """The packets of these streams, or of all, in file order, up to the first place where the container is damaged.

    Empty packets are left out: decoders take them for the end.
    """
    try:
        for packet in container.demux(streams) if streams else container.demux():
            check_time()
            if packet.size:
                yield packet
    except (av.error.FFmpegError, IndexError):
        # PyAV 18.1 raises IndexError behind the last packet if a stream has appeared in the middle of the file.
        return


def first_picture(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    """Decode until the first picture comes out; None if none does."""
    decoder = PacketDecoder(stream)
    for packet in read_packets(container, stream):
        if pictures := decoder.send(packet):
            return pictures[0]
    return next(iter(decoder.drain()), None)


def decode_in_order(path: Path, lost: list[int]) -> Iterator[VideoFrame]:
    """Decode a whole video, frame after frame as displayed, leaving out what is damaged.

    Args:
        path: the video.
        lost: at the end the number of packets that damage has cost is appended.
    """
    with open_video(path) as (container, stream):
        decoder = PacketDecoder(stream)
        for packet in read_packets(container, stream):
            yield from decoder.send(packet)
        yield from decoder.drain()
        lost.append(decoder.lost)


@dataclass(frozen=True)
class Orientation:
    """How to turn stored pictures so that they stand upright.

    Attributes:
        rotation: degrees clockwise, one of 0, 90, 180, 270; applied after mirroring.
        mirrored: left and right are swapped, as front cameras of some phones do.
    """

    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Read the display matrix that the container attached to a frame."""
        side_data = frame.side_data.get("DISPLAYMATRIX")
        if side_data is None:
            return cls()
        # x' = a·x + c·y and y' = b·x + d·y, with y pointing down (ISO 14496-12, 8.3.2).
        matrix = np.frombuffer(side_data, np.int32).astype(np.int64)
        a, b, c, d = (int(matrix[position]) for position in (0, 1, 3, 4))
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        # `frame.rotation` of PyAV is the same angle, counterclockwise, and says 180 for a mere mirror.
        return cls(rotation=round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90, mirrored=mirrored)

    def apply(self, rgb: Rgb) -> Rgb:
        """Turn a picture (H, W, 3); the result is contiguous."""
        if self.mirrored:
            rgb = rgb[:, ::-1]
        return np.ascontiguousarray(np.rot90(rgb, k=-self.rotation // 90))


def upright_rgb(frame: VideoFrame) -> Rgb:
    """Convert a decoded frame to a contiguous (H, W, 3) picture, turned as a player shows it.

    Range and matrix follow the stream's tags the way swscale reads them; non-square pixels are not stretched and
    HDR is not tone-mapped.
    """
    # More threads would compete with the other videos that are decoded at the same time.
    stored = frame.to_ndarray(format="rgb24", threads=1)
    return Orientation.of(frame).apply(np.asarray(stored, dtype=np.uint8))
