"""What is cut off AV1 packets is what no other picture needs, and odd bytes are left alone."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_resources.av1_packets import PacketTrimmer
from miner_resources.records import Rgb
from tests.shared_data import Recipe, shared_data

LAYERED = Recipe("layered.mkv", "libsvtav1", {"preset": "10"}, frames=60, gop=40)


def packets(path: Path) -> Iterator[av.Packet]:
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


def decoded(path: Path, *, trimmed: bool) -> dict[int, Rgb]:
    """Pictures by pts; with `trimmed`, of the packets without what `PacketTrimmer` cuts off."""
    trimmer, pictures = PacketTrimmer(), {}
    with av.open(str(path)) as container:
        decoder = container.streams.video[0].codec_context
        sent: list[av.Packet | None] = []
        for packet in container.demux(video=0):
            data = trimmer.trim(bytes(packet)) if packet.size else b""
            if not trimmed:
                sent.append(packet if packet.size else None)
            elif data:
                cut = av.Packet(data)
                cut.pts, cut.dts, cut.time_base = packet.pts, packet.dts, packet.time_base
                sent.append(cut)
        for packet in [packet for packet in sent if packet] + [None]:
            pictures.update({frame.pts: frame.to_ndarray(format="rgb24") for frame in decoder.decode(packet)})
    return pictures


def parts_left(path: Path) -> list[float]:
    """For each packet how much of it is left."""
    trimmer = PacketTrimmer()
    return [len(trimmer.trim(bytes(packet))) / packet.size for packet in packets(path)]


def assert_harmless(path: Path) -> None:
    whole, left = decoded(path, trimmed=False), decoded(path, trimmed=True)
    assert left.keys() <= whole.keys()
    assert len(whole) - len(left) == sum(part < 1 for part in parts_left(path))
    assert all(np.array_equal(left[pts], whole[pts]) for pts in left)


def test_the_other_pictures_stay_as_they_are(tmp_path: Path) -> None:
    path = LAYERED.write(tmp_path)
    left = parts_left(path)
    assert left.count(0.0) >= 8, "packets that hold nothing else are gone"
    assert any(0 < part < 1 for part in left), "pictures that are shown later stay"
    assert left.count(1.0) >= 20
    assert_harmless(path)


def test_a_real_video() -> None:
    path = shared_data("videos/torchcodec_av1_video.mkv")
    assert parts_left(path).count(0.0) == 8
    assert_harmless(path)


def test_nothing_is_cut_before_the_sequence_header_is_known(tmp_path: Path) -> None:
    _, *others = packets(LAYERED.write(tmp_path))
    trimmer = PacketTrimmer()
    before_the_next_keyframe = [packet for packet in others if not packet.is_keyframe][:30]
    assert all(trimmer.trim(bytes(packet)) == bytes(packet) for packet in before_the_next_keyframe)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return [bytes(packet) for packet in packets(LAYERED.write(tmp_path_factory.mktemp("av1")))]


@given(data=st.data())
def test_odd_bytes_do_no_harm(layered: list[bytes], data: st.DataObject) -> None:
    trimmer = PacketTrimmer()
    trimmer.trim(layered[0])
    packet = bytearray(data.draw(st.one_of(st.binary(max_size=80), st.sampled_from(layered))))
    for _ in range(data.draw(st.integers(0, 4))):
        if packet:
            packet[data.draw(st.integers(0, min(30, len(packet) - 1)))] = data.draw(st.integers(0, 255))
    cut = bytes(packet)[: data.draw(st.integers(0, len(packet)))]
    assert cut.startswith(trimmer.trim(cut))
