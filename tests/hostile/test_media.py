"""Broken and hostile media: bounded memory and time, and an error that names the file, the fault and what to do.

`VIDEO_MINER_LONG_TESTS=1` adds 8K videos, which take a minute to make.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from miner_resources import mp4_claims
from miner_resources.mp4_claims import claimed_samples
from miner_resources.video_file import MAX_FRAMES
from tests.hostile.bombs import (
    boxed,
    gif_of_canvas,
    jpeg_of_scans,
    jpeg_that_claims,
    matroska_of,
    png_of_size,
    video_in_fragments,
    video_of_edits,
    video_of_pictures,
    video_of_size,
    video_of_tracks,
    video_that_claims,
    video_that_hides,
    video_with_sounds,
    webp_that_claims,
)
from tests.shared_data import REPOSITORY, shared_data
from tests.video_factory import write_video

MEMORY = 1_500_000_000
ADDRESS_SPACE = 6 << 30
"""Of the child: a bomb that asks for more dies there instead of taking the machine along."""
SECONDS = 120


def read_all(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """File name → what reading it gave, all in one process with a limit; checks its memory."""
    command = [sys.executable, "-m", "tests.hostile.reader", *map(str, files)]
    limited = ["bash", "-c", f'ulimit -v {ADDRESS_SPACE >> 10}; exec "$@"', "bash", *command]
    ended = subprocess.run(limited, cwd=REPOSITORY, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    *said, last = [json.loads(line) for line in ended.stdout.splitlines()]
    assert last["memory"] <= MEMORY
    return {Path(one["file"]).name: one for one in said}


def test_every_broken_file_is_read_or_refused_with_its_name() -> None:
    files = sorted(shared_data("broken").iterdir())
    said = read_all(files)
    assert said.keys() == {path.name for path in files}
    for name, one in said.items():
        assert "result" in one or (name in one["message"] and one["remedy"]), one
    assert sum("error" in one for one in said.values()) >= 15


def test_video_bombs_cost_little_and_are_refused_with_their_name(tmp_path: Path) -> None:
    bombs = {
        "most": video_that_claims(tmp_path / "most.mp4", MAX_FRAMES),
        "million": video_that_claims(tmp_path / "million.mp4", 1_000_000),
        "claims": video_that_claims(tmp_path / "claims.mp4", 85_000_000),
        "all": video_that_claims(tmp_path / "all.mp4", 2**32 - 1),
        "fragments": video_in_fragments(tmp_path / "fragments.mp4", 85_000_000),
        "wide": video_of_size(tmp_path / "wide.avi", "png", 16_000, frames=1),
        "jpegs": video_of_size(tmp_path / "jpegs.avi", "mjpeg", 9_000, frames=1),
    }
    said = read_all(list(bombs.values()))
    for path in bombs.values():
        one = said[path.name]
        assert path.name in one["message"]
        assert one["error"] == "CorruptMedia"
        assert one["remedy"]
    for name in ("claims.mp4", "all.mp4", "fragments.mp4"):
        assert "more than the limit of 5,000,000" in said[name]["message"]
    assert "truncated" in said["million.mp4"]["message"]


def test_claims_cannot_be_hidden(tmp_path: Path) -> None:
    tricks = ("another place", "two kinds", "compressed", "unknown beginning")
    bombs = {trick: video_that_hides(tmp_path / f"{trick}.mp4", 85_000_000, trick) for trick in tricks}
    bombs["tracks"] = video_of_tracks(tmp_path / "tracks.mp4", 4_000_000, 20)
    bombs["edits"] = video_of_edits(tmp_path / "edits.mp4", frames=100, edits=200_000)
    bombs["canvas"] = tmp_path / "canvas.gif"
    bombs["canvas"].write_bytes(gif_of_canvas(65_535, 65_535, 3))
    said = read_all(list(bombs.values()))
    for path in bombs.values():
        assert said[path.name].get("error") == "CorruptMedia", said[path.name]
        assert path.name in said[path.name]["message"]
    assert "compressed" in said["compressed.mp4"]["message"]
    assert "80,000,000 samples in all tracks" in said["tracks.mp4"]["message"]
    assert "20,000,000 frames" in said["edits.mp4"]["message"]


def test_the_most_that_is_allowed_fits_into_memory(tmp_path: Path) -> None:
    tracks = video_of_tracks(tmp_path / "tracks.mp4", MAX_FRAMES, 2)
    edits = video_of_edits(tmp_path / "edits.mp4", frames=100, edits=1000)
    said = read_all([tracks, edits])
    assert "truncated" in said["tracks.mp4"]["message"]
    assert "10 of" in said["edits.mp4"]["result"]


@pytest.mark.parametrize(("kind", "size"), [("1941a469", 1_600_000_000), ("1254c367", 200_000_000)])
@pytest.mark.parametrize("hidden", [False, True])
def test_matroska_headers_are_not_read_if_they_are_huge(kind: str, size: int, hidden: bool, tmp_path: Path) -> None:
    path = matroska_of(tmp_path / "header.mkv", kind, size, hidden=hidden)
    one = read_all([path])["header.mkv"]
    assert one.get("error") == "CorruptMedia", one
    assert "header.mkv is refused" in one["message"]
    small = matroska_of(tmp_path / "small.mkv", kind, 1000, hidden=hidden)
    assert read_all([small])["small.mkv"]["result"] == "64x48, 3 of 3 frames"


def test_many_tracks_of_large_pictures_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = video_of_pictures(tmp_path / "tracks.mkv", 20)
    assert read_all([path])["tracks.mkv"]["result"] == "8192x4320, 2 of 2 frames"


def test_a_hundred_audio_tracks_do_no_harm(tmp_path: Path) -> None:
    path = video_with_sounds(tmp_path / "sounds.mkv", 100)
    assert read_all([path])["sounds.mkv"]["result"] == "64x48, 13 of 25 frames"


@pytest.mark.skipif(not os.environ.get("VIDEO_MINER_LONG_TESTS"), reason="set VIDEO_MINER_LONG_TESTS=1")
@pytest.mark.parametrize(("codec", "side"), [("libx264", 5900), ("libvpx-vp9", 5900), ("libx264", 9000)])
def test_the_largest_pictures_fit_into_memory(codec: str, side: int, tmp_path: Path) -> None:
    path = video_of_size(tmp_path / f"large.{'webm' if 'vp9' in codec else 'mp4'}", codec, side, frames=12)
    one = read_all([path])[path.name]
    assert one["result"] == "5900x5900, 12 of 12 frames" if side == 5900 else "9000x9000" in one["message"]


def test_picture_bombs_cost_little_and_are_refused_with_their_name(tmp_path: Path) -> None:
    bombs = {
        "large.png": png_of_size(8193),
        "huge.png": png_of_size(20_000),
        "wide.webp": webp_that_claims(2**24, 16),
        "square.webp": webp_that_claims(16_383, 16_383),
        "claims.jpg": jpeg_that_claims(65_500, 65_500),
        "scans.jpg": jpeg_of_scans(1024, 2000),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
        "cut.png": png_of_size(64)[:-30],
        "empty.jpg": b"",
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    said = read_all([tmp_path / name for name in bombs])
    for name in bombs:
        assert said[name].get("error") == "InvalidData", said[name]
        assert name in said[name]["message"]


def test_the_largest_picture_fits_into_memory(tmp_path: Path) -> None:
    (tmp_path / "most.png").write_bytes(png_of_size(8192))
    assert read_all([tmp_path / "most.png"])["most.png"]["result"] == "8192x8192"


def test_claims_are_those_of_the_tables(tmp_path: Path) -> None:
    assert claimed_samples(write_video(tmp_path / "plain.mp4", frames=7)) == (7, 7)
    assert claimed_samples(video_that_claims(tmp_path / "claims.mp4", 123_456)) == (123_456, 123_456)
    assert claimed_samples(video_in_fragments(tmp_path / "fragments.mp4", 2**31 - 1)) == (2**31 - 1, 2**31 - 1)


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\xff" * 64, b"\0\0\0\x08moov" * 9, b"\0\0\0\1mdat" + b"\xff" * 8])
def test_claims_of_nonsense_are_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(data)
    assert claimed_samples(tmp_path / "x.mp4") == (0, 0)


def test_nested_boxes_end(tmp_path: Path) -> None:
    data = b""
    for _ in range(3000):
        data = (len(data) + 8).to_bytes(4, "big") + b"trak" + data
    (tmp_path / "deep.mp4").write_bytes((len(data) + 8).to_bytes(4, "big") + b"moov" + data)
    assert claimed_samples(tmp_path / "deep.mp4") == (0, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (boxed(b"moov", boxed(b"cmov", bytes(9))), "compressed"),
        (boxed(b"moov", boxed(b"beep") * 10), "boxes"),
        (b"\0\0\0\1moov" + (300_000_000).to_bytes(8, "big"), "bytes"),
    ],
)
def test_headers_that_cannot_be_counted_are_refused(
    data: bytes, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp4_claims, "_MOST_BOXES", 8)
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with path.open("ab") as file:
        file.truncate(400_000_000 if why == "bytes" else len(data))
    with pytest.raises(mp4_claims.Unclear, match=why):
        claimed_samples(path)
