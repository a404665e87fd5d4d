"""Which packets must be decoded to get certain frames: a pure decision over a `PacketIndex`.

`video_reader` carries the plan out. The plan relies on one property of all video codecs: from a keyframe on, every
picture that is shown after it can be decoded. Where a stream breaks that (intra refresh), the decoder withholds the
picture and the reader falls back to a decode from the start.
"""

from bisect import bisect_right
from collections.abc import Iterable, Set

from miner_resources.video_index import PacketIndex


def plan_packets(index: PacketIndex, targets: Set[int]) -> list[range]:
    """Which packets, by position in the file, must be decoded to get the targets.

    Each range starts at a keyframe and ends with a target. A target needs the last keyframe that is not shown after
    it: pictures that follow a keyframe in the file but precede it on screen refer to the keyframe before as well.
    """
    wanted = {index.pts[target] for target in targets}
    last_position = {pts: position for position, pts in enumerate(index.packet_pts) if pts in wanted}
    keyframes = [
        (position, pts)
        for position, (pts, is_keyframe) in enumerate(zip(index.packet_pts, index.packet_is_keyframe, strict=True))
        if is_keyframe and pts is not None
    ]
    positions = [position for position, _ in keyframes]
    planned: list[range] = []
    for pts, position in last_position.items():
        entry = bisect_right(positions, position) - 1
        while entry >= 0 and keyframes[entry][1] > pts:
            entry -= 1
        planned.append(range(positions[entry] if entry >= 0 else 0, position + 1))
    return _merge(planned)


def _merge(ranges: Iterable[range]) -> list[range]:
    merged: list[range] = []
    for current in sorted(ranges, key=lambda one: one.start):
        if merged and current.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, current.stop))
        else:
            merged.append(current)
    return merged
