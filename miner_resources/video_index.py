"""Which frames a video has, and when: found by reading packets, without decoding.

A frame's index is the rank of its presentation time (pts) among all frames that are ever shown. In MP4, Matroska and
FLV with a modern codec the packets tell that exactly. Elsewhere (AVI has no presentation times, MPEG-4 has packets
without a picture, files can start in the middle) the frames are counted by decoding everything once.
`video_reader` plans what to decode from the `PacketIndex`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from miner_resources.errors import CorruptMedia
from miner_resources.video_decoder import decode_in_order, nothing_decodable, read_packets
from miner_resources.video_file import codec_name, container_name, open_video

MIN_PRESENT_SHARE: Final = 0.95
"""A file that holds less than this share of the frames (or seconds) its header promises is truncated."""

_TRUE_TIMES: Final = frozenset({"mov", "matroska", "flv"})
"""Containers that store a presentation time per packet; for AVI and elementary streams libav guesses them."""

_PICTURE_PER_PACKET: Final = frozenset({"h264", "hevc", "vvc", "vp8", "vp9", "av1", "mjpeg", "prores", "ffv1"})
"""Codecs of which every packet gives one picture, apart from the hidden pictures of VP8, which its header marks."""

_VP8_SHOWN: Final = 0x10
_USUAL_FPS: Final = 25


@dataclass(frozen=True)
class Extent:
    """How much video the container promises, and how much of it is in the file.

    Attributes:
        declared_frames: 0 if the container does not say.
        present_frames: packets that are in the file completely.
        declared_s: 0 if the container does not say.
        present_s: when the last packet of any stream ends.
    """

    declared_frames: int = 0
    present_frames: int = 0
    declared_s: float = 0.0
    present_s: float = 0.0

    @property
    def problem(self) -> str | None:
        """What a person should know if much of the file is missing, else None."""
        if self.present_frames < MIN_PRESENT_SHARE * self.declared_frames:
            verb = "is" if self.present_frames == 1 else "are"
            return f"the index lists {self.declared_frames} frames but only {self.present_frames} {verb} in the file"
        # Half a second of slack: the sound of short clips often ends a little before the header says.
        if not self.declared_frames and self.present_s < MIN_PRESENT_SHARE * self.declared_s - 0.5:
            return f"it should last {self.declared_s:.1f} s but its data end at {self.present_s:.1f} s"
        return None


@dataclass(frozen=True)
class PacketIndex:
    """All frames of a video in display order, and its packets in file order.

    Attributes:
        pts: presentation time of each frame in units of `time_base`, strictly increasing.
        is_keyframe: per frame, whether its packet is flagged as keyframe.
        time_base: seconds per unit of pts.
        packet_pts: pts of each packet in file order; None if its picture is never shown.
        packet_is_keyframe: per packet in file order.
        sequential: the packets' times do not identify frames, so only a decode from the start finds a frame.
        lost: packets that damage cost while the frames had to be counted; 0 if they were not counted.
        extent: how complete the file is.
    """

    pts: tuple[int, ...]
    is_keyframe: tuple[bool, ...]
    time_base: Fraction
    packet_pts: tuple[int | None, ...]
    packet_is_keyframe: tuple[bool, ...]
    sequential: bool = False
    lost: int = 0
    extent: Extent = field(default_factory=Extent)

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, frame_index: int) -> Fraction:
        """Exact time of a frame on the video's own clock, which may not start at 0."""
        return self.pts[frame_index] * self.time_base


@dataclass
class _Scan:
    """What one demux pass saw of the video stream, in file order."""

    pts: list[int | None] = field(default_factory=list[int | None])
    is_keyframe: list[bool] = field(default_factory=list[bool])
    is_shown: list[bool] = field(default_factory=list[bool])
    readable: int = 0
    end_s: float = 0.0

    def add(self, packet: "Packet[Any]", *, shown: bool) -> None:
        self.pts.append(packet.pts)
        self.is_keyframe.append(packet.is_keyframe)
        self.is_shown.append(shown)
        self.readable += not packet.is_corrupt

    @property
    def shown_pts(self) -> list[int | None]:
        return [pts for pts, shown in zip(self.pts, self.is_shown, strict=True) if shown]


def read_index(path: Path) -> PacketIndex:
    """List the frames of a video; decodes only where packets alone cannot tell.

    A truncated file has an index too: `video_reader.check_damage` judges it by `extent`.

    Raises:
        NotFound: there is no such file.
        InvalidData: it is a folder or may not be read.
        CorruptMedia: it holds no video that can be decoded, or not one frame.
    """
    with open_video(path) as (container, stream):
        container_format, codec = container_name(container), codec_name(stream)
        time_base = stream.time_base or Fraction(1, 1000)
        extent = _declared(container, stream)
        scan = _scan(container, stream)
        extent = replace(extent, present_frames=scan.readable, present_s=scan.end_s)
        step = max(1, round(1 / ((stream.average_rate or _USUAL_FPS) * time_base)))
    if container_format in _TRUE_TIMES and codec in _PICTURE_PER_PACKET and _is_consistent(scan):
        index = _index(scan, time_base, {pts for pts in scan.shown_pts if pts is not None})
    else:
        index = _count_frames(path, scan, time_base, step)
    if not index.pts and extent.problem is None:
        raise nothing_decodable(path, codec)
    if container_format == "gif" and len(index) == 1:
        raise CorruptMedia(f"{path.name} is not a video: a still image (GIF)", remedy="leave this file out")
    return replace(index, extent=extent)


def repair_times(pts: Sequence[int | None], step: int) -> list[int]:
    """Make the times of frames in display order strictly increasing.

    AVI numbers frames in the order of decoding: then the right times are there, only permuted. Missing or repeated
    times are set `step` after the frame before.
    """
    known = [value for value in pts if value is not None]
    if len(known) == len(pts) == len(set(known)):
        return sorted(known)
    repaired: list[int] = []
    for value in pts:
        after = repaired[-1] + step if repaired else 0
        repaired.append(value if value is not None and (not repaired or value > repaired[-1]) else after)
    return repaired


def _scan(container: InputContainer, stream: VideoStream) -> _Scan:
    scan = _Scan()
    marks_hidden = codec_name(stream) == "vp8"
    for packet in read_packets(container):
        scan.end_s = max(scan.end_s, _end_s(packet))
        if packet.stream_index == stream.index:
            hidden = marks_hidden and not memoryview(packet)[0] & _VP8_SHOWN
            scan.add(packet, shown=not packet.is_discard and not hidden)
    return scan


def _end_s(packet: "Packet[Any]") -> float:
    if packet.pts is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _declared(container: InputContainer, stream: VideoStream) -> Extent:
    """What the header promises; to be read before the packets, which add to libav's own index."""
    container_format = container_name(container)
    # In other containers libav estimates durations, from the bit rate for example.
    duration_us = (container.duration or 0) if container_format in _TRUE_TIMES else 0
    frames = stream.frames
    if container_format == "mov":
        # A trimmed phone video keeps all its frames, but its edit list shows few, and libav reads no others.
        frames = min(frames, len(stream.index_entries))
    return Extent(declared_frames=frames, declared_s=duration_us / 1_000_000)


def _is_consistent(scan: _Scan) -> bool:
    """Whether frames can be told from packets: all times known and different, and the file starts with a keyframe.

    If shown packets precede the first keyframe in time, they belong to pictures before the start of the file, and
    decoders drop them.
    """
    shown = scan.shown_pts
    known = [pts for pts in scan.pts if pts is not None]
    complete = len(known) == len(scan.pts) and len(set(shown)) == len(shown)
    return complete and (not known or (scan.is_keyframe[0] and known[0] == min(known)))


def _index(scan: _Scan, time_base: Fraction, shown: set[int]) -> PacketIndex:
    """Index of the packets with a pts in `shown`."""
    packet_pts = tuple(pts if pts in shown else None for pts in scan.pts)
    keyframes = {pts for pts, is_keyframe in zip(packet_pts, scan.is_keyframe, strict=True) if is_keyframe}
    pts = tuple(sorted(shown))
    is_keyframe = tuple(value in keyframes for value in pts)
    return PacketIndex(pts, is_keyframe, time_base, packet_pts, tuple(scan.is_keyframe))


def _count_frames(path: Path, scan: _Scan, time_base: Fraction, step: int) -> PacketIndex:
    lost: list[int] = []
    frames = [(frame.pts, frame.key_frame) for frame in decode_in_order(path, lost)]
    pts = [pts for pts, _ in frames]
    known = [value for value in pts if value is not None]
    increasing = len(known) == len(pts) and all(earlier < later for earlier, later in pairwise(known))
    if increasing and set(known) <= set(scan.pts):
        index = _index(scan, time_base, set(known))
    else:
        keyframes = tuple(bool(is_keyframe) for _, is_keyframe in frames)
        index = PacketIndex(
            tuple(repair_times(pts, step)),
            keyframes,
            time_base,
            packet_pts=tuple(scan.pts),
            packet_is_keyframe=tuple(scan.is_keyframe),
            sequential=True,
        )
    return replace(index, lost=sum(lost))
