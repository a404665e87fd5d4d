"""Exactly the wanted frames of a video, decoding as little as possible.

Flow: `read_index` lists the frames, `sampling.choose_frames` picks some, `decode_frames` delivers them: pixel for
pixel what a full decode gives. Only the packets from a keyframe to the last target behind it are decoded, and those
that nothing refers to are left out (measured for one frame a second: 0.5 to 0.8 of the work of a full decode).
Where the choice depends on what the frames show, `video_pass` decodes everything once for choice and pictures.
How much damage is too much is decided in one place, `check_damage`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from miner_resources.errors import CorruptMedia, InvalidData
from miner_resources.records import Rgb
from miner_resources.video_decoder import (
    Orientation,
    PacketDecoder,
    decode_in_order,
    first_picture,
    nothing_decodable,
    read_packets,
    upright_rgb,
)
from miner_resources.video_file import DOWNLOAD_AGAIN, codec_name, container_name, open_video
from miner_resources.video_index import PacketIndex, read_index
from miner_resources.video_plan import plan_packets

MAX_UNDECODABLE_SHARE: Final = 0.05
"""A video that loses more than this share of the wanted frames is not used at all."""

_RATE_TOLERANCE: Final = Fraction(1, 50)


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, after its first frame has been decoded.

    Attributes:
        width: pixels, after rotation.
        height: pixels, after rotation.
        codec: coding format, for example "h264", "vp9", "av1".
        container: file format by its first name in libav, for example "mov" (MP4 too), "matroska" (WebM too).
        duration_s: None if neither the container nor the frames tell.
        average_fps: None for a single frame.
        rotation: degrees clockwise that make stored pictures upright (0, 90, 180, 270); already applied to frames.
        mirrored: stored pictures are mirrored before they are rotated; already applied to frames.
        frame_count: frames that are displayed.
        time_base: seconds per unit of pts.
    """

    width: int
    height: int
    codec: str
    container: str
    duration_s: float | None
    average_fps: Fraction | None
    rotation: int
    mirrored: bool
    frame_count: int
    time_base: Fraction


@dataclass(frozen=True)
class DecodedFrame:
    """One frame as a player shows it.

    Attributes:
        frame_index: its place in display order, from 0.
        pts: its time in units of the index's `time_base`.
        is_keyframe: its packet is flagged as keyframe.
        rgb: (H, W, 3), contiguous, upright; non-square pixels are not stretched.
    """

    frame_index: int
    pts: int
    is_keyframe: bool
    rgb: Rgb


@dataclass
class DecodeReport:
    """How a `decode_frames` or `video_pass.decode_every_frame` went; filled in when it ends.

    Attributes:
        wanted: number of different frames that were asked for.
        undecodable: indexes of those that could not be decoded, ascending.
    """

    wanted: int = 0
    undecodable: list[int] = field(default_factory=list[int])


def probe(path: Path, index: PacketIndex | None = None) -> VideoInfo:
    """Say what a video is, and prove that its first frame can be decoded.

    Args:
        path: the video.
        index: its index, if already read.

    Raises:
        NotFound: there is no such file.
        InvalidData: it is a folder or may not be read.
        CorruptMedia: it holds no video that can be decoded, or it is truncated.
    """
    index = read_index(path) if index is None else index
    check_damage(path, index)
    with open_video(path) as (container, stream):
        first = first_picture(container, stream)
        if first is None:
            raise nothing_decodable(path, codec_name(stream))
        orientation = Orientation.of(first)
        sideways = orientation.rotation in (90, 270)
        return VideoInfo(
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            codec=codec_name(stream),
            container=container_name(container),
            duration_s=_duration_s(stream, container.duration, index),
            average_fps=_average_fps(stream, index),
            rotation=orientation.rotation,
            mirrored=orientation.mirrored,
            frame_count=len(index),
            time_base=index.time_base,
        )


def decode_frames(
    path: Path, index: PacketIndex, targets: Sequence[int], report: DecodeReport | None = None
) -> Iterator[DecodedFrame]:
    """Decode the frames with those indexes, each once.

    They come in ascending order, except that frames which only a decode from the start can give come last.

    Args:
        path: the video.
        index: what `read_index` said about it.
        targets: frame indexes in any order.
        report: filled in at the end.

    Raises:
        InvalidData: a target is no frame of this video.
        CorruptMedia: the file is truncated, or at the end: too many targets were damaged (see `check_damage`).
    """
    check_damage(path, index)
    missing = set(targets)
    if missing and not 0 <= min(missing) <= max(missing) < len(index):
        raise InvalidData(
            f"{path.name} has frames 0 to {len(index) - 1}, not {min(missing)} to {max(missing)}",
            remedy="choose the frames from the index of the same file",
        )
    report = report or DecodeReport()
    report.wanted = len(missing)
    for decode in (_decode_planned, _decode_everything):
        if not missing:
            break
        for frame in decode(path, index, frozenset(missing)):
            missing.discard(frame.frame_index)
            yield frame
    report.undecodable = sorted(missing)
    check_damage(path, index, report)


def check_damage(path: Path, index: PacketIndex, report: DecodeReport | None = None) -> None:
    """Decide whether a video is whole enough to be used.

    `probe` and `decode_frames` call it; nobody else needs to.

    Raises:
        CorruptMedia: much of the file is missing, or more than `MAX_UNDECODABLE_SHARE` of the frames.
    """
    if problem := index.extent.problem:
        raise CorruptMedia(f"{path.name} is truncated: {problem}", remedy=DOWNLOAD_AGAIN)
    lost, wanted = index.lost, len(index) + index.lost
    if report is not None:
        lost, wanted = len(report.undecodable), report.wanted
    if lost > MAX_UNDECODABLE_SHARE * wanted:
        raise CorruptMedia(
            f"only {wanted - lost} of {wanted} frames of {path.name} can be decoded: the file is damaged",
            remedy=DOWNLOAD_AGAIN,
        )


def _decode_planned(path: Path, index: PacketIndex, targets: Set[int]) -> Iterator[DecodedFrame]:
    if index.sequential:
        return
    wanted = {index.pts[target] for target in targets}
    for frame in _decode_packets(path, plan_packets(index, targets), index.packet_pts, wanted):
        if frame.pts in wanted and not frame.is_corrupt:
            yield decoded_frame(index, bisect_left(index.pts, frame.pts), frame)


def _decode_packets(
    path: Path, planned: Sequence[range], packet_pts: Sequence[int | None], wanted: Set[int]
) -> Iterator[VideoFrame]:
    remaining = iter(planned)
    current = next(remaining, range(0))
    # A seek back to 0 loses the start of MPEG-TS with an offset; opening the file again does not.
    with open_video(path) as (container, stream):
        decoder = PacketDecoder(stream)
        for position, packet in enumerate(read_packets(container, stream)):
            if position >= current.stop:
                yield from decoder.drain()
                current = next(remaining, range(0))
                if not current:
                    return
            if position in current:
                yield from decoder.send(packet, needed=packet_pts[position] in wanted)
        yield from decoder.drain()


def _decode_everything(path: Path, index: PacketIndex, targets: Set[int]) -> Iterator[DecodedFrame]:
    """Second chance for frames that a start at a keyframe did not give, and the only way if times say nothing."""
    remaining = set(targets)
    for place, frame in decode_in_places(path, index):
        if place in remaining:
            remaining.discard(place)
            yield decoded_frame(index, place, frame)
        if not remaining:
            return


def decode_in_places(path: Path, index: PacketIndex) -> Iterator[tuple[int, VideoFrame]]:
    """All whole frames of a decode from the start, with their place in display order."""
    places = {pts: place for place, pts in enumerate(index.pts)}
    for count, frame in enumerate(decode_in_order(path, [])):
        place = count if index.sequential or frame.pts is None else places.get(frame.pts)
        if place is not None and not frame.is_corrupt:
            yield place, frame


def decoded_frame(index: PacketIndex, place: int, frame: VideoFrame) -> DecodedFrame:
    """A frame that has that place in display order, as a player shows it."""
    return DecodedFrame(place, index.pts[place], index.is_keyframe[place], upright_rgb(frame))


def _duration_s(stream: VideoStream, container_us: int | None, index: PacketIndex) -> float | None:
    if stream.duration:
        return float(stream.duration * index.time_base)
    if container_us:
        return container_us / 1_000_000
    fps = _average_fps(stream, index)
    return None if fps is None else float(len(index) / fps)


def _average_fps(stream: VideoStream, index: PacketIndex) -> Fraction | None:
    """The container's rate if the frames agree with it (Matroska and FLV may claim 1000), else the frames' own."""
    if len(index) < 2:
        return None
    measured = (len(index) - 1) / (index.seconds(-1) - index.seconds(0))
    stated = stream.average_rate
    if stated and abs(stated - measured) <= measured * _RATE_TOLERANCE:
        return stated
    return measured.limit_denominator(1001)
