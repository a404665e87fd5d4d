"""The demo's videos and their truth."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from miner_resources.demo.videos import write_demo_videos
from miner_resources.video_reader import decode_frames, read_index


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_videos(tmp_path_factory.mktemp("videos"), seed=3, videos=4, targets=2)


def test_the_same_arguments_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    for _ in range(2):
        write_demo_videos(tmp_path, seed=3, videos=2, targets=2)
        for name in ("demo_00.mp4", "demo_01.mp4"):
            assert (tmp_path / name).read_bytes() == (written.parent / name).read_bytes()
    write_demo_videos(tmp_path, seed=4, videos=1, targets=2)
    assert (tmp_path / "demo_00.mp4").read_bytes() != (written.parent / "demo_00.mp4").read_bytes()


def test_truth_is_about_these_files(written: Path) -> None:
    for name, video in json.loads(written.read_text())["videos"].items():
        path = written.parent / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == video["sha256"]
        assert len(read_index(path)) == len(video["boxes"]) == video["shots"][-1]["end"]
        starts = [shot["start"] for shot in video["shots"]]
        assert starts == [0, *(shot["end"] for shot in video["shots"][:-1])]


def test_repeats_share_the_scene_of_an_original_in_reach(written: Path) -> None:
    videos = list(json.loads(written.read_text())["videos"].values())
    originals = [{shot["scene"] for shot in video["shots"] if shot["repeat"] == "original"} for video in videos]
    assert len(set().union(*originals)) == sum(len(scenes) for scenes in originals), "originals are all different"
    for number, video in enumerate(videos):
        kinds = [shot["repeat"] for shot in video["shots"]]
        assert kinds.count("within") == 1
        assert kinds.count("across") == (0 if number % 3 == 0 else 2)
        for shot in video["shots"]:
            if shot["repeat"] == "within":
                assert shot["scene"] in originals[number]
            if shot["repeat"] == "across":
                assert any(shot["scene"] in scenes for scenes in originals[number // 3 * 3 : number])


def test_cuts_are_where_the_truth_says(written: Path) -> None:
    video = json.loads(written.read_text())["videos"]["demo_00.mp4"]
    path = written.parent / "demo_00.mp4"
    index = read_index(path)
    frames = {frame.frame_index: frame.rgb for frame in decode_frames(path, index, range(len(index)))}
    change = [np.abs(frames[at].astype(int) - frames[at - 1].astype(int)).mean() for at in range(1, len(frames))]
    cuts = sorted(np.argsort(change)[-len(video["shots"]) + 1 :] + 1)
    assert cuts == [shot["start"] for shot in video["shots"][1:]]
