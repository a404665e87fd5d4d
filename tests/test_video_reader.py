"""Frames must be pixel for pixel those of a full decode, and damage must be told in plain words."""

import os
import random
import sys
import zlib
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_resources import video_reader
from miner_resources.errors import CorruptMedia, InvalidData
from miner_resources.records import Rgb
from miner_resources.video_index import Extent, PacketIndex, read_index
from miner_resources.video_plan import plan_packets
from miner_resources.video_reader import DecodeReport, check_damage, decode_frames, probe
from tests.shared_data import Recipe, picture, shared_data, shared_files
from tests.test_video_index import COUNTED, SEQUENTIAL, TRUSTED

INTRA_REFRESH = Recipe("intra_refresh.mp4", options={"bf": "0", "intra-refresh": "1"})
INTERLACED = Recipe("interlaced.mkv", options={"bf": "2", "flags": "+ildct+ilme"})
AV1 = Recipe("av1.mkv", "libsvtav1", {"preset": "12"})

# How far the stored pictures of these files are turned, counterclockwise in steps of 90 degrees, to stand upright.
TURNED = {
    "decord_video_90.mov": -1,
    "decord_video_180.mov": 2,
    "decord_video_270.mov": 1,
    "mp4parse_video_rotation_90.mp4": -1,
}


def checksum(rgb: Rgb) -> int:
    return zlib.crc32(np.ascontiguousarray(rgb))


def full_decode(path: Path, wanted: Iterable[int]) -> dict[int, int]:
    """Checksums of frames by their place in a full decode with libav's default settings."""
    places = set(wanted)
    turn = TURNED.get(path.name, 0)
    with av.open(str(path)) as container:
        frames = enumerate(container.decode(container.streams.best("video")))
        return {
            place: checksum(np.rot90(frame.to_ndarray(format="rgb24"), turn))
            for place, frame in frames
            if place in places
        }


def patterns(index: PacketIndex) -> dict[str, list[int]]:
    count = len(index)
    some = random.Random(count)
    chosen = {
        "every 7th": list(range(0, min(count, 140), 7)),
        "every 30th": list(range(0, count, 30)),
        "keyframes": [place for place, flag in enumerate(index.is_keyframe) if flag][:30],
        "random": some.sample(range(count), min(count, 6)),
        "last": [count - 1],
        "middle": [count // 2],
    }
    return chosen | ({"all": list(range(count))} if count <= 60 else {})


def assert_identical_to_a_full_decode(path: Path) -> None:
    index = read_index(path)
    asked = patterns(index)
    expected = full_decode(path, {place for targets in asked.values() for place in targets})
    for name, targets in asked.items():
        report = DecodeReport()
        got = {frame.frame_index: checksum(frame.rgb) for frame in decode_frames(path, index, targets, report)}
        assert got == {place: expected[place] for place in targets}, name
        assert report == DecodeReport(wanted=len(set(targets)))


@pytest.mark.parametrize("path", shared_files("videos", (".mp4", ".mkv", ".webm", ".mov", ".3gp", ".ts")))
def test_real_videos_decode_as_in_full(path: Path) -> None:
    assert_identical_to_a_full_decode(path)


@pytest.mark.parametrize(
    "recipe",
    [*TRUSTED, *COUNTED, *SEQUENTIAL, INTRA_REFRESH, INTERLACED, AV1],
    ids=lambda recipe: recipe.name,
)
def test_made_videos_decode_as_in_full(recipe: Recipe, tmp_path: Path) -> None:
    assert_identical_to_a_full_decode(recipe.write(tmp_path))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("h264.mkv", options={"bf": "2"}),
        Recipe("hevc.mkv", "libx265", {"x265-params": "log-level=none"}),
        Recipe("vp9.mkv", "libvpx-vp9", {"cpu-used": "8"}),
        AV1,
    ],
    ids=lambda recipe: recipe.name,
)
def test_wrong_keyframe_flags_do_no_harm(recipe: Recipe, tmp_path: Path) -> None:
    path = recipe.write(tmp_path)
    index = read_index(path)
    wrong = replace(index, packet_is_keyframe=tuple(True for _ in index.packet_pts))
    targets = [5, 17, 30]
    expected = full_decode(path, targets)
    assert {frame.frame_index: checksum(frame.rgb) for frame in decode_frames(path, wrong, targets)} == expected


ANY_TARGETS = [
    Recipe("h264.mkv", options={"bf": "3"}, frames=48, gop=20),
    Recipe("open.mkv", options={"bf": "3", "x264-params": "open-gop=1:keyint=10"}, frames=48, gop=None),
    Recipe("hevc.mkv", "libx265", {"x265-params": "log-level=none"}, frames=48, gop=20),
    Recipe("vp9.mkv", "libvpx-vp9", {"cpu-used": "8"}, frames=48, gop=20),
    Recipe("av1.mkv", "libsvtav1", {"preset": "10"}, frames=48, gop=20),
]
Decoded = list[tuple[Path, PacketIndex, dict[int, int]]]


@pytest.fixture(scope="module")
def in_full(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    """Videos of all codecs with the checksums of a full decode."""
    paths = [recipe.write(tmp_path_factory.mktemp("any")) for recipe in ANY_TARGETS]
    return [(path, read_index(path), full_decode(path, range(48))) for path in paths]


@settings(deadline=None, max_examples=20)
@given(targets=st.sets(st.integers(0, 47)))
def test_any_targets_decode_as_in_full(in_full: Decoded, targets: set[int]) -> None:
    for path, index, expected in in_full:
        got = {frame.frame_index: checksum(frame.rgb) for frame in decode_frames(path, index, sorted(targets))}
        assert got == {place: expected[place] for place in targets}, path.name


def test_frames_carry_their_index_time_and_flag(tmp_path: Path) -> None:
    path = Recipe("plain.mp4", options={"bf": "2", "sc_threshold": "0"}).write(tmp_path)
    index = read_index(path)
    frames = list(decode_frames(path, index, [25, 0, 12, 12]))
    assert [frame.frame_index for frame in frames] == [0, 12, 25]
    assert [frame.pts * index.time_base for frame in frames] == [0, Fraction(12, 25), 1]
    assert [frame.is_keyframe for frame in frames] == [True, True, False]
    for frame in frames:
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.shape == (64, 96, 3)
        assert frame.rgb.flags.c_contiguous
        assert np.abs(frame.rgb.astype(int) - picture(frame.frame_index)).mean() < 25


def test_only_packets_up_to_the_target_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Recipe("plain.mp4", options={"bf": "0", "sc_threshold": "0"}).write(tmp_path)
    sent: list[int] = []
    send = video_reader.PacketDecoder.send

    def spy(self: video_reader.PacketDecoder, packet: av.Packet, *, needed: bool = True) -> list[av.VideoFrame]:
        sent.append(packet.pts)
        return send(self, packet, needed=needed)

    monkeypatch.setattr(video_reader.PacketDecoder, "send", spy)
    index = read_index(path)
    list(decode_frames(path, index, [2, 26]))
    assert sent == [index.pts[place] for place in (0, 1, 2, 24, 25, 26)]


def index_of(shown: list[int | None], keyframes: set[int]) -> PacketIndex:
    """Index of packets in file order; `keyframes` are positions."""
    pts = tuple(sorted(value for value in shown if value is not None))
    flags = tuple(position in keyframes for position in range(len(shown)))
    return PacketIndex(pts, tuple(False for _ in pts), Fraction(1, 25), tuple(shown), flags)


CLOSED = index_of([0, 2, 1, 3, 4, 6, 5, 7], {0, 4})
OPEN = index_of([0, 1, 2, 5, 3, 4, 6, 7], {0, 3})


@pytest.mark.parametrize(
    ("index", "targets", "planned"),
    [
        pytest.param(CLOSED, [], [], id="nothing"),
        pytest.param(CLOSED, [0], [range(1)], id="keyframe"),
        pytest.param(CLOSED, [1], [range(3)], id="reordered picture"),
        pytest.param(CLOSED, [5], [range(4, 7)], id="second group only"),
        pytest.param(CLOSED, [0, 7], [range(1), range(4, 8)], id="gap"),
        pytest.param(CLOSED, [3, 4], [range(5)], id="no gap"),
        pytest.param(OPEN, [5], [range(3, 4)], id="open keyframe itself"),
        pytest.param(OPEN, [6], [range(3, 7)], id="behind an open keyframe"),
        pytest.param(OPEN, [3], [range(5)], id="leading picture needs the group before"),
        pytest.param(OPEN, [4, 6], [range(7)], id="leading and trailing"),
        pytest.param(index_of([None, 1, None, 2], {0}), [1], [range(4)], id="hidden keyframe"),
    ],
)
def test_plan_packets(index: PacketIndex, targets: list[int], planned: list[range]) -> None:
    assert plan_packets(index, set(targets)) == planned


UNTURNED = np.array([65536, 0, 0, 0, 65536])


def shown_by_matrix(stored: Rgb, matrix: np.ndarray) -> Rgb:
    """Apply a display matrix pixel by pixel, as the specification words it."""
    height, width, _ = stored.shape
    y, x = np.mgrid[:height, :width]
    a, b, _, c, d = (round(value / 65536) for value in matrix[:5])
    new_x, new_y = a * x + c * y, b * x + d * y
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    shown = np.zeros((new_y.max() + 1, new_x.max() + 1, 3), np.uint8)
    shown[new_y, new_x] = stored
    return shown


@pytest.mark.parametrize("flipped", [False, True], ids=["", "flipped"])
@pytest.mark.parametrize("mirrored", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_follows_the_display_matrix(degrees: int, mirrored: bool, flipped: bool, tmp_path: Path) -> None:
    path = Recipe("turned.mp4", frames=2, rotation=(degrees, mirrored, flipped)).write(tmp_path)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        attached = frame.side_data.get("DISPLAYMATRIX")  # libav leaves out a matrix that changes nothing
        matrix = UNTURNED if attached is None else np.frombuffer(attached, np.int32)
        expected = shown_by_matrix(frame.to_ndarray(format="rgb24"), matrix)
    index = read_index(path)
    (got,) = decode_frames(path, index, [0])
    assert np.array_equal(got.rgb, expected)
    info = probe(path, index)
    assert (info.height, info.width) == expected.shape[:2]
    assert info.mirrored == (mirrored != flipped)
    if not flipped and not mirrored:
        assert info.rotation == -degrees % 360


@pytest.mark.parametrize(
    ("name", "rotation", "size"),
    [
        ("decord_video_0.mov", 0, (568, 320)),
        ("decord_video_90.mov", 90, (320, 568)),
        ("decord_video_180.mov", 180, (568, 320)),
        ("decord_video_270.mov", 270, (320, 568)),
    ],
)
def test_probe_reports_upright_size(name: str, rotation: int, size: tuple[int, int]) -> None:
    info = probe(shared_data(f"videos/{name}"))
    assert (info.rotation, info.mirrored, (info.width, info.height)) == (rotation, False, size)


def test_probe_of_a_made_video(tmp_path: Path) -> None:
    info = probe(Recipe("plain.mkv").write(tmp_path))
    assert (info.width, info.height, info.codec, info.container) == (96, 64, "h264", "matroska")
    assert (info.frame_count, info.average_fps, info.duration_s) == (40, 25, 1.6)
    assert info.time_base == Fraction(1, 1000)


@pytest.mark.parametrize(
    ("name", "codec", "fps", "duration_s"),
    [
        ("moviepy_no_duration.webm", "vp9", Fraction(15000, 1001), 4.938),
        ("torchcodec_av1_video.mkv", "av1", Fraction(25), 5.0),
        ("mp4parse_tiny_av1.mp4", "av1", None, 0.042),
        ("bottle-detection.mp4", "h264", Fraction(179, 6), 39.855),
        ("torchcodec_nasa_13013.mp4", "h264", Fraction(30000, 1001), 13.013),
    ],
)
def test_probe_of_real_videos(name: str, codec: str, fps: Fraction | None, duration_s: float) -> None:
    info = probe(shared_data(f"videos/{name}"))
    assert (info.codec, info.average_fps) == (codec, fps)
    assert info.duration_s == pytest.approx(duration_s, abs=0.001)


def test_probe_measures_what_the_container_does_not_know(tmp_path: Path) -> None:
    info = probe(Recipe("raw.h264", options={"bf": "0"}).write(tmp_path))
    assert info.average_fps == 25
    assert info.duration_s == pytest.approx(1.6)


def test_probe_measures_the_rate_of_variable_video(tmp_path: Path) -> None:
    info = probe(Recipe("vfr.mkv", pts=[0, 40, 80, 1000], time_base=Fraction(1, 1000)).write(tmp_path))
    assert info.average_fps == Fraction(3, 1)


def test_a_single_frame_without_any_duration_has_none(tmp_path: Path) -> None:
    info = probe(Recipe("raw.h264", frames=1).write(tmp_path))
    assert (info.frame_count, info.average_fps, info.duration_s) == (1, None, None)


@pytest.mark.parametrize("targets", [[40], [-1], [0, 99]])
def test_targets_outside_the_video_are_refused(targets: list[int], tmp_path: Path) -> None:
    path = Recipe("plain.mp4").write(tmp_path)
    with pytest.raises(InvalidData, match="has frames 0 to 39"):
        list(decode_frames(path, read_index(path), targets))


def test_no_targets_give_no_frames(tmp_path: Path) -> None:
    path = Recipe("plain.mp4").write(tmp_path)
    assert list(decode_frames(path, read_index(path), [])) == []


def damage(path: Path, index: PacketIndex, packets: list[int]) -> None:
    """Overwrite the data of some packets, by position in the file."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for position, packet in enumerate(container.demux(video=0)):
            if position in packets and packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)


def test_a_little_damage_is_reported_and_decoding_goes_on(tmp_path: Path) -> None:
    path = Recipe("scratch.mp4", frames=80, gop=2, options={"bf": "0"}).write(tmp_path)
    index = read_index(path)
    expected = full_decode(path, range(80))
    damage(path, index, [31])
    report = DecodeReport()
    got = {frame.frame_index: checksum(frame.rgb) for frame in decode_frames(path, index, range(80), report)}
    assert report == DecodeReport(wanted=80, undecodable=[31])
    assert got == {place: value for place, value in expected.items() if place != 31}


def test_a_lost_keyframe_loses_its_group(tmp_path: Path) -> None:
    path = Recipe("scratch.mp4", frames=80, gop=10, options={"bf": "0", "sc_threshold": "0"}).write(tmp_path)
    index = read_index(path)
    damage(path, index, [20])
    report = DecodeReport()
    with pytest.raises(CorruptMedia, match=r"only 70 of 80 frames of scratch\.mp4 can be decoded: the file is damaged"):
        list(decode_frames(path, index, range(80), report))
    assert report.undecodable == list(range(20, 30))


def test_damage_is_counted_where_frames_must_be_counted(tmp_path: Path) -> None:
    path = Recipe("scratch.avi", frames=80, gop=10, options={"bf": "0", "sc_threshold": "0"}).write(tmp_path)
    damage(path, read_index(path), [20])
    index = read_index(path)
    assert (len(index), index.lost) == (70, 10)
    with pytest.raises(CorruptMedia, match=r"only 70 of 80 frames of scratch\.avi can be decoded"):
        list(decode_frames(path, index, [0]))


def harm(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, cut off the end, or take a piece out."""
    changed = bytearray(data)
    place = chance.randrange(1, len(changed))
    kind = chance.choice(["bytes", "header", "cut", "piece"])
    if kind == "cut":
        del changed[place:]
    elif kind == "piece":
        del changed[place : place + chance.randrange(1, 2000)]
    else:
        limit = len(changed) if kind == "bytes" else min(1000, len(changed))
        for _ in range(chance.choice([1, 3, 30])):
            changed[chance.randrange(limit)] = chance.randrange(256)
    return bytes(changed)


def outcome(path: Path) -> str:
    """Read every third frame: "frames" or "refused"; any other error goes through."""
    report = DecodeReport()
    try:
        index = read_index(path)
        probe(path, index)
        got = [frame.frame_index for frame in decode_frames(path, index, range(0, len(index), 3), report)]
    except CorruptMedia:
        return "refused"
    assert sorted([*got, *report.undecodable]) == list(range(0, len(index), 3))
    return "frames"


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("h264.mp4", options={"bf": "2"}),
        Recipe("h264.ts", options={"bf": "2"}),
        Recipe("vp9.webm", "libvpx-vp9", {"cpu-used": "8"}),
        Recipe("mpeg4.avi", "mpeg4", {"bf": "2"}),
    ],
    ids=lambda recipe: recipe.name,
)
def test_random_damage_ends_in_frames_or_in_plain_words(recipe: Recipe, tmp_path: Path) -> None:
    whole = recipe.write(tmp_path).read_bytes()
    path = tmp_path / f"harmed{Path(recipe.name).suffix}"
    chance = random.Random(recipe.name)
    outcomes: set[str] = set()
    for _ in range(60):
        path.write_bytes(harm(whole, chance))
        outcomes.add(outcome(path))
    assert outcomes == {"frames", "refused"}


@pytest.mark.parametrize(
    ("lost", "wanted", "usable"),
    [(0, 0, True), (0, 10, True), (5, 100, True), (6, 100, False), (1, 1, False)],
)
def test_check_damage_allows_five_percent(lost: int, wanted: int, usable: bool) -> None:
    report = DecodeReport(wanted, list(range(lost)))
    if usable:
        check_damage(Path("a.mp4"), CLOSED, report)
    else:
        with pytest.raises(CorruptMedia, match=f"only {wanted - lost} of {wanted} frames"):
            check_damage(Path("a.mp4"), CLOSED, report)


def test_check_damage_refuses_truncated_files_and_bad_counts() -> None:
    with pytest.raises(CorruptMedia, match=r"a\.mp4 is truncated: the index lists 100 frames but only 40 are"):
        check_damage(Path("a.mp4"), replace(CLOSED, extent=Extent(100, 40)))
    with pytest.raises(CorruptMedia, match="only 8 of 10 frames"):
        check_damage(Path("a.mp4"), replace(CLOSED, lost=2))


def test_a_video_without_one_good_frame_is_named(tmp_path: Path) -> None:
    path = Recipe("noise.mp4", frames=20).write(tmp_path)
    damage(path, read_index(path), list(range(20)))
    with pytest.raises(CorruptMedia, match=r"no frame of noise\.mp4 can be decoded: its h264 data"):
        probe(path)


def decode_all(path: Path) -> None:
    index = read_index(path)
    for _ in decode_frames(path, index, range(len(index))):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("decord_corrupted.mp4", "only 29 of 50 frames of decord_corrupted.mp4 can be decoded"),
        ("made_bitflips_400_in_mdat.mp4", "of 1189 frames of made_bitflips_400_in_mdat.mp4 can be decoded"),
        (
            "made_truncated_40pct_faststart.mp4",
            "is truncated: the index lists 1189 frames but only 501 are in the file",
        ),
        ("made_truncated_webm_30pct.webm", "is truncated: it should last 1.0 s"),
        ("mp4parse_invalid_userdata.mp4", "is truncated"),
        ("mp4parse_no_timescale.mp4", "of 182 frames of mp4parse_no_timescale.mp4 can be decoded"),
        ("mp4parse_test_case_1185230.mp4", "is truncated"),
        ("mp4parse_zero_empty_stsc.mp4", "is truncated"),
    ],
)
def test_broken_files_are_refused(name: str, message: str) -> None:
    path = shared_data(f"broken/{name}")
    with pytest.raises(CorruptMedia) as caught:
        decode_all(path)
    assert message in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "made_declared_65535x65535.mp4",
        "made_duration_header_huge.mp4",
        "made_ffv1_rgb48_single_frame.mkv",
        "made_ffv1_yuv410p.mkv",
    ],
)
def test_odd_but_whole_files_decode_as_in_full(name: str) -> None:
    assert_identical_to_a_full_decode(shared_data(f"broken/{name}"))


@pytest.mark.skipif(sys.platform != "linux", reason="schedulers are set on Linux only")
def test_encoding_av1_leaves_the_scheduler_as_it_was(tmp_path: Path) -> None:
    AV1.write(tmp_path)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
