"""The index that packets give must be what a full decode shows, frame by frame."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from miner_resources.errors import CorruptMedia, InvalidData, NotFound
from miner_resources.video_decoder import read_packets
from miner_resources.video_index import Extent, PacketIndex, read_index, repair_times
from tests.shared_data import Recipe, shared_data, shared_files

OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0", "bf": "3"}
X265_OPEN = {"x265-params": "log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=3"}
VARIABLE_PTS = [7000 + 900 * n + 311 * (n % 3) + 5000 * (n > 20) for n in range(40)]

TRUSTED = [
    Recipe("h264_b_frames.mp4", options={"bf": "3"}),
    Recipe("h264_b_frames.mkv", options={"bf": "3"}),
    Recipe("h264_b_frames.flv", options={"bf": "3"}),
    Recipe("h264_open_gop.mp4", options=OPEN_GOP),
    Recipe("h264_fragmented.mp4", muxer={"movflags": "frag_keyframe+empty_moov"}),
    Recipe("h264_vfr_late_start.mp4", pts=VARIABLE_PTS, time_base=Fraction(1, 90_000)),
    Recipe("h264_vfr_late_start.mkv", pts=[pts // 90 for pts in VARIABLE_PTS], time_base=Fraction(1, 1000)),
    Recipe("hevc_open_gop.mp4", "libx265", X265_OPEN),
    Recipe("vp8.webm", "libvpx", {"cpu-used": "8"}),
    Recipe("vp9_alt_ref.webm", "libvpx-vp9", {"cpu-used": "8", "lag-in-frames": "12", "auto-alt-ref": "1"}),
    Recipe("mjpeg.mov", "mjpeg", pixels="yuvj420p"),
]
COUNTED = [
    Recipe("mpeg4.avi", "mpeg4", {"bf": "2"}),
    Recipe("mpeg4.mp4", "mpeg4", {"bf": "2"}),
    Recipe("h264.ts", options={"bf": "3"}),
    Recipe("mpeg2.ts", "mpeg2video", {"bf": "2"}),
    Recipe("mpeg2.mpg", "mpeg2video", {"bf": "2"}),
    Recipe("moving.gif", "gif", pixels="rgb8", frames=9, time_base=Fraction(1, 10)),
]
SEQUENTIAL = [
    Recipe("h264_b_frames.avi", options={"bf": "3"}),
    Recipe("raw.h264", options={"bf": "3"}),
]


def displayed_pts(path: Path) -> list[int | None]:
    """What a plain full decode of the best video stream shows."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        return [frame.pts for frame in container.decode(stream)]


def flagged_pts(path: Path) -> set[int | None]:
    with av.open(str(path)) as container:
        return {packet.pts for packet in container.demux(container.streams.best("video")) if packet.is_keyframe}


@pytest.mark.parametrize("path", shared_files("videos", (".mp4", ".mkv", ".webm", ".mov", ".3gp", ".ts")))
def test_every_real_video_has_the_index_of_a_full_decode(path: Path) -> None:
    index = read_index(path)
    assert list(index.pts) == displayed_pts(path)
    assert not index.sequential
    assert index.extent.problem is None
    flagged = flagged_pts(path)
    assert index.is_keyframe == tuple(pts in flagged for pts in index.pts)


@pytest.mark.parametrize("recipe", [*TRUSTED, *COUNTED], ids=lambda recipe: recipe.name)
def test_every_made_video_has_the_index_of_a_full_decode(recipe: Recipe, tmp_path: Path) -> None:
    path = recipe.write(tmp_path)
    index = read_index(path)
    assert list(index.pts) == displayed_pts(path)
    assert not index.sequential
    assert index.extent.problem is None
    assert index.is_keyframe[0]


@pytest.mark.parametrize("recipe", TRUSTED, ids=lambda recipe: recipe.name)
def test_packets_suffice_for_modern_files(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe.write(tmp_path)
    monkeypatch.setattr("miner_resources.video_index.decode_in_order", lambda *_: pytest.fail("decoded"))
    assert len(read_index(path)) == len(recipe.pts or range(recipe.frames))


@pytest.mark.parametrize("recipe", SEQUENTIAL, ids=lambda recipe: recipe.name)
def test_useless_packet_times_are_replaced_by_counting(recipe: Recipe, tmp_path: Path) -> None:
    index = read_index(recipe.write(tmp_path))
    assert index.sequential
    assert len(index) == recipe.frames
    assert list(index.pts) == sorted(set(index.pts))
    assert index.is_keyframe[0]
    duration = index.seconds(-1) - index.seconds(0)
    assert abs(duration - Fraction(recipe.frames - 1, 25)) <= Fraction(4, 25)


def rewrite_packets(source: Path, target: Path, change: object) -> None:
    """Copy the video packets of a file; `change(number, packet)` returns the packet to write, or None to drop it."""
    assert callable(change)
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        out = new.add_stream_from_template(stream)
        for number, packet in enumerate(old.demux(stream)):
            changed = change(number, packet) if packet.size else None
            if changed is not None:
                changed.stream = out
                new.mux(changed)


def test_hidden_vp8_pictures_are_no_frames(tmp_path: Path) -> None:
    def hide_every_fifth(number: int, packet: av.Packet) -> av.Packet:
        if number % 5 != 3:
            return packet
        data = bytearray(bytes(packet))
        data[0] &= ~0x10
        hidden = av.Packet(bytes(data))
        hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
        return hidden

    source = Recipe("vp8.webm", "libvpx", {"cpu-used": "8"}).write(tmp_path)
    rewrite_packets(source, tmp_path / "hidden.webm", hide_every_fifth)
    index = read_index(tmp_path / "hidden.webm")
    assert len(index) == 32
    assert list(index.pts) == displayed_pts(tmp_path / "hidden.webm")


@pytest.mark.parametrize(
    ("recipe", "offset"),
    [
        pytest.param(Recipe("open.mkv", "libx265", X265_OPEN), 0, id="leading pictures without their reference"),
        pytest.param(Recipe("closed.mkv", options={"bf": "2", "sc_threshold": "0"}), -7, id="starts between keyframes"),
    ],
)
def test_pictures_that_refer_to_before_the_start_are_no_frames(recipe: Recipe, offset: int, tmp_path: Path) -> None:
    whole, target = recipe.write(tmp_path), tmp_path / "cut.mkv"
    keyframes = [place for place, flag in enumerate(read_index(whole).packet_is_keyframe) if flag]
    start = keyframes[1] + offset
    rewrite_packets(whole, target, lambda number, packet: packet if number >= start else None)
    index = read_index(target)
    assert list(index.pts) == displayed_pts(target)
    assert 20 < len(index) < 40 - start
    assert not index.sequential


def test_a_stream_that_appears_late_does_not_stop_the_reader() -> None:
    class Container:
        def demux(self) -> Iterator[av.Packet]:
            yield from packets
            raise IndexError("list index out of range")  # as PyAV 18.1 does in its last step

    packets = [av.Packet(b"one"), av.Packet(), av.Packet(b"three")]
    assert list(read_packets(Container())) == [packets[0], packets[2]]


@pytest.mark.parametrize(("first", "count"), [(0, 25), (25, 50), (60, 40)])
def test_a_trimmed_mp4_is_not_truncated(first: int, count: int, tmp_path: Path) -> None:
    """The edit list shows a part of the frames that the file holds, as after trimming on a phone."""
    path = Recipe("trimmed.mp4", frames=100, options={"bf": "2", "sc_threshold": "0"}).write(tmp_path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # behind version, flags and the number of entries
    _, delay = struct.unpack_from(">II", data, entry)
    struct.pack_into(">II", data, entry, count * 40, delay + first * 512)
    path.write_bytes(data)
    index = read_index(path)
    assert len(index) == count
    assert list(index.pts) == displayed_pts(path)
    assert index.extent.problem is None


def test_the_best_of_several_streams_is_used() -> None:
    path = shared_data("videos/torchcodec_nasa_13013.mp4")
    assert len(read_index(path)) == 390


def test_frame_times_are_exact_fractions(tmp_path: Path) -> None:
    recipe = Recipe("late.mp4", pts=VARIABLE_PTS, time_base=Fraction(1, 90_000))
    index = read_index(recipe.write(tmp_path))
    elapsed = [index.seconds(place) - index.seconds(0) for place in range(len(index))]
    assert elapsed == [Fraction(pts - VARIABLE_PTS[0], 90_000) for pts in VARIABLE_PTS]


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        pytest.param([], [], id="no frames"),
        pytest.param([5, 7, 9], [5, 7, 9], id="fine already"),
        pytest.param([1, 3, 4, 2], [1, 2, 3, 4], id="order of decoding"),
        pytest.param([None, None, None], [0, 10, 20], id="nothing known"),
        pytest.param([3, None, 40, 40, 60], [3, 13, 40, 50, 60], id="gaps and repetition"),
        pytest.param([30, 5, 6], [5, 6, 30], id="different but permuted"),
        pytest.param([30, 5, 5], [30, 40, 50], id="going back"),
    ],
)
def test_repair_times(pts: list[int | None], expected: list[int]) -> None:
    assert repair_times(pts, step=10) == expected


@pytest.mark.parametrize(
    ("extent", "problem"),
    [
        pytest.param(Extent(), None, id="nothing declared"),
        pytest.param(Extent(100, 95), None, id="enough frames"),
        pytest.param(Extent(1189, 499), "lists 1189 frames but only 499 are in the file", id="frames missing"),
        pytest.param(Extent(40, 1), "lists 40 frames but only 1 is in the file", id="one frame left"),
        pytest.param(Extent(100, 100, 60.0, 3.0), None, id="frames count more than durations"),
        pytest.param(Extent(0, 50, 10.0, 9.2), None, id="ends a little early"),
        pytest.param(Extent(0, 50, 10.0, 6.04), "should last 10.0 s but its data end at 6.0 s", id="seconds missing"),
    ],
)
def test_extent_problem(extent: Extent, problem: str | None) -> None:
    if problem is None:
        assert extent.problem is None
    else:
        assert problem in str(extent.problem)


def test_a_cut_off_matroska_file_is_noticed(tmp_path: Path) -> None:
    data = Recipe("whole.mkv", frames=200).write(tmp_path).read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    problem = read_index(tmp_path / "half.mkv").extent.problem
    assert problem is not None
    assert problem.startswith("it should last 8.0 s but its data end at ")


def mp4_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


TRACK_OF_NO_TIME = mp4_box(b"trak", mp4_box(b"mdia", mp4_box(b"mdhd", b"\xff" * 24)))
FTYP, MDAT = mp4_box(b"ftyp", b"isom\0\0\2\0"), mp4_box(b"mdat", bytes(40))
LONG_MDAT = struct.pack(">I4sQ", 1, b"mdat", 24) + bytes(8)
JPEG = b"\xff\xd8\xff\xe0" + bytes(200)
FOREIGN = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"hello\n" * 50, "is not a video: text"),
    "cut UTF-8": ("ä".encode() * 2047 + b"x\xc3\xa4", "is not a video: text"),
    "web page": (b"\n<!DOCTYPE html><html></html>", "is not a video: a web page (HTML)"),
    "playlist": (b"#EXTM3U\n#EXTINF:3,\nfile:///etc/passwd\n", "a playlist (M3U8)"),
    "concat script": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "is not a video: text"),
    "JPEG": (JPEG, "a still image (JPEG)"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a still image (PNG)"),
    "WebP": (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(50), "a still image (WebP)"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(50), "a still image (AVIF)"),
    "ZIP": (b"PK\x03\x04" + bytes(50), "a ZIP archive"),
    "random bytes": (bytes(range(128, 256)) * 20, "odd.mp4 is not a video, or in a format"),
    "no moov": (FTYP + MDAT, "the video header (moov) of odd.mp4 is missing"),
    "no moov behind a box with a long size": (FTYP + LONG_MDAT + MDAT, "(moov) of odd.mp4 is missing"),
    "box without a size": (FTYP + bytes(40), "the video header (moov) of odd.mp4 is missing"),
    "damaged moov": (FTYP + MDAT + mp4_box(b"moov", TRACK_OF_NO_TIME), "(moov) of odd.mp4 is damaged"),
    "compressed moov": (FTYP + MDAT + mp4_box(b"moov", mp4_box(b"cmov", bytes(20))), "its header is compressed"),
    "moov behind an unknown box": (
        mp4_box(b"beep", bytes(8)) + mp4_box(b"moov", bytes(8)),
        "odd.mp4 is not a video, or",
    ),
    "empty moov": (FTYP + mp4_box(b"moov", b"") + MDAT, "odd.mp4 has no video stream, and no audio either"),
    "Matroska head": (b"\x1a\x45\xdf\xa3" + bytes(20), "ends inside its header"),
    "bare subtitles": (b"1\n00:00:01,000 --> 00:00:02,000\nHi\n\xff\xfe", "odd.mp4 is"),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_video_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(content)
    with pytest.raises(CorruptMedia) as caught:
        read_index(path)
    assert message in caught.value.message
    assert "odd.mp4" in caught.value.message
    assert caught.value.remedy


def test_a_still_gif_is_no_video(tmp_path: Path) -> None:
    path = Recipe("still.gif", "gif", pixels="rgb8", frames=1).write(tmp_path)
    with pytest.raises(CorruptMedia, match="a still image"):
        read_index(path)


def test_sound_with_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44_100)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        still = av.VideoFrame(32, 32, "yuvj420p")
        still.pts, still.time_base = 0, Fraction(1, 25)
        container.mux(cover.encode(still))
        samples = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        samples.sample_rate, samples.pts, samples.time_base = 44_100, 0, Fraction(1, 44_100)
        for plane in samples.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with pytest.raises(CorruptMedia, match=r"song\.mp4 has no video stream, only audio"):
        read_index(path)


def test_an_unknown_codec_is_named_as_the_reason(tmp_path: Path) -> None:
    data = Recipe("fine.mp4").write(tmp_path).read_bytes()
    (tmp_path / "new.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(CorruptMedia, match=r"the video codec of new\.mp4 is unknown and cannot be decoded"):
        read_index(tmp_path / "new.mp4")


def test_huge_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Recipe("large.mp4").write(tmp_path)
    monkeypatch.setattr("miner_resources.video_file.MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(CorruptMedia, match=r"large\.mp4 are 96x64 px"):
        read_index(path)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read_index(tmp_path / "absent.mp4")
    with pytest.raises(InvalidData, match="is a folder"):
        read_index(tmp_path)
    with pytest.raises(InvalidData, match="is a device"):
        read_index(Path("/dev/null"))


def test_a_name_like_an_address_is_a_file(tmp_path: Path) -> None:
    path = Recipe("plain.mp4").write(tmp_path).rename(tmp_path / "http:video.mp4")
    assert isinstance(read_index(path), PacketIndex)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("made_audio_only.mp4", "has no video stream, only audio"),
        ("made_jpeg_renamed.mp4", "a still image (JPEG)"),
        ("made_moov_missing.mp4", "header (moov) of made_moov_missing.mp4 is missing"),
        ("made_png_bomb_20000x20000.png", "a still image (PNG)"),
        ("made_text_renamed.mp4", "a web page (HTML)"),
        ("made_truncated_60pct_moov_at_end.mp4", "the download was probably cut off"),
        ("made_webm_header_only.webm", "ends inside its header"),
        ("made_zero_bytes.mp4", "is empty (0 bytes)"),
        ("mp4parse_chunk_out_of_range.mp4", "header (moov) of mp4parse_chunk_out_of_range.mp4 is damaged"),
    ],
)
def test_broken_files_that_cannot_be_opened(name: str, message: str) -> None:
    with pytest.raises(CorruptMedia) as caught:
        read_index(shared_data(f"broken/{name}"))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("made_truncated_40pct_faststart.mp4", "lists 1189 frames but only 501 are in the file"),
        ("made_truncated_webm_30pct.webm", "should last 1.0 s but its data end at 0.0 s"),
        ("mp4parse_invalid_userdata.mp4", "lists 5544 frames but only 0 are in the file"),
        ("mp4parse_test_case_1185230.mp4", "lists 10 frames but only 3 are in the file"),
        ("mp4parse_zero_empty_stsc.mp4", "lists 1040 frames but only 1 is in the file"),
    ],
)
def test_truncated_files_have_an_index_that_says_so(name: str, problem: str) -> None:
    assert problem in str(read_index(shared_data(f"broken/{name}")).extent.problem)
